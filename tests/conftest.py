"""Hypothesis draws the same examples on every run: a failure is a failure everywhere."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
