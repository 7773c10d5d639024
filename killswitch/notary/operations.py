"""Make anchors: sign the head of the audit trail."""

import os
import socket
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from killswitch.audit.anchors import last_anchor, signed_part
from killswitch.audit.models import Anchor, AnchorKey, Entry, Kind

from .keys import Key
from .models import Delivery


def source() -> str:
    """Return how this process is named in the record."""
    return f"notary {socket.gethostname()} {os.getpid()}"


def head() -> tuple[int, str] | None:
    """Return the number and the hash of the last entry."""
    return Entry.objects.order_by("-id").values_list("id", "hash").first()


def is_due(now: datetime) -> bool:
    """Say whether the head has moved and is to be signed: after an interval, and at once where a kill has ended."""
    last, found = last_anchor(), head()
    if found is None or last is None:
        return found is not None
    if found[0] <= last.sequence:
        return False
    # Whichever of two clocks is ahead: an anchor too many does no harm, one that is missing does.
    if abs(now - last.at) >= timedelta(seconds=settings.ANCHOR_SECONDS):
        return True
    return Entry.objects.filter(kind=Kind.KILL_ENDED, id__gt=last.sequence).exists()


def make_anchor(key: Key, *, now: datetime) -> Anchor | None:
    """Sign the head. Returns None where there is none, or somebody else has signed it."""
    found = head()
    if found is None:
        return None
    sequence, own_hash = found
    signature = key.sign(signed_part(sequence=sequence, own_hash=own_hash, at=now, key=key.id))
    try:
        with transaction.atomic():
            AnchorKey.objects.get_or_create(key=key.id, defaults={"public": key.public, "first_used_at": now})
            return Anchor.objects.create(sequence=sequence, hash=own_hash, at=now, key=key.id, signature=signature)
    except IntegrityError:
        return None


def contradiction(last: Anchor | None) -> str:
    """Say how the trail contradicts the last anchor that was made of it; empty where it does not."""
    if last is None:
        return _gone_with_its_anchor()
    found = Entry.objects.filter(id=last.sequence).values_list("hash", flat=True).first()
    if found is None:
        return f"entry {last.sequence} was anchored and is gone: the end of the trail was cut off"
    if found != last.hash:
        return f"entry {last.sequence} was anchored and is another one now: the trail was written anew"
    return _gone_with_its_anchor()


def _gone_with_its_anchor() -> str:
    """Compare with what got to the places: anchors may have been cut off together with the entries."""
    brought = Delivery.objects.aggregate(most=Max("delivered"))["most"] or 0
    if not brought or Anchor.objects.filter(sequence__gte=brought).exists():
        return ""
    return f"entry {brought} was anchored and its anchor is gone: the end of the trail was cut off with its anchors"
