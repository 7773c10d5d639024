"""What can be said about the product's own parts, from the database alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import Error, connection
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.which_broker import broker_address

from .ages import is_fresh
from .models import Finding, Watch
from .rows import old_after
from .verdict import BREAK_GLASS, Fault, Part, Verdict, judge, unchecked
from .writable import refuses_writes

HISTORY = 20


@dataclass(frozen=True, kw_only=True)
class PartStanding:
    """How a part stands. Times are of this machine's clock."""

    part: Part
    fault: Fault | None
    says: str = ""
    took_ms: float | None = None
    checked_at: datetime | None = None
    since: datetime | None = None
    # What the fault comes to together with others.
    comes_to: Fault | None = None

    @property
    def verdict(self) -> Verdict:
        return self.comes_to.verdict if self.comes_to else Verdict.ARMED

    @property
    def word(self) -> str:
        """Say in a word how it is."""
        if self.fault is None:
            return "well"
        if self.fault == Fault.UNCHECKED or self.fault.verdict == Verdict.NOT_KNOWN:
            return "not known"
        return "down" if self.fault.verdict == Verdict.NOT_ARMED or self.fault.name.endswith("GONE") else "look at it"


@dataclass(frozen=True, kw_only=True)
class Light:
    """What the light shows: the verdict, why, and how each part stands."""

    verdict: Verdict
    faults: Sequence[Fault]
    parts: Sequence[PartStanding]
    checked_at: datetime | None
    since: datetime | None
    better_since: datetime | None = None

    @property
    def word(self) -> str:
        return str(self.verdict.label)

    @property
    def tone(self) -> str:
        return self.verdict.tone

    @property
    def is_armed(self) -> bool:
        return self.verdict.is_armed

    @property
    def sentence(self) -> str:
        """Say in a sentence why; empty where all is well."""
        if self.faults:
            return self.faults[0].value.says
        if self.better_since is not None:
            return "Everything answers again; the light follows once that has held for ten seconds."
        return ""

    @property
    def do(self) -> str:
        return self.faults[0].value.do if self.faults else ""

    @property
    def others(self) -> Sequence[Fault]:
        """Return what is wrong besides."""
        return self.faults[1:]

    @property
    def break_glass(self) -> str:
        """Return the command line that stops whatever is broken here; empty while the page does."""
        return "" if self.is_armed else BREAK_GLASS


def database_answers() -> bool:
    """Say whether the database answers a question."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except Error:
        return False


def not_known(fault: Fault = Fault.NOBODY_LOOKS) -> Light:
    """Return the light where nothing can be read."""
    parts = [PartStanding(part=part, fault=unchecked(part), comes_to=unchecked(part)) for part in Part]
    return Light(verdict=fault.verdict, faults=[fault], parts=parts, checked_at=None, since=None)


def light() -> Light:
    """Return what the light shows. Raises django.db.Error where the database does not answer."""
    watch = Watch.objects.with_time().filter(id=1).first()
    if watch is None or watch.seen_at is None:
        return not_known()
    ages = _Ages(watch.now)
    found = _standings(ages)
    wrong, says = _wrong_with_the_lookout(watch, ages)
    lookout = PartStanding(
        part=Part.LOOKOUT,
        fault=wrong,
        comes_to=wrong,
        says=says,
        checked_at=ages.here(watch.seen_at),
    )
    judged = judge({part: standing.fault for part, standing in found.items()})
    parts = [*(replace(each, comes_to=judged.what_comes_of(each.fault)) for each in found.values()), lookout]
    if lookout.fault == Fault.LOOKOUT_ELSEWHERE:
        faults = (lookout.fault, *judged.faults)
        return Light(verdict=Verdict.NOT_ARMED, faults=faults, parts=parts, checked_at=lookout.checked_at, since=None)
    if lookout.fault is not None:
        fault = Fault.DATABASE_GONE if refuses_writes() else lookout.fault
        return Light(verdict=fault.verdict, faults=[fault], parts=parts, checked_at=lookout.checked_at, since=None)
    shown = Verdict.of(watch.verdict)
    return Light(
        verdict=max(shown, judged.verdict, key=lambda verdict: verdict.badness),
        faults=judged.faults,
        parts=parts,
        checked_at=lookout.checked_at,
        since=ages.here(watch.since) if watch.since else None,
        better_since=ages.here(watch.better_since) if watch.better_since else None,
    )


def _wrong_with_the_lookout(watch: Watch, ages: "_Ages") -> tuple[Fault | None, str]:
    """Return whether what the lookout wrote can be used here, and what to tell of it."""
    if watch.seen_at is None or ages.is_old(watch.seen_at):
        return Fault.NOBODY_LOOKS, watch.where
    here = broker_address()
    if watch.broker != here:
        return Fault.LOOKOUT_ELSEWHERE, f"{watch.where} asks {watch.broker}; this page is set to {here}"
    return None, watch.where


class _Ages:
    """How old the database's times are, and what they are by this machine's clock, which may be another."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._here = timezone.now()

    def here(self, at: datetime) -> datetime:
        return self._here - (self._now - at)

    def is_old(self, at: datetime, of: timedelta = timedelta(0)) -> bool:
        return not is_fresh(self._now - at, old_after() + of)


# Some parts are looked at less often than others, or take their time.
MORE = timedelta(seconds=90)


def _standings(ages: _Ages) -> dict[Part, PartStanding]:
    rows = {row.part: row for row in Finding.objects.all()}
    return {part: _standing(part, rows.get(part), ages) for part in Part if part != Part.LOOKOUT}


def _standing(part: Part, row: Finding | None, ages: _Ages) -> PartStanding:
    if row is None:
        return PartStanding(part=part, fault=unchecked(part))
    fault = Fault.of(row.fault)
    if fault == Fault.UNCHECKED or ages.is_old(row.checked_at, MORE):
        fault = unchecked(part)
    return PartStanding(
        part=part,
        fault=fault,
        says=row.says,
        took_ms=None if row.took_us is None else row.took_us / 1000,
        checked_at=ages.here(row.checked_at),
        since=ages.here(row.since),
    )


def changes() -> Sequence[Entry]:
    """Return the last changes of the light, the newest first."""
    return list(Entry.objects.filter(kind=Kind.LIGHT_CHANGED).order_by("-id")[:HISTORY])
