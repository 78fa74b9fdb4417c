"""Mini-Omni as it was released: its checkpoint format, prompts, decoding and training recipe, around the parallel head."""
