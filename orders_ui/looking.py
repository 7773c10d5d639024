"""Who else has a kill's page before them. Never in the way: what cannot be written at once is left out."""

import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import DatabaseError, connection

from .models import Looking

logger = logging.getLogger(__name__)

SEEN_WITHIN = timedelta(seconds=20)
NOTED_EVERY = timedelta(seconds=10)
KEPT_FOR = timedelta(hours=1)
WAIT_MS = 20  # for SQLite's one write lock: a kill may want it

_has_told: set[str] = set()


def lookers(kill_id: uuid.UUID, now: datetime) -> list[Looking]:
    """Return who looks at a kill."""
    return list(Looking.objects.filter(kill_id=kill_id, seen_at__gte=now - SEEN_WITHIN).order_by("user_name"))


def note(kill_id: uuid.UUID, user: User, now: datetime, noted: Iterable[Looking]) -> None:
    """Write down that somebody looks at a kill, at most every NOTED_EVERY. Who else writes goes first.

    `noted` is who looked at it a moment ago.
    """
    before = next((each.seen_at for each in noted if each.user_id == user.pk), None)
    if before is not None and now - before < NOTED_EVERY:
        return
    try:
        with _hardly_waiting():
            _write(kill_id, user, now)
            if before is None:
                Looking.objects.filter(seen_at__lt=now - KEPT_FOR).delete()
    except DatabaseError as error:
        _tell_once(str(error))


def _write(kill_id: uuid.UUID, user: User, now: datetime) -> None:
    row = Looking(kill_id=kill_id, user_id=user.pk, user_name=user.get_username(), seen_at=now)
    Looking.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["kill_id", "user_id"], update_fields=["user_name", "seen_at"]
    )


@contextmanager
def _hardly_waiting() -> Iterator[None]:
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        [usual] = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {usual}")


def _tell_once(why: str) -> None:
    """Log each reason once in a process: it would come again with every poll of everybody."""
    if why not in _has_told:
        _has_told.add(why)
        logger.warning("who looks at a kill was not noted (%s); told once", why)
