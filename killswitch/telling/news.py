"""What of the audit trail is news: found by following it, a stretch at a time."""

import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, Q

from killswitch.audit.models import Entry, Kind
from killswitch.audit.queries import head
from killswitch.kills.models import Kill, Outcome, Sweep

# Entries that are looked through at a time.
STRETCH = 10_000
READ_AT_ONCE = 200
# Nobody is called out of bed for what is older: it is summed up.
OLD_AFTER = timedelta(minutes=15)
SUMMED_UP = 30

ALWAYS = (
    *(Kind.KILL_ENGAGED, Kind.KILL_ENDED, Kind.KILL_RELEASED, Kind.LIGHT_CHANGED, Kind.TRAIL_BROKEN),
    *(Kind.MESSAGE_TESTED, Kind.MESSAGE_UNDELIVERED, Kind.MESSAGE_DELIVERED),
)
# Of each kill only the first is news.
FIRST = {
    Kind.ORDER_ENDED: Q(kind=Kind.ORDER_ENDED, outcome=Outcome.STUCK),
    Kind.ORDER_ARRIVED: Q(kind=Kind.ORDER_ARRIVED),
}
NEWS = Q(kind__in=ALWAYS) | FIRST[Kind.ORDER_ENDED] | FIRST[Kind.ORDER_ARRIVED] | Q(kind=Kind.SWEEP_HOLDS)


@dataclass
class Outstanding:
    """What a place is to be told next."""

    upto: int  # everything to this entry is told with it, or is no news
    fresh: Entry | None = None
    old: "deque[Entry]" = field(default_factory=lambda: deque(maxlen=SUMMED_UP))
    old_count: int = 0
    old_since: datetime | None = None

    def add_old(self, entry: Entry) -> None:
        self.old_since = min(self.old_since or entry.at, entry.at)
        self.old_count += 1
        self.old.append(entry)


class Reader:
    """Follows the trail for one place, and remembers which entry of a kill was the first of its kind."""

    def __init__(self) -> None:
        self._firsts: dict[tuple[str, uuid.UUID], int] = {}

    def after(self, sequence: int, now: datetime) -> Outstanding:
        """Return what is outstanding after an entry: all that is old, or the first entry where that is not."""
        last = max(head(), sequence)
        found = Outstanding(upto=last)
        for entry in self._to_tell(sequence, last):
            if now - entry.at > OLD_AFTER:
                found.add_old(entry)
            elif found.old_count:
                # Told by itself, after what is old.
                found.upto = entry.id - 1
                break
            else:
                found.fresh, found.upto = entry, entry.id
                break
        return found

    def first_after(self, sequence: int) -> Entry | None:
        """Return what a place that was told up to an entry waits for, however old it is."""
        return next(self._to_tell(sequence, head()), None)

    def _to_tell(self, sequence: int, last: int) -> Iterator[Entry]:
        """Yield the news after an entry, in order. Whoever wants the first alone reads no more than a few."""
        while sequence < last:
            upto = min(sequence + STRETCH, last)
            numbers = self._news(sequence, upto)
            for start in range(0, len(numbers), READ_AT_ONCE):
                entries = Entry.objects.in_bulk(some := numbers[start : start + READ_AT_ONCE])
                yield from (entries[number] for number in some if not _is_rehearsal(entries[number]))
            sequence = upto

    def _news(self, after: int, upto: int) -> list[int]:
        """Return the numbers of the entries of a stretch that are news, in their order."""
        found = Entry.objects.filter(NEWS, id__gt=after, id__lte=upto).order_by("id")
        rows: Iterator[Any] = found.values_list("id", "kind", "kill_id").iterator()
        news: list[int] = []
        quiet: set[uuid.UUID] = set()
        for number, kind, kill_id in rows:
            if kind in ALWAYS:
                news.append(number)
            elif kind == Kind.SWEEP_HOLDS:
                quiet.add(kill_id)
            elif number == self._first(Kind(kind), kill_id):
                news.append(number)
        return sorted([*news, *(number for kill_id in quiet if after < (number := self._quiet_since(kill_id)) <= upto)])

    def _first(self, kind: Kind, kill_id: uuid.UUID) -> int:
        """Return the first entry of a kind in a kill; of orders that arrive, in a latched one, else 0."""
        if (kind, kill_id) not in self._firsts:
            first: int | None = None
            if kind == Kind.ORDER_ENDED or Kill.objects.filter(id=kill_id, latched=True).exists():
                entries = Entry.objects.filter(FIRST[kind], kill_id=kill_id)
                first = entries.order_by("id").values_list("id", flat=True).first()
            self._firsts[kind, kill_id] = first or 0
        return self._firsts[kind, kill_id]

    def _quiet_since(self, kill_id: uuid.UUID) -> int:
        """Return the entry by which every account of a latched kill has been quiet; 0 where one has not."""
        if number := self._firsts.get((Kind.SWEEP_HOLDS, kill_id)):
            return number
        holds = Entry.objects.filter(kill_id=kill_id, kind=Kind.SWEEP_HOLDS).order_by()
        first_of_each = holds.values("account_id").annotate(first=Min("id"))
        firsts: list[int] = list(first_of_each.values_list("first", flat=True))
        if len(firsts) < Sweep.objects.filter(kill_id=kill_id).count():
            return 0
        self._firsts[Kind.SWEEP_HOLDS, kill_id] = max(firsts)
        return max(firsts)


def _is_rehearsal(entry: Entry) -> bool:
    """Of a drill its end is told, and nothing else."""
    return bool(entry.data.get("dry_run")) and entry.kind != Kind.KILL_ENDED
