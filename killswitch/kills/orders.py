"""What one sweep knows of the orders it touched, kept by the broker's own words."""

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from itertools import islice

from killswitch.broker import Order, OrderStatus

from . import clock
from .models import KilledOrder, Outcome
from .order_rows import new_row

ENDS = {
    OrderStatus.FILLED: Outcome.FILLED,
    OrderStatus.REJECTED: Outcome.REJECTED,
    OrderStatus.REPLACED: Outcome.REPLACED,
    OrderStatus.EXPIRED: Outcome.EXPIRED,
    OrderStatus.DONE_FOR_DAY: Outcome.EXPIRED,
    OrderStatus.CALCULATED: Outcome.EXPIRED,
}
NOT_AN_END = (Outcome.PENDING, Outcome.STUCK)


class TouchedOrders:
    """The orders of one sweep. Each change is remembered until it is taken to be written."""

    def __init__(self, sweep_id: int, rows: list[KilledOrder]) -> None:
        self._sweep_id = sweep_id
        self._rows = {row.order_id: row for row in rows}
        self._changed: dict[str, KilledOrder] = {}
        self._ended: dict[str, KilledOrder] = {}
        self._client_ids = {row.client_order_id for row in rows}
        self._replaced = {row.replaces for row in rows if row.replaces}
        # On the monotonic clock of this process: whoever takes a sweep over starts to count anew.
        self._pending_from = {
            row.order_id: clock.monotonic() for row in rows if row.status == OrderStatus.PENDING_CANCEL
        }

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def have_changed(self) -> bool:
        """Say whether there is something to be written."""
        return bool(self._changed)

    def pending(self) -> list[KilledOrder]:
        """Return the rows whose end the broker has not told, those that are stuck among them."""
        return [row for row in self._rows.values() if row.outcome in NOT_AN_END]

    def with_outcome(self, outcome: Outcome) -> list[KilledOrder]:
        return [row for row in self._rows.values() if row.outcome == outcome]

    def knows_client_id(self, client_order_id: str | None) -> bool:
        """Say whether a touched order has that client order id."""
        return bool(client_order_id) and client_order_id in self._client_ids

    def has_successor(self, order_id: str) -> bool:
        return order_id in self._replaced

    def traded_on_the_way(self) -> list[KilledOrder]:
        """Return the ended rows of which it is not yet known what traded while the cancel was on its way."""
        return [
            row
            for row in self._rows.values()
            if row.outcome not in NOT_AN_END
            and row.lost_notional is None
            and (row.filled_quantity or 0) > (row.filled_before or 0)
        ]

    def expect(self, order_ids: Iterable[str], now: datetime) -> None:
        """Keep a row for orders that were named, so that none of them goes without an outcome."""
        for order_id in order_ids:
            self._row(order_id, now)

    def attempts(self, order_id: str) -> int:
        return self._rows[order_id].attempts if order_id in self._rows else 0

    def is_stuck(self, order_id: str) -> bool:
        return order_id in self._rows and self._rows[order_id].outcome == Outcome.STUCK

    def count_attempt(self, order_id: str, order: Order | None, now: datetime) -> None:
        if order is not None:
            self.see(order, now)
        row = self._row(order_id, now)
        row.attempts += 1
        row.asked_at = row.asked_at or now
        self._changed[order_id] = row

    def discount_attempt(self, order_id: str, now: datetime) -> None:
        """Take an attempt back that the broker did not even look at."""
        row = self._row(order_id, now)
        row.attempts -= 1
        self._changed[order_id] = row

    def mark_late(self, order: Order, now: datetime) -> None:
        """Note that an order arrived after the kill began."""
        self.see(order, now)
        self._rows[order.id].is_late = True
        self._changed[order.id] = self._rows[order.id]

    def mark_successor(self, order: Order, replaced: str, now: datetime) -> None:
        """Note that an order is what another one lives on as."""
        self.see(order, now)
        self._rows[order.id].replaces = replaced
        self._replaced.add(replaced)
        self._changed[order.id] = self._rows[order.id]

    def mark_stuck(self, listed: Collection[str], deadline: float, now: datetime) -> None:
        """Call stuck what is still `listed` as pending so many seconds after the broker accepted its cancel."""
        late = clock.monotonic() - deadline
        for order_id, since in self._pending_from.items():
            if since <= late and order_id in listed and self._rows[order_id].outcome == Outcome.PENDING:
                self.end(order_id, Outcome.STUCK, now)

    def note_lost(self, order_id: str, quantity: Decimal, notional: Decimal | None, now: datetime) -> None:
        """Keep what traded while the cancel was on its way, and tell the order's end (again) with it."""
        row = self._rows[order_id]
        if (row.lost_quantity, row.lost_notional) == (quantity, notional):
            return
        row.lost_quantity, row.lost_notional = quantity, notional
        if row.outcome == Outcome.CANCELED and quantity:
            row.outcome = Outcome.PARTLY_FILLED
        self._changed[order_id] = row
        if quantity:
            self._ended[order_id] = row

    def accept(self, order: Order, now: datetime, *, asked_at: datetime | None, request_id: str) -> None:
        """Take over what the broker answered to the cancel of an order: it has accepted it."""
        self.see(order, now, request_id)
        row = self._rows[order.id]
        row.asked_at = row.asked_at or asked_at
        row.accepted_at = row.accepted_at or now
        self._changed[order.id] = row

    def see(self, order: Order, now: datetime, request_id: str = "") -> None:
        """Take over what the broker says of an order, and its outcome if that is an end."""
        is_new = order.id not in self._rows or not self._rows[order.id].status
        row = self._row(order.id, now)
        if is_new and (order.is_open or not order.filled_quantity):
            # Of one that is first seen when it has ended, its executions tell what traded since the press.
            row.filled_before = order.filled_quantity
        before = (row.status, row.leaves_quantity, row.filled_quantity, row.outcome)
        _copy(order, row)
        self._client_ids.add(row.client_order_id)
        self._count_pending(order, row, now)
        row.request_id = request_id or row.request_id
        if row.filled_before is not None and (order.filled_quantity or 0) > row.filled_before:
            row.lost_quantity = (order.filled_quantity or Decimal(0)) - row.filled_before
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
        row.ended_at = None if outcome in NOT_AN_END else now
        self._changed[order_id] = row
        if outcome != Outcome.PENDING:
            self._ended[order_id] = row
        else:
            self._ended.pop(order_id, None)

    def take_changes(self, most: int) -> tuple[list[KilledOrder], list[KilledOrder]]:
        """Return up to `most` rows to write and, among them, those that have just ended; forget both."""
        ids = list(islice(self._changed, most))
        changed = [self._changed.pop(order_id) for order_id in ids]
        ended = [self._ended.pop(order_id) for order_id in ids if order_id in self._ended]
        return changed, ended

    def _count_pending(self, order: Order, row: KilledOrder, now: datetime) -> None:
        if not order.is_pending_cancel:
            self._pending_from.pop(order.id, None)
            row.pending_since = None
        elif order.id not in self._pending_from:
            self._pending_from[order.id] = clock.monotonic()
            row.pending_since = now
            row.accepted_at = row.accepted_at or now

    def _row(self, order_id: str, now: datetime) -> KilledOrder:
        if order_id not in self._rows:
            row = new_row(self._sweep_id, order_id, now)
            self._rows[order_id] = self._changed[order_id] = row
        return self._rows[order_id]


def _copy(order: Order, row: KilledOrder) -> None:
    row.client_order_id = order.client_order_id or ""
    row.symbol = order.symbol or ""
    row.side = order.side
    row.order_type = order.order_type
    row.instrument_type = order.kind
    row.legs = order.legs_in_words
    row.status = order.status
    row.quantity = order.quantity
    row.leaves_quantity = order.leaves_quantity
    row.filled_quantity = order.filled_quantity
    row.time_in_force = order.time_in_force
    row.price = order.price
    row.stop_price = order.stop_price


def _outcome(order: Order, row: KilledOrder) -> Outcome:
    if order.is_open:
        is_still_stuck = row.outcome == Outcome.STUCK and order.is_pending_cancel
        return Outcome.STUCK if is_still_stuck else Outcome.PENDING
    if order.status == OrderStatus.CANCELED:
        return Outcome.PARTLY_FILLED if _has_traded_since(row) else Outcome.CANCELED
    return ENDS.get(OrderStatus(order.status), Outcome.UNKNOWN)


def _has_traded_since(row: KilledOrder) -> bool:
    return bool(row.lost_quantity)
