"""What the page says about messages: whom they go to, when they last got there, and what is wrong."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from killswitch.audit.models import Entry, Kind

from .deliveries import is_late
from .models import Delivery
from .news import Reader

# A teller reports four times a minute.
ALIVE_FOR = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class PlaceStanding:
    """How one place stands."""

    delivery: Delivery
    is_late: bool
    has_test: bool  # it was told of the last test

    @property
    def is_failing(self) -> bool:
        return self.delivery.failing_since is not None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How messages stand."""

    seen_at: datetime | None  # when a teller was last heard of
    is_watched: bool
    test: Entry | None
    places: list[PlaceStanding]

    @property
    def is_silent(self) -> bool:
        """Say whether somebody should be told and no teller is there."""
        return bool(self.places) and not self.is_watched

    @property
    def failing(self) -> list[PlaceStanding]:
        return [place for place in self.places if place.is_late]


def standing(now: datetime) -> Standing:
    """Return how messages stand, from the database alone: no page's process has the places."""
    newest = Delivery.objects.order_by("-seen_at").values_list("seen_at", flat=True).first()
    test = Entry.objects.filter(kind=Kind.MESSAGE_TESTED).order_by("-id").first() if newest else None
    return Standing(
        seen_at=newest,
        is_watched=newest is not None and now - newest < ALIVE_FOR,
        test=test,
        places=_places(newest, test, now) if newest else [],
    )


def waiting_since(row: Delivery) -> datetime | None:
    """Return when the first news came up that a place was not told of; None where it was told of all."""
    entry = Reader().first_after(row.followed)
    return entry.at if entry is not None else None


def _places(newest: datetime, test: Entry | None, now: datetime) -> list[PlaceStanding]:
    """Return the places that were configured when a teller was last heard of."""
    known = Delivery.objects.filter(seen_at__gt=newest - ALIVE_FOR).order_by("position", "name")
    return [
        PlaceStanding(
            delivery=row,
            is_late=is_late(row, now),
            has_test=test is not None and row.followed >= test.id,
        )
        for row in known
    ]
