"""The figures of one kill. Its page and its incident pack both take them from here, so they cannot disagree."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet

from killswitch.kills.alarms import is_unattended
from killswitch.kills.meanings import Meaning, meaning_of, standing
from killswitch.kills.models import Kill, KilledOrder, Outcome, State, Sweep
from killswitch.kills.queries import (
    ENDED_BADLY,
    as_they_stand,
    late_arrivals_of,
    orders_of,
    seconds_since,
    sweeps_as_they_stand,
    unwatched_sweeps,
)
from killswitch.words import counted, dollars, figure, unpriced

from .contradictions import of_kill
from .course import Course, course_of

NOT_GONE = (Outcome.PENDING, *ENDED_BADLY, Outcome.WOULD_CANCEL)
QUIET = (State.FLAT, State.LATCHED)
ACCOUNTS_NAMED = 5
ROWS = 2000  # read at a time


@dataclass
class Lost:
    """What traded while cancels were on their way."""

    orders: int = 0
    quantity: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)
    unpriced: int = 0

    @classmethod
    def of(cls, kill: Kill) -> "Lost":
        traded = orders_of(kill.id).exclude(lost_quantity=None).order_by()
        rows: Iterator[Any] = traded.values_list("lost_quantity", "lost_notional").iterator(ROWS)
        lost = cls()
        for quantity, notional in rows:
            lost.add(quantity, notional)
        return lost

    def add(self, quantity: Decimal, notional: Decimal | None) -> None:
        """Add one order; one of which nothing traded does not count."""
        if quantity:
            self.orders += 1
            self.quantity += quantity
            self.notional += notional or 0
            self.unpriced += notional is None

    @property
    def worth(self) -> str:
        return "notional not known" if self.unpriced == self.orders else dollars(self.notional)

    @property
    def without_price(self) -> str:
        return "" if self.unpriced == self.orders else unpriced(self.unpriced)

    def __str__(self) -> str:
        words = f"{counted(self.orders, 'order')}, quantity {figure(self.quantity)}, {self.worth}"
        return f"{words} {self.without_price}".strip()


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How many accounts have come to a point, and when the first and the last of them did."""

    engaged_at: datetime
    accounts: int
    count: int
    first_at: datetime | None
    last_at: datetime | None

    @property
    def first(self) -> float | None:
        """In seconds after the press."""
        return self._after(self.first_at)

    @property
    def last(self) -> float | None:
        """In seconds after the press; None until every account has come to it."""
        return self._after(self.last_at) if self.is_whole else None

    @property
    def is_whole(self) -> bool:
        return 0 < self.accounts == self.count

    def _after(self, at: datetime | None) -> float | None:
        return None if at is None else (at - self.engaged_at).total_seconds()


@dataclass(frozen=True, kw_only=True)
class Times:
    """How fast it was."""

    attempted: Reached  # the first DELETE of an account, announced
    answered: Reached  # the first answer of an account that a DELETE was announced for, whatever it was
    only_listed: int  # accounts that needed no DELETE so far: their list shows nothing that matches
    flat: Reached  # nothing open that matches, for the first time

    @classmethod
    def of(cls, kill: Kill) -> "Times":
        columns = {"attempted": "first_attempt_at", "answered": "first_answer_at", "flat": "first_flat_at"}
        asked: dict[str, Any] = {"accounts": Count("id")}
        for name, column in columns.items():
            asked |= {f"{name}_count": Count(column), f"{name}_first": Min(column), f"{name}_last": Max(column)}
        only_listed = Q(first_attempt_at=None, listed_at__isnull=False, open_orders=0)
        found = kill.sweeps.aggregate(only_listed=Count("id", filter=only_listed), **asked)

        def reached(name: str, accounts: int) -> Reached:
            values = {key: found[f"{name}_{key}"] for key in ("count", "first", "last")}
            return Reached(
                engaged_at=kill.engaged_at,
                accounts=accounts,
                count=values["count"],
                first_at=values["first"],
                last_at=values["last"],
            )

        accounts, listed = found["accounts"], found["only_listed"]
        return cls(
            attempted=reached("attempted", accounts),
            answered=reached("answered", accounts - listed),
            flat=reached("flat", accounts),
            only_listed=listed,
        )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the orders of a kill have come. Each order stands in the last stage that it reached, and in one only."""

    ended: int  # gone, by the broker's word
    bad: int  # stuck, still open, unknown, not found
    accepted: int  # its cancel is accepted and not carried out
    asked: int  # its cancel has left and is not answered
    waits: int  # seen, and not asked to go yet

    @property
    def known(self) -> int:
        return self.ended + self.bad + self.accepted + self.asked + self.waits


class Tally:
    """What its orders come to, counted by one walk over them: a page that follows asks every second."""

    def __init__(self, orders: QuerySet[KilledOrder]) -> None:
        has_ended, is_accepted = Q(ended_at__isnull=False), Q(accepted_at__isnull=False)
        is_asked = Q(asked_at__isnull=False)
        rows = (
            orders.order_by()
            .values("outcome")
            .annotate(
                number=Count("id"),
                ended=Count("id", filter=has_ended),
                accepted=Count("id", filter=is_accepted & ~has_ended),
                asked=Count("id", filter=is_asked & ~is_accepted & ~has_ended),
                last_asked=Max("asked_at"),
                last_accepted=Max("accepted_at"),
                last_ended=Max("ended_at"),
            )
        )
        self._rows: list[Any] = list(rows)

    @property
    def outcomes(self) -> dict[str, int]:
        return {row["outcome"]: row["number"] for row in self._rows}

    @property
    def progress(self) -> Progress:
        bad = sum(row["number"] for row in self._rows if row["outcome"] in ENDED_BADLY)
        others = [row for row in self._rows if row["outcome"] not in ENDED_BADLY]
        stages = {name: sum(row[name] for row in others) for name in ("ended", "accepted", "asked")}
        waits = sum(row["number"] for row in others) - sum(stages.values())
        return Progress(bad=bad, waits=waits, **stages)

    @property
    def last_at(self) -> datetime | None:
        """When something last happened to one of them."""
        times = (row[name] for row in self._rows for name in ("last_asked", "last_accepted", "last_ended"))
        return max((at for at in times if at), default=None)

    @property
    def version(self) -> str:
        """Return what differs where a moment of an order does."""
        return repr(sorted(self._rows, key=lambda row: str(row["outcome"])))


class Incident:
    """A kill with its figures, each read when it is first asked for."""

    def __init__(self, kill: Kill) -> None:
        [self.kill] = as_they_stand([kill])
        self.is_running = not kill.is_over
        self.seconds = seconds_since(kill)

    @cached_property
    def is_unattended(self) -> bool:
        """Say whether it runs, and nobody works on it: what its state says is of before."""
        return is_unattended(self.kill)

    @cached_property
    def standing(self) -> str:
        return standing(self.kill, is_unattended=self.is_unattended)

    @cached_property
    def meaning(self) -> Meaning:
        return meaning_of(self.kill, has_orders=bool(self.call_count), is_unattended=self.is_unattended)

    @cached_property
    def last_asked_at(self) -> datetime | None:
        """When an account of it was last listed."""
        at: datetime | None = self.kill.sweeps.aggregate(at=Max("listed_at"))["at"]
        return at

    @cached_property
    def contradictions(self) -> list[str]:
        """Say where the kill's own row is not what the audit trail recorded."""
        return of_kill(self.kill)

    @cached_property
    def times(self) -> Times:
        return Times.of(self.kill)

    # --- orders

    def orders(self) -> QuerySet[KilledOrder]:
        return orders_of(self.kill.id)

    @cached_property
    def tally(self) -> Tally:
        return Tally(self.orders())

    @cached_property
    def outcomes(self) -> list[tuple[str, str, int, bool]]:
        """Return each outcome's name, words, count and whether it is a bad one."""
        counts = self.tally.outcomes
        known = [(str(name), str(name.label), counts.get(name, 0), name in ENDED_BADLY) for name in Outcome]
        return [row for row in known if row[2]]

    @cached_property
    def order_count(self) -> int:
        return sum(count for _, _, count, _ in self.outcomes)

    @cached_property
    def not_gone_count(self) -> int:
        return sum(count for name, _, count, _ in self.outcomes if name in NOT_GONE)

    @cached_property
    def late_count(self) -> int:
        return late_arrivals_of(self.kill.id)

    @cached_property
    def progress(self) -> Progress:
        return self.tally.progress

    def course(self, until: float) -> Course:
        """Return how it went from the press to `until` seconds after it."""
        return course_of(self.kill.id, self.kill.engaged_at, until, version=self.tally.version)

    @cached_property
    def told_until(self) -> float:
        """Until how many seconds after the press there is something to tell: when it is quiet, until it became so."""
        if self.is_running and self.kill.state != State.LATCHED:
            return self.seconds
        last = self.tally.last_at
        return max(0.0, (last - self.kill.engaged_at).total_seconds()) if last else 0.0

    @cached_property
    def lost(self) -> Lost:
        return Lost.of(self.kill)

    @cached_property
    def successors(self) -> dict[str, str]:
        """Map each replaced order to the one that took its place."""
        return dict(self.orders().exclude(replaces="").order_by().values_list("replaces", "order_id"))

    # --- accounts

    @cached_property
    def _accounts_by_state(self) -> Counter[str]:
        counts = Counter(dict(self.kill.sweeps.order_by().values_list("state").annotate(Count("id"))))
        if counts[State.LATCHED] and (unwatched := unwatched_sweeps().filter(kill=self.kill).count()):
            counts[State.LATCHED] -= unwatched
            counts[State.UNKNOWN] += unwatched
        return counts

    @property
    def sweep_count(self) -> int:
        return self._accounts_by_state.total()

    @property
    def states(self) -> list[tuple[str, str, int]]:
        """Return each state that accounts are in, with its words and their number."""
        counts = self._accounts_by_state
        return [(str(state), str(state.label), counts[state]) for state in State if counts[state] > 0]

    @property
    def flat_count(self) -> int:
        return sum(self._accounts_by_state[state] for state in QUIET)

    @cached_property
    def not_flat(self) -> list[Sweep]:
        """Return some of the accounts that are not flat, or not known to be."""
        quiet = self.kill.sweeps.filter(state__in=QUIET).exclude(id__in=unwatched_sweeps().values("id"))
        others = self.kill.sweeps.exclude(id__in=quiet.values("id")).order_by("account_id")
        return sweeps_as_they_stand(others[:ACCOUNTS_NAMED])

    @property
    def not_flat_more(self) -> int:
        return self.sweep_count - self.flat_count - len(self.not_flat)

    # --- what takes a call to the broker's desk

    @cached_property
    def call_count(self) -> int:
        """Count the orders to be read out."""
        return 0 if self.kill.dry_run else sum(count for _, _, count, is_bad in self.outcomes if is_bad)

    @cached_property
    def takes_a_call(self) -> bool:
        if self.kill.dry_run:
            return False
        return bool(self.call_count or self.kill.roster_error) or accounts_in_doubt(self.kill).exists()


def accounts_in_doubt(kill: Kill) -> QuerySet[Sweep]:
    """Return the accounts of a kill of which it is not known what is open."""
    unwatched = unwatched_sweeps().filter(kill=kill).values("id")
    has_trouble = Q(state=State.RUNNING) & ~Q(error="")
    return kill.sweeps.filter(Q(state=State.UNKNOWN) | has_trouble | Q(id__in=unwatched)).order_by("account_id")
