"""Bring messages to their places: in order, again and again, whatever becomes of the other places."""

import logging
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.audit.queries import head
from killswitch.database_clock import is_free, lease

from .models import Delivery
from .news import Reader
from .operations import source
from .places import Place, Refused
from .wording import message_of, summary_of

logger = logging.getLogger(__name__)

# Longer than a place takes to answer or be given up. Another teller waits that long for one that was killed.
LEASE = timedelta(seconds=45)
LONGEST_ERROR = 300
# How far it came is written down after so many entries without news; a restart looks through no more than that again.
KEPT_EVERY = 5_000


def see(places: Iterable[Place], now: datetime) -> None:
    """Note that these places are configured. One that is new begins at the end of the trail: it hears no old news."""
    for position, place in enumerate(places):
        values = {"seen_at": now, "name": place.name, "position": position}
        # One that was configured before goes on where it stood.
        if not Delivery.objects.filter(key=place.key).update(**values):
            Delivery.objects.get_or_create(key=place.key, defaults={**values, "followed": head()})


class Carrier:
    """Follows the trail for one place. Whatever it remembers it could find again: the row says how far it came."""

    def __init__(self, place: Place) -> None:
        self._place = place
        # Whose leases are its own still, where they could not be given back with the database gone.
        self._token = uuid.uuid4()
        self._reader = Reader()
        self._upto = 0

    def deliver(self) -> bool | None:
        """Bring the next message. Returns whether it got there, None where there is nothing to do."""
        row = Delivery.objects.filter(key=self._place.key).first()
        if row is None:
            return None
        found = self._reader.after(max(row.followed, self._upto), timezone.now())
        free = Delivery.objects.filter(is_free() | Q(token=self._token), pk=row.pk, followed=row.followed)
        if not found.old_count and found.fresh is None:
            if found.upto - row.followed >= KEPT_EVERY:
                free.update(followed=found.upto)
            self._upto = found.upto
            return None
        if not free.update(token=self._token, lease_until=lease(LEASE)):
            return None
        mine = Delivery.objects.filter(pk=row.pk, token=self._token)
        done = {"token": None, "lease_until": None}
        try:
            self._place.take(message_of(found.fresh) if found.fresh else summary_of(found))
        except Exception as error:
            why = _words(error)
            tries = row.tries + 1
            logger.warning("a message did not get to %s (try %d): %s", row.name, tries, why)
            since = row.failing_since or timezone.now()
            mine.update(tries=tries, failing_since=since, error=why, failed_count=_one_more("failed_count"), **done)
            return False
        if row.tries:
            logger.warning("messages get to %s again, after %d tries", row.name, row.tries)
        now = timezone.now()
        well = {"told_at": now, "tries": 0, "failing_since": None, "error": ""}
        mine.update(followed=found.upto, told_count=_one_more("told_count"), **well, **done)
        return True


def _one_more(count: str) -> Any:
    return Coalesce(count, 0) + 1


def _words(error: Exception) -> str:
    """Say what went wrong, in one line. Only what a place says of itself is known to name no address."""
    words = str(error) if isinstance(error, Refused) else type(error).__name__
    return " ".join(words.replace("\x00", "").split())[:LONGEST_ERROR]


def is_late(row: Delivery, now: datetime) -> bool:
    """Say whether a place has not taken what it should have for too long."""
    limit = timedelta(minutes=settings.TELL_LATE_MINUTES)
    return row.failing_since is not None and now - row.failing_since > limit


def tell(places: Iterable[Place], now: datetime) -> None:
    """Put into the record that messages do not arrive at a place, and that they do again: once each."""
    for row in Delivery.objects.filter(key__in=[place.key for place in places]).order_by("position"):
        if is_late(row, now) and row.recorded_at is None:
            logger.error("messages do not get to %s: %s", row.name, row.error)
            _record(row, Kind.MESSAGE_UNDELIVERED, f"Messages to {row.name} do not arrive: {row.error}", now, now)
        elif row.failing_since is None and row.recorded_at is not None:
            _record(row, Kind.MESSAGE_DELIVERED, f"Messages to {row.name} arrive again", now, None)


def _record(row: Delivery, kind: Kind, sentence: str, now: datetime, recorded_at: datetime | None) -> None:
    with transaction.atomic():
        if Delivery.objects.filter(pk=row.pk, recorded_at=row.recorded_at).update(recorded_at=recorded_at):
            data = {"place": row.name, "tries": row.tries, "error": row.error}
            append([Draft(kind=kind, at=now, sentence=sentence, actor=Actor(source=source()), data=data)])
