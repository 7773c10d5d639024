"""The tables of an incident pack, row by row, as CSV."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from killswitch.audit.csv_safe import line
from killswitch.audit.models import Entry
from killswitch.kills.models import KilledOrder, Sweep
from killswitch.kills.queries import sweeps_as_they_stand, sweeps_of

from .figures import ROWS, Incident
from .timeline import Moment, People, Timeline

Row = Any
Columns = dict[str, Callable[[Row], Any]]


def csv(columns: Columns, rows: Iterable[Row]) -> Iterator[bytes]:
    yield line(columns)
    for row in rows:
        yield line(read(row) for read in columns.values())


def orders(incident: Incident) -> Iterator[bytes]:
    """Every order with its outcome."""
    return csv(_order_columns(incident), _in_order(incident))


def late_arrivals(incident: Incident) -> Iterator[bytes]:
    return csv(_order_columns(incident), (order for order in _in_order(incident) if order.is_late))


def lost_races(incident: Incident) -> Iterator[bytes]:
    """What traded while its cancel was on its way."""
    return csv(_order_columns(incident), (order for order in _in_order(incident) if order.lost_quantity))


def _in_order(incident: Incident) -> Iterator[KilledOrder]:
    return incident.orders().iterator(ROWS)


def _order_columns(incident: Incident) -> Columns:
    def replaced_by(order: KilledOrder) -> str:
        return incident.successors.get(order.order_id, "")

    return {
        "account_id": lambda order: order.sweep.account_id,
        "order_id": lambda order: order.order_id,
        "client_order_id": lambda order: order.client_order_id,
        "symbol": lambda order: order.symbol,
        "legs": lambda order: order.legs,
        "instrument_type": lambda order: order.instrument_type,
        "side": lambda order: order.side,
        "order_type": lambda order: order.order_type,
        "time_in_force": lambda order: order.time_in_force,
        "outcome": lambda order: order.outcome,
        "outcome_in_words": lambda order: order.get_outcome_display(),
        "broker_status": lambda order: order.status,
        "quantity": lambda order: order.quantity,
        "leaves_quantity": lambda order: order.leaves_quantity,
        "filled_quantity": lambda order: order.filled_quantity,
        "price": lambda order: order.price,
        "stop_price": lambda order: order.stop_price,
        "late": lambda order: order.is_late,
        "replaces": lambda order: order.replaces,
        "replaced_by": replaced_by,
        "lost_quantity": lambda order: order.lost_quantity,
        "lost_notional_usd": lambda order: order.lost_notional,
        "asked_at": lambda order: order.asked_at,
        "accepted_at": lambda order: order.accepted_at,
        "pending_since": lambda order: order.pending_since,
        "single_cancels": lambda order: order.attempts,
        "request_id": lambda order: order.request_id,
        "updated_at": lambda order: order.updated_at,
        "ended_at": lambda order: order.ended_at,
    }


ACCOUNTS: Columns = {
    "account_id": lambda sweep: sweep.account_id,
    "state": lambda sweep: sweep.state,
    "first_delete_announced_at": lambda sweep: sweep.first_attempt_at,
    "first_answer_at": lambda sweep: sweep.first_answer_at,
    "first_flat_at": lambda sweep: sweep.first_flat_at,
    "flat_at": lambda sweep: sweep.flat_at,
    "ended_at": lambda sweep: sweep.ended_at,
    "orders": lambda sweep: sweep.touched,
    "orders_ended": lambda sweep: sweep.ended_orders,
    "late_arrivals": lambda sweep: sweep.late,
    "open_when_last_listed": lambda sweep: sweep.open_orders,
    "last_listed_at": lambda sweep: sweep.listed_at,
    "passes": lambda sweep: sweep.passes,
    "error": lambda sweep: sweep.error,
}
TIMELINE: Columns = {
    "sequence": lambda moment: moment.sequence,
    "at": lambda moment: moment.at,
    "seconds_after_the_press": lambda moment: Decimal(f"{moment.seconds:.6f}"),
    "kind": lambda moment: moment.kind,
    "account_id": lambda moment: moment.account_id,
    "what": lambda moment: moment.what,
    "by": lambda moment: moment.by,
    "from_where": lambda moment: moment.source,
}
PEOPLE: Columns = {
    "sequence": lambda entry: entry.id,
    "at": lambda entry: entry.at,
    "who": lambda entry: entry.actor_name,
    "from_where": lambda entry: entry.source,
    "kind": lambda entry: entry.kind,
    "what": lambda entry: entry.sentence,
}


def accounts(incident: Incident) -> Iterator[bytes]:
    rows: list[Sweep] = sweeps_as_they_stand(sweeps_of(incident.kill))
    return csv(ACCOUNTS, rows)


def timeline(incident: Incident) -> Iterator[bytes]:
    moments: Iterator[Moment] = Timeline(incident).moments()
    return csv(TIMELINE, moments)


def people(incident: Incident) -> Iterator[bytes]:
    deeds: Iterator[Entry] = People(incident.kill).deeds()
    return csv(PEOPLE, deeds)
