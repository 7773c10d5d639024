"""How a kill stands at this moment, in the few figures that one line has room for."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from .models import Kill, KilledOrder, State, Sweep
from .queries import late_arrivals_of, outcomes_of, seconds_since

QUIET = (State.FLAT, State.LATCHED)


@dataclass(frozen=True, kw_only=True)
class Standing:
    state: str
    is_over: bool
    seconds: float  # since the press
    accounts: int
    accounts_flat: int  # flat, or quiet and latched
    outcomes: Mapping[str, int]
    late: int
    error: str  # why the accounts are not known, or what goes wrong on one of them
    throttled: str
    next_try_at: datetime | None


def standing_of(kill: Kill) -> Standing:
    """Read how a kill stands from the database. Call it with a kill that was just read."""
    counted = dict(kill.sweeps.values_list("state").annotate(Count("id")).order_by())
    slow = kill.sweeps.filter(ended_at=None).exclude(throttled="").order_by("-next_try_at").first()
    failing = kill.sweeps.filter(ended_at=None).exclude(error="").order_by("account_id").first()
    return _standing(kill, counted, outcomes_of(kill.id), late_arrivals_of(kill.id), slow, failing)


def standing_of_rows(kill: Kill, sweeps: Iterable[Sweep], orders: Iterable[KilledOrder]) -> Standing:
    """Say how a kill stands from its rows."""
    sweeps, orders = list(sweeps), list(orders)
    counted = Counter(str(sweep.state) for sweep in sweeps)
    outcomes = Counter(str(order.outcome) for order in orders)
    slow = next((sweep for sweep in sweeps if sweep.ended_at is None and sweep.throttled), None)
    failing = next((sweep for sweep in sweeps if sweep.ended_at is None and sweep.error), None)
    return _standing(kill, counted, outcomes, sum(order.is_late for order in orders), slow, failing)


def _standing(
    kill: Kill,
    states: Mapping[str, int],
    outcomes: Mapping[str, int],
    late: int,
    slow: Sweep | None,
    failing: Sweep | None,
) -> Standing:
    return Standing(
        state=kill.state,
        is_over=kill.is_over,
        seconds=seconds_since(kill),
        accounts=sum(states.values()),
        accounts_flat=sum(states.get(state, 0) for state in QUIET),
        outcomes=outcomes,
        late=late,
        error=kill.roster_error or (f"account {failing.account_id}: {failing.error}" if failing else ""),
        throttled=slow.throttled if slow else "",
        next_try_at=slow.next_try_at if slow else None,
    )
