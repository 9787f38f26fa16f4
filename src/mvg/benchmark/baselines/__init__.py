"""Methods that are judged, ours among them: one file each, see `Baseline` in method.py."""
