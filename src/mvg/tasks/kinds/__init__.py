"""One file per kind of task; each holds one Task class, named as the file with a capital first letter."""
