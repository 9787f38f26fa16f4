"""Methods that are judged, ours among them: one file each, see `Rival` in method.py."""
