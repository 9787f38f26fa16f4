"""Hypothesis draws the same examples in every run, without a time limit."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
