"""How the model is used: prompts are encoded once, for slices, volumes and batches of files."""
