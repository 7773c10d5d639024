"""The audit entries of a sweep, in words and as data."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft
from killswitch.broker import Answer, BrokerError, NothingMatches, Order

from .models import Kill, KilledOrder, State

DRY_RUN = "DRY RUN: "


@dataclass(frozen=True)
class Subject:
    """Of which kill and account entries tell, and by whose decision. Every entry of a dry run says that it is one."""

    kill_id: uuid.UUID
    account_id: int
    actor: Actor
    scope: str
    filter_data: dict[str, Any]
    dry_run: bool = False

    @classmethod
    def of(cls, kill: Kill, account_id: int, source: str) -> "Subject":
        actor = Actor(id=kill.engaged_by_id, name=kill.engaged_by_name, source=source)
        return cls(kill.id, account_id, actor, kill.scope, kill.filter_data, kill.dry_run)

    def draft(self, kind: Kind, sentence: str, at: datetime, **values: Any) -> Draft:
        if self.dry_run:
            sentence = DRY_RUN + sentence
            values["data"] = {**values.get("data", {}), "dry_run": True}
        values = {"account_id": self.account_id, **values}
        return Draft(kind=kind, at=at, sentence=sentence, actor=self.actor, kill_id=self.kill_id, **values)


def order_values(order: Order) -> dict[str, Any]:
    """Copy what an entry keeps of an order."""
    return {
        "order_id": order.id,
        "client_order_id": order.client_order_id or "",
        "symbol": order.symbol or "",
        "side": order.side,
        "quantity": order.quantity,
        "leaves_quantity": order.leaves_quantity,
        "filled_quantity": order.filled_quantity,
        "broker_status": order.status,
    }


def kill_left(kill: Kill, source: str, here: str, at: datetime) -> Draft:
    """Say that somebody did not take a kill up, since it was pressed for another broker."""
    return Subject.of(kill, 0, source).draft(
        Kind.KILL_LEFT,
        f"Left the kill alone: it was pressed for {kill.broker}, and this process asks {here}",
        at,
        account_id=None,
        data={"pressed_for": kill.broker, "here": here},
    )


def announce_mass_cancel(subject: Subject, attempt_id: uuid.UUID, at: datetime) -> Draft:
    return subject.draft(
        Kind.ATTEMPT_ANNOUNCED,
        f"Will ask the broker to cancel all open orders of account {subject.account_id}"
        + (" that match the filter" if subject.filter_data else ""),
        at,
        attempt_id=attempt_id,
        data={"call": "cancel_all_open_orders", "scope": subject.scope, "filter": subject.filter_data},
    )


def announce_cancel(
    subject: Subject, order_id: str, order: Order | None, *, attempt_id: uuid.UUID, number: int, at: datetime
) -> Draft:
    return subject.draft(
        Kind.ATTEMPT_ANNOUNCED,
        f"Will ask the broker to cancel order {order_id} of account {subject.account_id}",
        at,
        attempt_id=attempt_id,
        data={
            "call": "cancel_open_order",
            "scope": subject.scope,
            "filter": subject.filter_data,
            "attempt": number,
        },
        **(order_values(order) if order else {"order_id": order_id}),
    )


def mass_cancel_accepted(
    subject: Subject, answer: Answer[list[Order]], attempt_id: uuid.UUID, at: datetime
) -> Iterator[Draft]:
    count = len(answer.data)
    yield subject.draft(
        Kind.ATTEMPT_ANSWERED,
        f"The broker accepted the cancel of {count} order{'' if count == 1 else 's'} of account {subject.account_id}",
        at,
        attempt_id=attempt_id,
        data={
            "call": "cancel_all_open_orders",
            "orders": count,
            "unreadable": answer.unreadable,
            "clock_offset": answer.clock_offset,
        },
        **_exchange(answer),
    )
    for order in answer.data:
        yield _accepted(subject, order, answer, attempt_id, at)


def _accepted(
    subject: Subject, order: Order, answer: Answer[list[Order]], attempt_id: uuid.UUID, at: datetime
) -> Draft:
    return subject.draft(
        Kind.ORDER_ACCEPTED,
        f"Cancel of order {order.id} accepted: {order.status or 'no status given'}",
        at,
        attempt_id=attempt_id,
        request_id=answer.request_id,
        http_status=answer.http_status,
        **order_values(order),
    )


def cancel_accepted(subject: Subject, answer: Answer[Order], attempt_id: uuid.UUID, at: datetime) -> Draft:
    order = answer.data
    return subject.draft(
        Kind.ATTEMPT_ANSWERED,
        f"The broker accepted the cancel of order {order.id}: {order.status or 'no status given'}",
        at,
        attempt_id=attempt_id,
        data={"call": "cancel_open_order", "clock_offset": answer.clock_offset},
        **order_values(order),
        **_exchange(answer),
    )


def cancel_failed(
    subject: Subject, error: BrokerError, attempt_id: uuid.UUID, at: datetime, order_id: str = ""
) -> Draft:
    if isinstance(error, NothingMatches):
        sentence = f"The broker had no matching open order on account {subject.account_id}"
    else:
        sentence = f"The cancel {'of order ' + order_id + ' ' if order_id else ''}did not go through: {error.message}"
    return subject.draft(
        Kind.ATTEMPT_ANSWERED,
        sentence,
        at,
        attempt_id=attempt_id,
        order_id=order_id,
        http_status=error.http_status,
        request_id=error.request_id,
        latency_us=round(error.latency * 1_000_000),
        data={
            "error": error.code,
            "message": error.message,
            "retry_after": error.retry_after,
            "clock_offset": error.clock_offset,
        },
    )


def never_answered(subject: Subject, attempt_id: uuid.UUID, order_id: str, at: datetime) -> Draft:
    return subject.draft(
        Kind.ATTEMPT_UNANSWERED,
        "Nobody recorded an answer to this cancel: whoever sent it, or was about to, is gone. The broker is asked.",
        at,
        attempt_id=attempt_id,
        order_id=order_id,
    )


def rehearse_mass_cancel(subject: Subject, at: datetime) -> Draft:
    return subject.draft(
        Kind.ATTEMPT_REHEARSED,
        f"Would ask the broker to cancel all open orders of account {subject.account_id}"
        + (" that match the filter" if subject.filter_data else ""),
        at,
        data={"call": "cancel_all_open_orders", "scope": subject.scope, "filter": subject.filter_data},
    )


def rehearse_cancel(subject: Subject, order: Order, at: datetime) -> Draft:
    return subject.draft(
        Kind.ATTEMPT_REHEARSED,
        f"Would cancel order {order.id} of account {subject.account_id}",
        at,
        data={"call": "cancel_open_order", "scope": subject.scope, "filter": subject.filter_data},
        **order_values(order),
    )


def order_arrived(subject: Subject, order: Order, at: datetime) -> Draft:
    return subject.draft(
        Kind.ORDER_ARRIVED,
        f"Order {order.id} arrived on account {subject.account_id} after the kill began",
        at,
        **order_values(order),
    )


def order_replaces(subject: Subject, order: Order, replaced: str, at: datetime) -> Draft:
    return subject.draft(
        Kind.ORDER_SUCCESSOR,
        f"Order {order.id} of account {subject.account_id} replaces order {replaced}: it is canceled too",
        at,
        data={"replaces": replaced},
        **order_values(order),
    )


def sweep_holds(subject: Subject, at: datetime) -> Draft:
    return subject.draft(
        Kind.SWEEP_HOLDS,
        f"Account {subject.account_id} is quiet: the broker listed no matching open order, twice. "
        "The kill is latched and sweeps on until it is released",
        at,
        outcome=State.LATCHED,
    )


def order_ended(subject: Subject, row: KilledOrder, at: datetime) -> Draft:
    return subject.draft(
        Kind.ORDER_ENDED,
        f"Order {row.order_id}: {row.get_outcome_display()}{_lost(row)}",
        at,
        data={
            "late": row.is_late,
            "lost_quantity": _text(row.lost_quantity),
            "lost_notional": _text(row.lost_notional),
        },
        order_id=row.order_id,
        client_order_id=row.client_order_id,
        symbol=row.symbol,
        side=row.side,
        quantity=row.quantity,
        leaves_quantity=row.leaves_quantity,
        filled_quantity=row.filled_quantity,
        broker_status=row.status,
        outcome=row.outcome,
        request_id=row.request_id,
    )


def _lost(row: KilledOrder) -> str:
    if not row.lost_quantity:
        return ""
    worth = "" if row.lost_notional is None else f", {row.lost_notional:,.2f} US dollars,"
    return f"; {row.lost_quantity:f}{worth} traded while the cancel was on its way"


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def sweep_ended(subject: Subject, state: State, open_orders: int | None, error: str, at: datetime) -> Draft:
    if subject.dry_run and state != State.UNKNOWN:
        told = f"{open_orders} orders of account {subject.account_id} would have been canceled; nothing was sent"
        return subject.draft(Kind.SWEEP_ENDED, told, at, outcome=state, data={"open_orders": open_orders})
    told = {
        State.FLAT: f"Account {subject.account_id} is flat: the broker listed no matching open order, twice",
        State.NOT_FLAT: f"Account {subject.account_id} is not flat: {open_orders} matching orders are still open",
    }.get(
        state, f"Whether account {subject.account_id} is flat is unknown: {error or 'the orders could not be listed'}"
    )
    return subject.draft(Kind.SWEEP_ENDED, told, at, outcome=state, data={"open_orders": open_orders, "error": error})


def _exchange(answer: Answer[Any]) -> dict[str, Any]:
    return {
        "http_status": answer.http_status,
        "request_id": answer.request_id,
        "latency_us": round(answer.latency * 1_000_000),
    }
