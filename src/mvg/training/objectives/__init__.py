"""What is hidden and scored in training: one file per objective, each with `ask(pairs, patch, draw) -> Question`."""
