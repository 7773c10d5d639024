"""What several pages share: how old something is, how many rows are shown."""

from datetime import datetime

from django.utils import timezone

from .reach import OLD_AFTER

ROWS = 500


def is_old(at: datetime | None) -> bool:
    return at is None or timezone.now() - at > OLD_AFTER


def age_words(at: datetime) -> str:
    """Say how long ago, in the largest unit that says enough."""
    seconds = max(0, int((timezone.now() - at).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
