"""How old what was written may be, by the database's clock."""

from datetime import timedelta

# What lies further ahead was written before the clock was set back, nobody knows when.
AHEAD = timedelta(seconds=5)


def is_fresh(age: timedelta, limit: timedelta) -> bool:
    return -AHEAD <= age < limit
