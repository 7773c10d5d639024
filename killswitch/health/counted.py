"""What has happened since the record began, counted from the audit trail: figures that only rise.

Every process that is asked counts for itself, and each time only what was appended since. The trail only grows and
every process reads the same, so they agree whichever answers, also after a start, and nobody writes a counter down.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from django.db.models import QuerySet

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import State

# Those of which each kill or person leaves a few. An order leaves several: nobody counts them at a scrape.
COUNTED = (
    Kind.KILL_ENGAGED,
    Kind.KILL_REFUSED,
    Kind.LOGIN_FAILED,
    Kind.DENIED,
    Kind.SWEEP_TAKEN_OVER,
    Kind.JOURNAL_IMPORTED,
)
ENDS = (State.FLAT, State.NOT_FLAT, State.UNKNOWN)
ROWS = 2000


@dataclass
class Histogram:
    """How many values were up to each bound."""

    bounds: tuple[float, ...]
    total: float = 0.0
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Return each bound with the number of values up to it, the last one endless."""
        return list(zip((*map(str, self.bounds), "+Inf"), accumulate(self.counts), strict=True))


class Counted:
    """The figures up to one entry of the trail."""

    def __init__(self) -> None:
        self.head = 0
        self.hash = ""
        self.entries: Counter[str] = Counter()
        self.ended: Counter[tuple[str, bool]] = Counter()
        self.first_delete = Histogram((0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0))
        self.flat = Histogram((0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0))

    def still_stands(self) -> bool:
        """Say whether the trail goes on from here: it might be another one, of a backup."""
        return not self.head or Entry.objects.filter(id=self.head, hash=self.hash).exists()

    def go_on(self) -> None:
        """Count what was appended since. Entries come into being in the order of their numbers: none is missed."""
        last = Entry.objects.order_by("-id").values_list("id", "hash").first()
        if last is None or last[0] == self.head:
            return
        new = Entry.objects.filter(id__gt=self.head, id__lte=last[0])
        counts = Counter({kind: _number(new, kind) for kind in COUNTED})
        ended = list(_ended(new))
        self.head, self.hash = last
        self.entries += counts
        for outcome, data in ended:
            self._add(outcome, data)

    def _add(self, outcome: str, data: dict[str, Any]) -> None:
        self.ended[outcome, bool(data.get("dry_run"))] += 1
        for name, histogram in (("first_delete_seconds", self.first_delete), ("flat_seconds", self.flat)):
            if (seconds := data.get(name)) is not None:
                histogram.add(float(seconds))


def _number(new: QuerySet[Entry], kind: Kind) -> int:
    return new.filter(kind=kind).count()


def _ended(new: QuerySet[Entry]) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in new.filter(kind=Kind.KILL_ENDED).order_by("id").only("outcome", "data").iterator(ROWS):
        yield entry.outcome, entry.data


_lock = threading.Lock()
_counted = Counted()


def counted() -> Counted:
    """Return the figures up to now. Raises django.db.Error."""
    global _counted
    with _lock:
        if not _counted.still_stands():
            _counted = Counted()
        _counted.go_on()
        return deepcopy(_counted)
