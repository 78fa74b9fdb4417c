"""Speech heads: what the language model says becomes codes. A file here is a head; its name is the name in settings."""
