"""What happens to orders by themselves: cancels take effect, orders are taken in, fill and arrive."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Literal

from killswitch.simulator.book import AccountBook, Book
from killswitch.simulator.instruments import BY_NAME
from killswitch.simulator.population import Population
from killswitch.simulator.shapes import Order, is_open
from killswitch.simulator.wire import Problem, decimal_text, time_text

Ending = Literal["cancel", "stuck", "refuse", "fill"]

ACKNOWLEDGE_SECONDS = 0.05
FLOW_SECONDS = 0.02
# Between two batches the server answers requests, even while 100,000 cancels fall due at once.
BATCH = 2000
FILLABLE = frozenset({"NEW", "PARTIALLY_FILLED", "PENDING_CANCEL"})


@dataclass(slots=True, eq=False)
class Cancel:
    """One cancel on its way."""

    order: Order
    old_status: str
    ending: Ending
    fill_quantity: str | None


class Life:
    """Move the book forward in time, with one timer for all of it."""

    def __init__(self, book: Book, population: Population, cancel_seconds: float) -> None:
        self.book = book
        self.population = population
        self.cancel_seconds = cancel_seconds
        self.loop = asyncio.get_running_loop()
        self.cancels: dict[str, Cancel] = {}
        self.due: list[tuple[float, int, Callable[[], None]]] = []
        self.sequence = 0
        self.timer: asyncio.TimerHandle | None = None
        self.flow = Flow(self)

    def cancel(self, orders: Iterable[Order], ending: Ending = "cancel", fill_quantity: str | None = None) -> None:
        """Ask for cancels. What has ended stays as it is; a cancel on its way is not begun a second time."""
        at = time_text()
        due = self.loop.time() + self.cancel_seconds
        for order in orders:
            if is_open(order) and order.status != "PENDING_CANCEL":
                self.begin_cancel(Cancel(order, order.status, ending, fill_quantity), at, due)
        self.arm()

    def begin_cancel(self, cancel: Cancel, at: str, due: float) -> None:
        cancel.order.status = "PENDING_CANCEL"
        cancel.order.updated_at = at
        self.cancels[cancel.order.id] = cancel
        if cancel.ending == "fill":
            self.schedule(due - self.cancel_seconds / 2, partial(self.fill_on_the_way, cancel))
        if cancel.ending != "stuck":
            self.schedule(due, partial(self.end_cancel, cancel))

    def fill_on_the_way(self, cancel: Cancel) -> None:
        if self.still(cancel):
            self.fill(cancel.order, cancel.fill_quantity)

    def end_cancel(self, cancel: Cancel) -> None:
        if not self.still(cancel):
            return
        order = cancel.order
        del self.cancels[order.id]
        if cancel.ending == "refuse":
            order.status = self.status_before(cancel)
            say(order, "Cancel request rejected by the venue")
        else:
            order.status, order.leaves_quantity = "CANCELED", "0"
            say(order, "Canceled by request")
        order.updated_at = time_text()
        self.book.index(order)

    def still(self, cancel: Cancel) -> bool:
        """Say whether the order still waits for this cancel: it may have filled or been set by hand."""
        return self.cancels.get(cancel.order.id) is cancel and cancel.order.status == "PENDING_CANCEL"

    def status_before(self, cancel: Cancel) -> str:
        if cancel.old_status in {"PENDING_NEW", "NEW"}:
            return "NEW" if cancel.order.filled_quantity == "0" else "PARTIALLY_FILLED"
        return cancel.old_status

    def fill(self, order: Order, quantity: str | None = None) -> None:
        """Fill an order, wholly or by a quantity.

        Raises:
            Problem: 400, the order has ended, or the quantity is not one that it leaves.
        """
        if not is_open(order):
            raise Problem(400, f"Order {order.id} is {order.status}: only an open order can fill")
        leaves, filled = amount(order.leaves_quantity), amount(order.filled_quantity)
        part = leaves if quantity is None else amount(quantity)
        if not 0 < part <= leaves:
            raise Problem(400, f"quantity must be above 0 and at most {order.leaves_quantity}, not {quantity}")
        price = price_of(order)
        average = order.average_fill_price
        spent = (amount(average) * filled if isinstance(average, str) else Decimal(0)) + price * part
        order.average_fill_price = f"{spent / (filled + part):.2f}"
        order.filled_quantity, order.leaves_quantity = decimal_text(filled + part), decimal_text(leaves - part)
        order.updated_at = time_text()
        if part == leaves:
            order.status = "FILLED"
            self.cancels.pop(order.id, None)
        elif order.status != "PENDING_CANCEL":
            order.status = "PARTIALLY_FILLED"
        self.book.index(order)
        executed = self.population.execution(order, decimal_text(part), f"{price:.2f}", order.updated_at)
        self.book.account(order.account_id).executions.append(executed)

    def acknowledge_later(self, orders: Iterable[Order]) -> None:
        due = self.loop.time() + ACKNOWLEDGE_SECONDS
        for order in orders:
            self.schedule(due, partial(self.acknowledge, order))
        self.arm()

    def acknowledge(self, order: Order) -> None:
        if order.status == "PENDING_NEW":
            order.status, order.updated_at = "NEW", time_text()

    def schedule(self, due: float, step: Callable[[], None]) -> None:
        self.sequence += 1
        heapq.heappush(self.due, (due, self.sequence, step))

    def arm(self) -> None:
        """Set the timer to the first thing that is due, unless it is set to that or earlier."""
        if not self.due or (self.timer is not None and self.timer.when() <= self.due[0][0]):
            return
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_at(self.due[0][0], self.run_due)

    def run_due(self) -> None:
        self.timer = None
        now = self.loop.time()
        for _ in range(BATCH):
            if not self.due or self.due[0][0] > now:
                break
            _, _, step = heapq.heappop(self.due)
            step()
        self.arm()


class Flow:
    """Let orders arrive and fill, so many a second over the whole book."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.rng = life.population.rng
        self.arrivals_per_second = 0.0
        self.fills_per_second = 0.0
        self.owed_arrivals = 0.0
        self.owed_fills = 0.0
        self.timer: asyncio.TimerHandle | None = None

    def set(self, arrivals_per_second: float, fills_per_second: float) -> None:
        self.arrivals_per_second, self.fills_per_second = arrivals_per_second, fills_per_second
        self.owed_arrivals = self.owed_fills = 0.0
        if self.timer is not None:
            self.timer.cancel()
        flows = arrivals_per_second or fills_per_second
        self.timer = self.life.loop.call_later(FLOW_SECONDS, self.tick) if flows else None

    def tick(self) -> None:
        self.owed_arrivals += self.arrivals_per_second * FLOW_SECONDS
        self.owed_fills += self.fills_per_second * FLOW_SECONDS
        while self.owed_arrivals >= 1:
            self.owed_arrivals -= 1
            self.arrive()
        while self.owed_fills >= 1:
            self.owed_fills -= 1
            self.fill_one()
        self.timer = self.life.loop.call_later(FLOW_SECONDS, self.tick)

    def arrive(self) -> None:
        active = [each for each in self.life.book.accounts.values() if each.account.status == "ACTIVE"]
        if active:
            self.life.population.add_random(self.rng.choice(active).account.id)

    def fill_one(self) -> None:
        """Fill a part of one order, or all of it every third time; do nothing when no order can fill."""
        accounts = [each for each in self.life.book.accounts.values() if each.open]
        order = self.any_fillable(self.rng.choice(accounts)) if accounts else None
        if order is None:
            return
        leaves = amount(order.leaves_quantity)
        whole = leaves < 2 or self.rng.random() < 1 / 3
        self.life.fill(order, None if whole else decimal_text(leaves // 2))

    def any_fillable(self, of_account: AccountBook) -> Order | None:
        found = [order for order in of_account.open.values() if order.status in FILLABLE and can_fill(order)]
        return self.rng.choice(found) if found else None


def can_fill(order: Order) -> bool:
    try:
        return amount(order.leaves_quantity) > 0
    except Problem:
        return False


def amount(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except (InvalidOperation, TypeError, ValueError):
        raise Problem(400, f"'{text}' is not a decimal number") from None
    if not value.is_finite():
        raise Problem(400, f"'{text}' is not a decimal number")
    return value


def price_of(order: Order) -> Decimal:
    """Fill at the limit where there is one, otherwise at the instrument's price."""
    if isinstance(order.limit_price, str):
        return amount(order.limit_price)
    instrument = BY_NAME.get(order.symbol) if isinstance(order.symbol, str) else None
    return instrument.price if instrument else Decimal("2.40")


def say(order: Order, line: str) -> None:
    order.details = [*(order.details or []), line]
