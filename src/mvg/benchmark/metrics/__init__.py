"""How close an answer is to the truth: one file each, see `Metric` in judged.py."""
