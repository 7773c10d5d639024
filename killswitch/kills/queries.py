"""Read kills."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from killswitch import database_clock

from .decision import Decision
from .models import Kill, KilledOrder, Outcome, State, Sweep
from .patience import QUIET_LATCH

LEAST_UNWATCHED = 8.0  # seconds
HAND_OVER_TAKES = timedelta(seconds=2)
ENDED_BADLY = (Outcome.STUCK, Outcome.STILL_OPEN, Outcome.UNKNOWN, Outcome.NOT_FOUND)


def recent_kills() -> QuerySet[Kill]:
    return Kill.objects.annotate(
        accounts=Count("sweeps", distinct=True),
        accounts_flat=Count("sweeps", filter=Q(sweeps__state__in=(State.FLAT, State.LATCHED)), distinct=True),
    ).order_by("-engaged_at")


def running_kills() -> QuerySet[Kill]:
    return Kill.objects.filter(ended_at=None).order_by("-engaged_at")


def touching(kills: QuerySet[Kill], account_ids: Collection[int] | None) -> QuerySet[Kill]:
    """Narrow kills to those that reach one of these accounts; None stands for all accounts."""
    if account_ids is None:
        return kills
    return kills.filter(Exists(Sweep.objects.filter(kill_id=OuterRef("pk"), account_id__in=account_ids)))


def within(kills: QuerySet[Kill], account_ids: Collection[int] | None) -> QuerySet[Kill]:
    """Narrow kills to those that reach none but these accounts; None stands for all accounts."""
    if account_ids is None:
        return kills
    others = Sweep.objects.filter(kill_id=OuterRef("pk")).exclude(account_id__in=account_ids)
    return touching(kills, account_ids).filter(~Exists(others), all_accounts=False)


def as_they_stand(kills: Iterable[Kill]) -> list[Kill]:
    """Return `kills` with the state of latched ones put right that nobody watches: quiet was an hour ago."""
    found = list(kills)
    held = [kill.id for kill in found if kill.state == State.LATCHED]
    if held:
        unwatched = set(unwatched_sweeps().filter(kill_id__in=held).values_list("kill_id", flat=True))
        for kill in found:
            kill.state = State.UNKNOWN if kill.id in unwatched else kill.state
    return found


def decision_of(kill: Kill) -> Decision:
    """Return what was asked for with a kill, without its reason and under a key of its own."""
    swept = kill.sweeps.order_by("account_id").values_list("account_id", flat=True)
    return Decision(
        account_ids=() if kill.all_accounts else tuple(swept),
        all_accounts=kill.all_accounts,
        filter=kill.filter,
        latched=kill.latched,
        dry_run=kill.dry_run,
    )


def unwatched_sweeps() -> QuerySet[Sweep]:
    """Return latched sweeps that nobody holds any more, or that have not been listed for long though somebody does."""
    latched = Sweep.objects.filter(ended_at=None, state=State.LATCHED)
    # Twice what a list takes at the slowest: its pause, and the turn of every latched account in the budget.
    pause = QUIET_LATCH * settings.KILL_LATCH_SECONDS + latched.count() / settings.KILL_REPEATS_PER_SECOND
    long = database_clock.now() - timedelta(seconds=max(LEAST_UNWATCHED, 2 * pause))
    let_go = database_clock.now() - HAND_OVER_TAKES
    return latched.filter(Q(lease_until__lt=let_go) | Q(listed_at__lt=long))


def unwatched_by_kill() -> dict[uuid.UUID, int]:
    """Count the latched sweeps per kill that nobody watches; a kill without any is left out."""
    return dict(unwatched_sweeps().order_by().values_list("kill_id").annotate(Count("id")))


def sweeps_as_they_stand(sweeps: Iterable[Sweep]) -> list[Sweep]:
    """Return `sweeps` with the state of latched ones put right that nobody watches."""
    found = list(sweeps)
    if any(sweep.state == State.LATCHED for sweep in found):
        unwatched = set(unwatched_sweeps().filter(kill_id=found[0].kill_id).values_list("id", flat=True))
        for sweep in found:
            if sweep.id in unwatched:
                sweep.state, sweep.error = State.UNKNOWN, sweep.error or "not listed again since it was quiet"
    return found


def sweeping_kill_by_account() -> dict[int, Kill]:
    """Return the kill that sweeps each account; of several the latched one, else the newest."""
    sweeps = Sweep.objects.filter(ended_at=None, kill__ended_at=None).select_related("kill")
    oldest_first = sweeps.order_by("kill__engaged_at")
    ranked = sorted(oldest_first, key=lambda sweep: (sweep.kill.is_held, not sweep.kill.dry_run))
    return {sweep.account_id: sweep.kill for sweep in ranked}


def sweeps_of(kill: Kill) -> QuerySet[Sweep]:
    """Return a kill's sweeps, each with the number of orders that it touched and that have ended."""
    return kill.sweeps.annotate(
        touched=Count("orders"),
        ended_orders=Count("orders", filter=Q(orders__ended_at__isnull=False)),
        late=Count("orders", filter=Q(orders__is_late=True)),
    ).order_by("account_id")


def orders_of(kill_id: uuid.UUID) -> QuerySet[KilledOrder]:
    return (
        KilledOrder.objects.filter(sweep__kill_id=kill_id).select_related("sweep").order_by("sweep__account_id", "id")
    )


def outcomes_of(kill_id: uuid.UUID) -> dict[str, int]:
    """Count a kill's orders by outcome."""
    counted = KilledOrder.objects.filter(sweep__kill_id=kill_id).values_list("outcome").annotate(Count("id")).order_by()
    return dict(counted)


def outcomes_by_kill(kill_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, dict[str, int]]:
    """Count the orders of several kills by outcome; a kill without any is left out."""
    touched = KilledOrder.objects.filter(sweep__kill_id__in=kill_ids).order_by()
    counts: dict[uuid.UUID, dict[str, int]] = {}
    for kill_id, outcome, count in touched.values_list("sweep__kill_id", "outcome").annotate(Count("id")):
        counts.setdefault(kill_id, {})[outcome] = count
    return counts


def late_arrivals_of(kill_id: uuid.UUID) -> int:
    """Count a kill's orders that arrived after it began."""
    return KilledOrder.objects.filter(sweep__kill_id=kill_id, is_late=True).count()


def late_arrivals_by_kill(kill_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Count late arrivals per kill; a kill without any is left out."""
    late = KilledOrder.objects.filter(sweep__kill_id__in=kill_ids, is_late=True)
    return dict(late.order_by().values_list("sweep__kill_id").annotate(Count("id")))


def abandoned(kill_id: uuid.UUID) -> int:
    """Count the accounts of a kill that somebody worked on and nobody does now."""
    return Sweep.objects.filter(kill_id=kill_id, ended_at=None, lease_until__lt=database_clock.now()).count()


def abandoned_accounts() -> set[tuple[uuid.UUID, int]]:
    """Return those accounts of all kills that run, each with its kill."""
    sweeps = Sweep.objects.filter(ended_at=None, kill__ended_at=None, lease_until__lt=database_clock.now())
    return set(sweeps.values_list("kill_id", "account_id"))


def seconds_since(kill: Kill) -> float:
    """How long a kill has run, or ran, in seconds."""
    return ((kill.ended_at or timezone.now()) - kill.engaged_at).total_seconds()


def as_json(kill: Kill) -> dict[str, Any]:
    """Return a kill as other programs read it."""
    [kill] = as_they_stand([kill])
    return rows_as_json(kill, sweeps_as_they_stand(sweeps_of(kill)), list(orders_of(kill.id)))


def rows_as_json(kill: Kill, sweeps: Sequence[Sweep], orders: Sequence[KilledOrder]) -> dict[str, Any]:
    """Return a kill as other programs read it, from its rows: a break-glass kill has no database."""
    accounts = {sweep.id: sweep.account_id for sweep in sweeps}
    late = Counter(order.sweep_id for order in orders if order.is_late)
    return {
        "id": str(kill.id),
        "state": kill.state,
        "engaged_at": kill.engaged_at.isoformat(),
        "engaged_by": kill.engaged_by_name,
        "ended_at": _time(kill.ended_at),
        "reason": kill.reason,
        "broker": kill.broker or None,
        "reason_given_at": _time(kill.reason_given_at),
        "reason_given_by": kill.reason_given_by_name or None,
        "scope": kill.scope,
        "latched": kill.latched,
        "dry_run": kill.dry_run,
        "released_at": _time(kill.released_at),
        "released_by": kill.released_by_name or None,
        "late_arrivals": late.total(),
        "error": kill.roster_error,
        "sweeps": [_sweep_json(sweep, late[sweep.id]) for sweep in sweeps],
        "outcomes": dict(Counter(str(order.outcome) for order in orders)),
        "orders": [_order_json(order, accounts[order.sweep_id]) for order in orders],
    }


def _sweep_json(sweep: Sweep, late: int) -> dict[str, Any]:
    return {
        "account_id": sweep.account_id,
        "state": sweep.state,
        "first_attempt_at": _time(sweep.first_attempt_at),
        "first_answer_at": _time(sweep.first_answer_at),
        "first_flat_at": _time(sweep.first_flat_at),
        "listed_at": _time(sweep.listed_at),
        "flat_at": _time(sweep.flat_at),
        "error": sweep.error or None,
        "throttled": sweep.throttled or None,
        "next_try_at": _time(sweep.next_try_at),
        "late_arrivals": late,
    }


def _order_json(order: KilledOrder, account_id: int) -> dict[str, Any]:
    return {
        "account_id": account_id,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "legs": order.legs or None,
        "side": order.side,
        "order_type": order.order_type,
        "time_in_force": order.time_in_force,
        "price": _text(order.price),
        "stop_price": _text(order.stop_price),
        "outcome": order.outcome,
        "quantity": _text(order.quantity),
        "leaves_quantity": _text(order.leaves_quantity),
        "filled_quantity": _text(order.filled_quantity),
        "late": order.is_late,
        "replaces": order.replaces or None,
        "lost_quantity": _text(order.lost_quantity),
        "lost_notional": _text(order.lost_notional),
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _text(value: Any) -> str | None:
    return None if value is None else format(value, "f")
