"""What happened when, and who had a hand in it: both read from the entries of the audit trail."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.db.models import F, Max, Min, Q, QuerySet

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill
from killswitch.words import counted

from .figures import ROWS, Incident, Reached

# Of each account its first announcement and its first answer stand in the timeline as well.
MOMENTS = (
    *(Kind.KILL_ENGAGED, Kind.KILL_WIDENED, Kind.KILL_RELEASED, Kind.RELEASE_REFUSED, Kind.KILL_ENDED),
    Kind.REASON_GIVEN,
    *(Kind.SWEEP_TAKEN_OVER, Kind.SWEEP_HANDED_OVER, Kind.SWEEP_HOLDS, Kind.SWEEP_ENDED),
    *(Kind.ORDER_ARRIVED, Kind.ALARM_ACKNOWLEDGED, Kind.JOURNAL_IMPORTED),
)
# What the machinery writes by itself; every other entry of a kill is a person's deed.
BY_ITSELF = (
    *(Kind.KILL_WIDENED, Kind.KILL_ENDED),
    *(Kind.SWEEP_TAKEN_OVER, Kind.SWEEP_HANDED_OVER, Kind.SWEEP_HOLDS, Kind.SWEEP_ENDED),
    *(Kind.ATTEMPT_ANNOUNCED, Kind.ATTEMPT_REHEARSED, Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED),
    *(Kind.ORDER_ARRIVED, Kind.ORDER_SUCCESSOR, Kind.ORDER_ACCEPTED, Kind.ORDER_ENDED),
)
# Deeds that may come long after a kill and tell nothing of it.
AFTERWARDS = (Kind.PACK_TAKEN, Kind.RELEASE_REFUSED)
# What tells of it and may come long after, too: then it does not draw all that lies between into the pack.
MAYBE_LATER = (Kind.REASON_GIVEN, Kind.ALARM_ACKNOWLEDGED)
NEAR = 1000  # entries
NAMED = 5
SOURCES = 10


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One line of a timeline. `seconds` are after the press; `sequence` is its entry's, where it is one entry."""

    at: datetime
    seconds: float
    what: str
    sequence: int | None = None
    account_id: int | None = None
    kind: str = ""
    by: str = ""
    source: str = ""


class Timeline:
    """What happened to a kill: every moment of it, or the few that one page has room for."""

    def __init__(self, incident: Incident) -> None:
        self._incident = incident
        self._kill = incident.kill

    def moments(self) -> Iterator[Moment]:
        """Yield every moment in the order of the record."""
        mine = entries_of(self._kill)
        tried = mine.filter(kind__in=(Kind.ATTEMPT_ANNOUNCED, Kind.ATTEMPT_REHEARSED))
        answered = mine.filter(kind=Kind.ATTEMPT_ANSWERED, http_status__isnull=False)
        firsts = Q(id__in=_first_of_each_account(tried)) | Q(id__in=_first_of_each_account(answered))
        for entry in mine.filter(Q(kind__in=MOMENTS) | firsts).order_by("id").iterator(ROWS):
            yield self._moment(entry)

    def _moment(self, entry: Entry) -> Moment:
        return Moment(
            at=entry.at,
            seconds=self._after(entry.at),
            what=entry.sentence,
            sequence=entry.id,
            account_id=entry.account_id,
            kind=entry.kind,
            by=entry.actor_name,
            source=entry.source,
        )

    def _after(self, at: datetime) -> float:
        return (at - self._kill.engaged_at).total_seconds()

    @cached_property
    def in_short(self) -> list[Moment]:
        """Return what matters most, in the order of time; what is many is one line."""
        return sorted(self._short(), key=lambda moment: moment.at)

    def _short(self) -> Iterator[Moment]:
        kill, times = self._kill, self._incident.times
        who = kill.engaged_by_name or "somebody"
        yield self._at(kill.engaged_at, f"Pressed by {who}" + (" (dry run)" if kill.dry_run else ""))
        if times.attempted.first_at:
            yield self._at(times.attempted.first_at, "First DELETE announced")
        if times.answered.last_at:
            sent = "that was sent a DELETE " if times.only_listed else ""
            yield self._at(times.answered.last_at, _so_far(times.answered, f"{sent}answered"))
        if times.flat.first_at and times.flat.count > 1:
            yield self._at(times.flat.first_at, "First account flat")
        if times.flat.last_at:
            yield self._at(times.flat.last_at, _so_far(times.flat, "flat"))
        yield from self._summed(Kind.ORDER_ARRIVED, "late arrival", "Late arrivals")
        yield from self._summed(Kind.SWEEP_TAKEN_OVER, "account taken over", "Accounts taken over")
        yield from self._summed(Kind.SWEEP_HANDED_OVER, "account handed over", "Accounts handed over")
        for kind in (Kind.RELEASE_REFUSED, Kind.ALARM_ACKNOWLEDGED):
            named = entries_of(kill).filter(kind=kind).order_by("id")[:NAMED]
            yield from (self._moment(entry) for entry in named)
        if kill.reason_given_at:
            yield self._at(kill.reason_given_at, f"Reason given by {kill.reason_given_by_name or 'somebody'}")
        if kill.released_at:
            yield self._at(kill.released_at, f"Released by {kill.released_by_name or 'somebody'}")
        if kill.ended_at:
            yield self._at(kill.ended_at, f"Ended: {self._incident.standing}")

    def _summed(self, kind: Kind, one: str, many: str) -> Iterator[Moment]:
        found = entries_of(self._kill).filter(kind=kind)
        span = found.aggregate(first=Min("at"), last=Max("at"))
        if span["first"] is None:
            return
        number = found.count()
        if number <= 2:
            for entry in found.order_by("id"):
                yield self._moment(entry)
            return
        yield self._at(span["first"], f"{many}: the first of {number:,}")
        yield self._at(span["last"], f"{many}: the last of {number:,}")

    def _at(self, at: datetime, what: str) -> Moment:
        return Moment(at=at, seconds=self._after(at), what=what)


def _so_far(reached: Reached, word: str) -> str:
    if reached.is_whole:
        return f"Every account {word}"
    return f"The last of {reached.count:,} accounts {word}, of {reached.accounts:,}"


def entries_of(kill: Kill) -> QuerySet[Entry]:
    """Return the entries of a kill."""
    return Entry.objects.filter(kill_id=kill.id)


def _first_of_each_account(entries: QuerySet[Entry]) -> QuerySet[Entry, int]:
    return entries.order_by().values("account_id").annotate(first=Min("id")).values_list("first", flat=True)


class People:
    """Who had a hand in a kill: every deed that is not the machinery's own, and what of that machinery it was."""

    def __init__(self, kill: Kill) -> None:
        self._kill = kill

    def deeds(self) -> Iterator[Entry]:
        """Yield what people did, those that were refused among them, in the order of the record."""
        mine = entries_of(self._kill).exclude(kind__in=BY_ITSELF)
        refused = Entry.objects.filter(kind=Kind.DENIED, data__contains=str(self._kill.id))
        yield from (mine | refused).order_by("id").iterator(ROWS)

    @cached_property
    def in_short(self) -> list[tuple[str, str, int]]:
        """Return each person with what they did and how often, in the order in which they first did it."""
        deeds: dict[tuple[str, str], int] = {}
        for entry in self.deeds():
            deed = (entry.actor_name or "somebody", entry.kind_words)
            deeds[deed] = deeds.get(deed, 0) + 1
        return [(name, deed, times) for (name, deed), times in deeds.items()]

    @cached_property
    def sources(self) -> list[str]:
        """Return which processes carried it out."""
        worked = entries_of(self._kill).filter(kind__in=BY_ITSELF).exclude(source="")
        found = worked.order_by().values_list("source", flat=True).distinct()
        return sorted(found)

    @property
    def carried_out_by(self) -> str:
        named = ", ".join(self.sources[:SOURCES])
        more = len(self.sources) - SOURCES
        return f"{named} and {counted(more, 'more process')}" if more > 0 else named


# Kept apart from `deeds`: where a pack ends is not moved by whoever takes it.
def last_of(kill: Kill) -> int | None:
    """Return the number of the last entry that tells what became of a kill, or of one soon after it."""
    told = entries_of(kill).exclude(kind__in=AFTERWARDS).order_by(F("id").desc()).values_list("id", flat=True)
    last = told.exclude(kind__in=MAYBE_LATER).first()
    return None if last is None else told.filter(id__lte=last + NEAR).first()


def late_reason_of(kill: Kill, after: int) -> int | None:
    """Return the number of the entry of its reason, where that was given after entry `after`."""
    given = entries_of(kill).filter(kind=Kind.REASON_GIVEN, id__gt=after)
    return given.order_by("id").values_list("id", flat=True).first()


def first_of(kill: Kill) -> int | None:
    return entries_of(kill).order_by("id").values_list("id", flat=True).first()
