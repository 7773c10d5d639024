"""What one sweep knows of the orders it touched, kept by the broker's own words."""

from collections.abc import Iterable
from datetime import datetime

from killswitch.broker import Order, OrderStatus

from .models import KilledOrder, Outcome

ENDS = {
    OrderStatus.FILLED: Outcome.FILLED,
    OrderStatus.REJECTED: Outcome.REJECTED,
    OrderStatus.REPLACED: Outcome.REPLACED,
    OrderStatus.EXPIRED: Outcome.EXPIRED,
    OrderStatus.DONE_FOR_DAY: Outcome.EXPIRED,
    OrderStatus.CALCULATED: Outcome.EXPIRED,
}


class TouchedOrders:
    """The orders of one sweep. Each change is remembered until it is taken to be written."""

    def __init__(self, sweep_id: int, rows: list[KilledOrder]) -> None:
        self._sweep_id = sweep_id
        self._rows = {row.order_id: row for row in rows}
        self._changed: dict[str, KilledOrder] = {}
        self._ended: dict[str, KilledOrder] = {}

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def pending(self) -> list[KilledOrder]:
        """Return the rows whose end the broker has not told."""
        return [row for row in self._rows.values() if row.outcome == Outcome.PENDING]

    def ids_with(self, outcome: Outcome) -> list[str]:
        return [row.order_id for row in self._rows.values() if row.outcome == outcome]

    def expect(self, order_ids: Iterable[str], now: datetime) -> None:
        """Keep a row for orders that were named, so that none of them goes without an outcome."""
        for order_id in order_ids:
            self._row(order_id, now)

    def attempts(self, order_id: str) -> int:
        return self._rows[order_id].attempts if order_id in self._rows else 0

    def count_attempt(self, order_id: str, order: Order | None, now: datetime) -> None:
        if order is not None:
            self.see(order, now)
        row = self._row(order_id, now)
        row.attempts += 1
        self._changed[order_id] = row

    def discount_attempt(self, order_id: str, now: datetime) -> None:
        """Take an attempt back that the broker did not even look at."""
        row = self._row(order_id, now)
        row.attempts -= 1
        self._changed[order_id] = row

    def see(self, order: Order, now: datetime, request_id: str = "") -> None:
        """Take over what the broker says of an order, and its outcome if that is an end."""
        row = self._row(order.id, now)
        if row.filled_before is None:
            row.filled_before = order.filled_quantity
        before = (row.status, row.leaves_quantity, row.filled_quantity, row.outcome)
        _copy(order, row)
        row.request_id = request_id or row.request_id
        outcome = _outcome(order, row)
        if outcome != row.outcome:
            self.end(order.id, outcome, now)
        if before != (row.status, row.leaves_quantity, row.filled_quantity, row.outcome) or request_id:
            row.updated_at = now
            self._changed[order.id] = row

    def end(self, order_id: str, outcome: Outcome, now: datetime) -> None:
        """Set an outcome. Back to pending, too: an order that was thought to have ended may come back."""
        row = self._row(order_id, now)
        row.outcome = outcome
        row.ended_at = None if outcome == Outcome.PENDING else now
        self._changed[order_id] = row
        if outcome != Outcome.PENDING:
            self._ended[order_id] = row
        else:
            self._ended.pop(order_id, None)

    def take_changes(self) -> tuple[list[KilledOrder], list[KilledOrder]]:
        """Return the rows to write and, among them, those that have just ended; forget both."""
        changed, ended = list(self._changed.values()), list(self._ended.values())
        self._changed, self._ended = {}, {}
        return changed, ended

    def _row(self, order_id: str, now: datetime) -> KilledOrder:
        if order_id not in self._rows:
            row = KilledOrder(sweep_id=self._sweep_id, order_id=order_id, updated_at=now)
            self._rows[order_id] = self._changed[order_id] = row
        return self._rows[order_id]


def _copy(order: Order, row: KilledOrder) -> None:
    row.client_order_id = order.client_order_id or ""
    row.symbol = order.symbol or ""
    row.side = order.side
    row.order_type = order.order_type
    row.status = order.status
    row.quantity = order.quantity
    row.leaves_quantity = order.leaves_quantity
    row.filled_quantity = order.filled_quantity
    row.price = order.price


def _outcome(order: Order, row: KilledOrder) -> Outcome:
    if order.is_open:
        return Outcome.PENDING
    if order.status == OrderStatus.CANCELED:
        filled_since = (order.filled_quantity or 0) > (row.filled_before or 0)
        return Outcome.PARTLY_FILLED if filled_since else Outcome.CANCELED
    return ENDS.get(OrderStatus(order.status), Outcome.UNKNOWN)
