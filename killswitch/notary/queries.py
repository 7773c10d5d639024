"""What the page says about anchors: the last one, where it got to, and what is wrong."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from killswitch.audit.anchors import anchors_of, last_anchor
from killswitch.audit.models import Anchor

from .deliveries import late
from .models import Delivery, Notary
from .operations import head

# A notary reports four times a minute.
ALIVE_FOR = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class PlaceStanding:
    """How far anchors got at one place."""

    delivery: Delivery
    outstanding: int
    is_late: bool

    @property
    def is_failing(self) -> bool:
        return self.delivery.tries > 0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the anchors stand."""

    last: Anchor | None
    entries_after: int
    seen_at: datetime | None  # when a notary was last heard of
    is_watched: bool
    has_key: bool
    contradictions: list[str]
    places: list[PlaceStanding]


def standing(now: datetime) -> Standing:
    """Return how the anchors stand, from the database alone: the page's process has neither key nor places."""
    notaries = list(Notary.objects.order_by("-seen_at"))
    alive = [notary for notary in notaries if now - notary.seen_at < ALIVE_FOR]
    last, found = last_anchor(), head()
    last_entry = found[0] if found else 0
    return Standing(
        last=last,
        entries_after=max(0, last_entry - (last.sequence if last else 0)),
        seen_at=notaries[0].seen_at if notaries else None,
        is_watched=bool(alive),
        has_key=any(notary.key for notary in alive),
        contradictions=sorted({notary.contradiction for notary in alive if notary.contradiction}),
        places=_places(notaries, now),
    )


def _places(notaries: list[Notary], now: datetime) -> list[PlaceStanding]:
    """Return the places that were configured when a notary was last heard of."""
    if not notaries:
        return []
    known = Delivery.objects.filter(seen_at__gt=notaries[0].seen_at - ALIVE_FOR).order_by("place")
    return [
        PlaceStanding(
            delivery=row,
            outstanding=anchors_of(first=row.delivered + 1).count(),
            is_late=late(row, now) is not None,
        )
        for row in known
    ]
