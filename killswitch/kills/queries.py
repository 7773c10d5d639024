"""Read kills."""

import uuid
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from .models import Kill, KilledOrder, Outcome, State, Sweep

ENDED_BADLY = (Outcome.STUCK, Outcome.STILL_OPEN, Outcome.UNKNOWN, Outcome.NOT_FOUND)


def recent_kills() -> QuerySet[Kill]:
    return Kill.objects.annotate(
        accounts=Count("sweeps", distinct=True),
        accounts_flat=Count("sweeps", filter=Q(sweeps__state=State.FLAT), distinct=True),
    ).order_by("-engaged_at")


def running_kills() -> QuerySet[Kill]:
    return Kill.objects.filter(ended_at=None).order_by("-engaged_at")


def sweeps_of(kill: Kill) -> QuerySet[Sweep]:
    """Return a kill's sweeps, each with the number of orders that it touched and that have ended."""
    return kill.sweeps.annotate(
        touched=Count("orders"), ended_orders=Count("orders", filter=Q(orders__ended_at__isnull=False))
    ).order_by("account_id")


def orders_of(kill_id: uuid.UUID) -> QuerySet[KilledOrder]:
    return (
        KilledOrder.objects.filter(sweep__kill_id=kill_id).select_related("sweep").order_by("sweep__account_id", "id")
    )


def outcomes_of(kill_id: uuid.UUID) -> dict[str, int]:
    """Count a kill's orders by outcome."""
    counted = KilledOrder.objects.filter(sweep__kill_id=kill_id).values_list("outcome").annotate(Count("id")).order_by()
    return dict(counted)


def seconds_since(kill: Kill) -> float:
    """How long a kill has run, or ran, in seconds."""
    return ((kill.ended_at or timezone.now()) - kill.engaged_at).total_seconds()


def as_json(kill: Kill) -> dict[str, Any]:
    """Return a kill as other programs read it."""
    return {
        "id": str(kill.id),
        "state": kill.state,
        "engaged_at": kill.engaged_at.isoformat(),
        "engaged_by": kill.engaged_by_name,
        "ended_at": kill.ended_at.isoformat() if kill.ended_at else None,
        "reason": kill.reason,
        "scope": kill.scope,
        "error": kill.roster_error,
        "sweeps": [_sweep_json(sweep) for sweep in kill.sweeps.order_by("account_id")],
        "outcomes": outcomes_of(kill.id),
        "orders": [_order_json(order) for order in orders_of(kill.id)],
    }


def _sweep_json(sweep: Sweep) -> dict[str, Any]:
    return {
        "account_id": sweep.account_id,
        "state": sweep.state,
        "first_attempt_at": sweep.first_attempt_at.isoformat() if sweep.first_attempt_at else None,
        "flat_at": sweep.flat_at.isoformat() if sweep.flat_at else None,
        "error": sweep.error or None,
    }


def _order_json(order: KilledOrder) -> dict[str, Any]:
    return {
        "account_id": order.sweep.account_id,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": order.side,
        "outcome": order.outcome,
        "leaves_quantity": _text(order.leaves_quantity),
        "filled_quantity": _text(order.filled_quantity),
    }


def _text(value: Any) -> str | None:
    return None if value is None else format(value, "f")
