"""What several pages share: how old something is, how many rows are shown, who is a user here."""

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.models import User
from django.utils import timezone

from killswitch.access.roles import ROLES

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


def user_rows() -> list[tuple[User, str]]:
    """Return every user who is managed here, with their role."""
    users = User.objects.filter(is_superuser=False).prefetch_related("groups").order_by("username")
    return [(user, _first_role(group.name for group in user.groups.all())) for user in users]


def _first_role(names: Iterable[str]) -> str:
    return next((name for name in names if name in ROLES), "")
