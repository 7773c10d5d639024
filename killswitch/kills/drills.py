"""Drills: dry runs beside real kills, quarter by quarter, and when the next one is due."""

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet, Sum

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append

from .models import DrillPlan, Kill, State
from .queries import as_they_stand, seconds_since, within

MOST_DAYS = 366
MONTHS = ("January to March", "April to June", "July to September", "October to December")
# A dry run that could not list what is open has shown little: it does not put the next one off.
CAME_THROUGH = Q(dry_run=True, ended_at__isnull=False, state__in=(State.FLAT, State.NOT_FLAT))


# --- what there was


@dataclass(frozen=True, order=True)
class Quarter:
    """Three months of UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, at: datetime) -> "Quarter":
        at = at.astimezone(UTC)
        return cls(at.year, (at.month + 2) // 3)

    @property
    def begins(self) -> datetime:
        return datetime(self.year, 3 * self.number - 2, 1, tzinfo=UTC)

    @property
    def ends(self) -> datetime:
        return self.next.begins

    @property
    def next(self) -> "Quarter":
        return Quarter(self.year + 1, 1) if self.number == 4 else Quarter(self.year, self.number + 1)

    @property
    def name(self) -> str:
        return f"{self.year}-Q{self.number}"

    @property
    def months(self) -> str:
        return MONTHS[self.number - 1]


@dataclass(frozen=True)
class Tally:
    """How many there were in a quarter."""

    drills: int
    came_through: int
    real: int

    @property
    def inconclusive(self) -> int:
        return self.drills - self.came_through


@dataclass(frozen=True)
class Row:
    """One kill or dry run with its times."""

    kill: Kill
    accounts: int
    first_delete_at: datetime | None
    open_orders: int | None

    @property
    def first_delete_ms(self) -> float | None:
        return (self.first_delete_at - self.kill.engaged_at).total_seconds() * 1000 if self.first_delete_at else None

    @property
    def seconds(self) -> float | None:
        """How long it took, as its page and the list of kills have it; None while it runs."""
        return seconds_since(self.kill) if self.kill.is_over else None

    @property
    def came_through(self) -> bool:
        return self.kill.dry_run and self.kill.is_over and self.kill.state in (State.FLAT, State.NOT_FLAT)


def quarters(year: int, now: datetime) -> Iterator[Quarter]:
    """Yield the quarters of a year in which there was a record, the newest first."""
    first, last = Quarter.of(record_begins(now)), Quarter.of(now)
    yield from (quarter for number in (4, 3, 2, 1) if first <= (quarter := Quarter(year, number)) <= last)


def years(now: datetime) -> list[int]:
    """Return the years in which there was a record, the newest first."""
    return list(range(now.year, record_begins(now).year - 1, -1))


def record_begins(now: datetime) -> datetime:
    """Return when the first thing happened that is known here."""
    first_entry = Entry.objects.order_by("id").values_list("at", flat=True).first()
    first_kill = Kill.objects.order_by("engaged_at").values_list("engaged_at", flat=True).first()
    return min(at for at in (first_entry, first_kill, now) if at is not None)


def kills_of(quarter: Quarter, among: Collection[int] | None = None) -> QuerySet[Kill]:
    """Return the kills and dry runs of a quarter, the newest first; of `among`, those that reach no other account."""
    kills = Kill.objects.filter(engaged_at__gte=quarter.begins, engaged_at__lt=quarter.ends)
    return within(kills, among).order_by("-engaged_at", "-id")


def tally(quarter: Quarter, among: Collection[int] | None = None) -> Tally:
    counted = (
        kills_of(quarter, among)
        .order_by()
        .aggregate(
            drills=Count("id", filter=Q(dry_run=True)),
            came_through=Count("id", filter=CAME_THROUGH),
            real=Count("id", filter=Q(dry_run=False)),
        )
    )
    return Tally(**counted)


def rows(
    quarter: Quarter, among: Collection[int] | None = None, *, size: int, before: uuid.UUID | None = None
) -> tuple[list[Row], bool]:
    """Return a page of a quarter by keyset, and whether there is more. `before` is the last kill of the page before."""
    found = kills_of(quarter, among)
    if before is not None:
        at = within(Kill.objects.all(), among).filter(id=before).values_list("engaged_at", flat=True).first()
        found = found.filter(Q(engaged_at__lt=at) | Q(engaged_at=at, id__lt=before)) if at else found.none()
    page = as_they_stand(found[: size + 1])
    return _with_times(page[:size]), len(page) > size


def _with_times(kills: Sequence[Kill]) -> list[Row]:
    counted = (
        Kill.objects.filter(id__in=[kill.id for kill in kills])
        .order_by()
        .annotate(
            accounts=Count("sweeps"),
            first_delete_at=Min("sweeps__first_attempt_at"),
            open_orders=Sum("sweeps__open_orders"),
        )
        .values_list("id", "accounts", "first_delete_at", "open_orders")
    )
    figures = {kill_id: found for kill_id, *found in counted}
    return [Row(kill, *figures[kill.id]) for kill in kills]


# --- when the next one is due


@dataclass(frozen=True)
class Reminder:
    """When the last drill was and when the next one is due. Days are whole ones."""

    now: datetime
    plan: DrillPlan
    last: Kill | None

    @property
    def every_days(self) -> int | None:
        return self.plan.every_days

    @property
    def days_since(self) -> int | None:
        return (self.now - self.last.engaged_at).days if self.last else None

    @property
    def due_at(self) -> datetime | None:
        begins = self.last.engaged_at if self.last else self.plan.since
        return begins + timedelta(days=self.every_days) if self.every_days and begins else None

    @property
    def is_overdue(self) -> bool:
        return self.due_at is not None and self.due_at <= self.now

    @property
    def days_left(self) -> int | None:
        """Return the days until the next one is due, begun ones counted; None where none is due or it is past."""
        return -((self.now - self.due_at) // timedelta(days=1)) if self.due_at and not self.is_overdue else None


def reminder(now: datetime) -> Reminder:
    last = Kill.objects.filter(CAME_THROUGH).order_by("-engaged_at").first()
    return Reminder(now, DrillPlan.objects.filter(id=1).first() or DrillPlan(), last)


@transaction.atomic
def schedule(every_days: int | None, *, actor: Actor, now: datetime) -> bool:
    """Say how often a drill is due; None takes the reminder away. Return whether that is a change."""
    DrillPlan.objects.get_or_create(id=1)
    plan = DrillPlan.objects.select_for_update().get(id=1)
    before = plan.every_days
    if every_days == before:
        return False
    plan.since = (plan.since or now) if every_days else None
    plan.every_days, plan.changed_at, plan.changed_by_name = every_days, now, actor.name
    plan.save()
    append([_scheduled(before, every_days, actor, now)])
    return True


def _scheduled(before: int | None, every_days: int | None, actor: Actor, now: datetime) -> Draft:
    what = f"a drill is due every {every_days} days" if every_days else "no drill is due any more"
    was = f"every {before} days" if before else "not scheduled"
    return Draft(
        kind=Kind.DRILL_SCHEDULED,
        at=now,
        actor=actor,
        sentence=f"{actor.name or 'Somebody'} scheduled drills: {what} (before: {was})",
        data={"every_days": every_days, "every_days_before": before},
    )
