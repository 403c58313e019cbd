"""What can go wrong with a sweep, in sentences for those who started it."""


class SweepError(Exception):
    """A sweep cannot go on; the message says why, and what is kept."""
