"""What is hidden and scored in training: one file per objective, with `make_batch` as in `training.batch.Objective`."""
