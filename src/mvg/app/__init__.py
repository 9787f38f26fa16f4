"""How people reach mvg: the command line."""
