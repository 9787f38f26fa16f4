"""How the model is used: prompts are prepared and encoded once, then answer slices, volumes and batches of files."""
