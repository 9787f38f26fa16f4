"""What is hidden and what is scored in training: one file per objective, each with `ask(pairs, patch, draw) -> Question`."""
