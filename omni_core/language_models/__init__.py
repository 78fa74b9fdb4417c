"""Language models: what thinks. A file here is a loader; its name is the name in settings."""
