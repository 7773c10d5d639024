"""Bring anchors to their places: in order, again and again, whatever becomes of the other places."""

import logging
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from killswitch.audit.anchors import anchors_of, last_anchor
from killswitch.audit.models import Anchor, Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.database_clock import is_free, lease

from .models import Delivery
from .operations import source
from .places import Place, Refused

logger = logging.getLogger(__name__)

# Longer than a place takes to answer or be given up. Another notary waits that long for one that was killed.
LEASE = timedelta(seconds=45)
LONGEST_ERROR = 500


def see(places: Iterable[Place], now: datetime) -> None:
    """Note that these places are configured. One that is new begins with the last anchor: it covers all before."""
    for place in places:
        # One that was configured before goes on where it stood.
        if not Delivery.objects.filter(place=place.name).update(seen_at=now):
            last = last_anchor()
            start = {"seen_at": now, "delivered": last.sequence - 1 if last else 0}
            Delivery.objects.get_or_create(place=place.name, defaults=start)


def deliver(place: Place, token: uuid.UUID) -> bool | None:
    """Bring the next anchors to a place. Returns whether they got there, None where there is nothing to do.

    `token` is whose lease it is: what its owner could not give back, with the database gone, is its own still.
    """
    row = Delivery.objects.filter(place=place.name).first()
    if row is None:
        return None
    outstanding = list(anchors_of(first=row.delivered + 1)[: place.at_once])
    if not outstanding:
        return None
    mine = Delivery.objects.filter(pk=row.pk, token=token)
    free = Delivery.objects.filter(is_free() | Q(token=token), pk=row.pk, delivered=row.delivered)
    if not free.update(token=token, lease_until=lease(LEASE)):
        return None
    done = {"token": None, "lease_until": None}
    try:
        place.take(outstanding)
    except Exception as error:
        why = _words(error)
        tries = row.tries + 1
        since = row.failing_since or timezone.now()
        logger.warning("anchor %d did not get to %s (try %d): %s", outstanding[0].sequence, place.name, tries, why)
        mine.update(tries=tries, failing_since=since, error=why, **done)
        return False
    if row.tries:
        logger.warning("anchors get to %s again, after %d tries", place.name, row.tries)
    now, last = timezone.now(), outstanding[-1]
    mine.update(delivered=last.sequence, delivered_at=now, tries=0, failing_since=None, error="", **done)
    return True


def _words(error: Exception) -> str:
    """Say what went wrong, in one line."""
    words = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
    return " ".join(words.replace("\x00", "").split())[:LONGEST_ERROR]


def late(row: Delivery, now: datetime) -> Anchor | None:
    """Return the first anchor that should have got to a place by now and has not."""
    limit = now - timedelta(minutes=settings.ANCHOR_LATE_MINUTES)
    return anchors_of(first=row.delivered + 1).filter(at__lt=limit).first()


def tell(places: Iterable[Place], now: datetime) -> None:
    """Put into the record that anchors do not arrive at a place, and that they do again: once each, not per anchor."""
    for row in Delivery.objects.filter(place__in=[place.name for place in places]):
        missing = late(row, now)
        if missing is not None and row.told_at is None:
            why = row.error or "no answer yet"
            logger.error("anchors do not get to %s: %s", row.place, why)
            sentence = f"Anchors do not arrive at {row.place}, from entry {missing.sequence} on: {why}"
            _record(row, Kind.ANCHOR_UNDELIVERED, sentence, now, told_at=now)
        elif missing is None and row.told_at is not None:
            sentence = f"Anchors arrive at {row.place} again, to entry {row.delivered}"
            _record(row, Kind.ANCHOR_DELIVERED, sentence, now, told_at=None)


def _record(row: Delivery, kind: Kind, sentence: str, now: datetime, told_at: datetime | None) -> None:
    with transaction.atomic():
        if Delivery.objects.filter(pk=row.pk, told_at=row.told_at).update(told_at=told_at):
            data = {"place": row.place, "delivered": row.delivered, "tries": row.tries, "error": row.error}
            append([Draft(kind=kind, at=now, sentence=sentence, actor=Actor(source=source()), data=data)])
