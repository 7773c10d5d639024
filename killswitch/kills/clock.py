"""The clock that durations are measured with. Kept in one place so that a test can run on time of its own."""

import time


def monotonic() -> float:
    """Return seconds that never go back, whatever is done to the wall clock."""
    return time.monotonic()
