"""Methods that are compared, ours among them: one file each, see `Rival` in protocol/method.py."""
