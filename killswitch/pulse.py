"""That the work of this process goes on: noted by the work itself, read by whoever tells it to others."""

import time

_last: float | None = None


def beat() -> None:
    """Note that a round of the work is done. Cannot fail, and waits for nobody."""
    global _last
    _last = time.monotonic()


def last() -> float | None:
    """Return when the work last was done, by the monotonic clock; None where it never was."""
    return _last
