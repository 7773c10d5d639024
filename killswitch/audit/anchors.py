"""Anchors as they stand in the database: read them, and write them in their one form."""

from datetime import datetime

from django.db.models import QuerySet

from . import chain
from .models import Anchor, AnchorKey

ALGORITHM = "ed25519"


def signed_part(*, sequence: int, own_hash: str, at: datetime, key: str) -> bytes:
    """Return what the signature of an anchor is taken over."""
    return chain.canonical({"algorithm": ALGORITHM, "at": at, "hash": own_hash, "key": key, "sequence": sequence})


def anchor_line(anchor: Anchor) -> bytes:
    """Write an anchor as one line, without its end."""
    told = {"algorithm": ALGORITHM, "at": anchor.at, "hash": anchor.hash, "key": anchor.key}
    return chain.canonical({**told, "sequence": anchor.sequence, "signature": anchor.signature})


def anchors_of(first: int | None = None, last: int | None = None) -> QuerySet[Anchor]:
    """Return the anchors of the entries numbered `first` to `last`, both included, in their order."""
    anchors = Anchor.objects.order_by("sequence")
    if first is not None:
        anchors = anchors.filter(sequence__gte=first)
    return anchors if last is None else anchors.filter(sequence__lte=last)


def anchor_after(sequence: int) -> Anchor | None:
    """Return the first anchor that an entry cannot be taken from under: that of the entry itself or a later one."""
    return anchors_of(first=sequence).first()


def last_anchor() -> Anchor | None:
    return Anchor.objects.order_by("-sequence").first()


def public_keys() -> str:
    """Return the public half of every key that signed an anchor, the oldest first, as one PEM file."""
    keys = AnchorKey.objects.order_by("first_used_at", "id").values_list("public", flat=True)
    return "".join(f"{public.strip()}\n" for public in keys)
