"""Ask the broker what is open, and learn from its answers what became of the orders of one sweep."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from django.utils import timezone

from killswitch.audit.operations import Draft
from killswitch.broker import BrokerError, Execution, Listing, NoSuchOrder, Order, OrderStatus, parse_time

from . import budget, clock, entries
from .case import ORDERS_AT_ONCE, Case
from .models import KilledOrder, Outcome

LOOK_UPS_AT_ONCE = 50
# More ids than this do not fit an address: list the whole account instead.
IDS_IN_A_LIST = 100
SYMBOLS_IN_A_LIST = 50
ASKS_FOR_EXECUTIONS = 5
# The broker tells its time to the second, and notes what happens a little before or after it answers.
SLACK = timedelta(seconds=3)


class Looking:
    """Lists one account again and again. `was_listed` says whether an earlier list has been whole."""

    def __init__(self, case: Case, *, was_listed: bool) -> None:
        self._case = case
        self._was_listed = was_listed
        self._lists = 0
        self._executions_asked: Counter[str] = Counter()
        self._looked_up: list[Order] = []  # open, by the broker's word on each of them, though no list has them
        self.late = 0  # orders that arrived since the list before

    async def fetch(self, on_page: Callable[[list[Order]], None] | None = None) -> Listing[Order]:
        """Fetch the orders that may matter, ended ones included. A repeat waits for its turn, page by page."""
        case = self._case
        named = case.filter.order_ids if len(case.filter.order_ids) <= IDS_IN_A_LIST else ()
        if case.orders.with_outcome(Outcome.REPLACED):
            named = ()  # what an order lives on as has another id
        is_repeat, self._lists = self._lists > 0, self._lists + 1
        self.late = 0
        asked_at = clock.monotonic()
        listing = await case.broker.orders(
            case.account_id, order_ids=named, before_page=self._turn if is_repeat else case.go_on, on_page=on_page
        )
        if listing.error is not None:
            case.heed(listing.error)
            case.list_error = f"the orders could not be listed: {listing.error.message}"
        else:
            case.patience.answered()
            case.patience.forgive(clock.monotonic() - asked_at)
            case.list_error = ""
        return listing

    async def _turn(self) -> None:
        await self._case.turn(budget.ASK)

    def left(self, listing: Listing[Order]) -> list[Order]:
        """Return the open orders that the kill is about: those that match, and those that it has already touched.

        A touched order stays in even where it no longer matches: one that was picked for being NEW is now
        PENDING_CANCEL, and it is still open.
        """
        listed = {order.id for order in listing.items} if self._looked_up else set()
        unlisted = [order for order in self._looked_up if order.id not in listed]
        return [order for order in listing.items if order.is_open and self.is_meant(order)] + unlisted

    def is_meant(self, order: Order) -> bool:
        """Say whether an order is one that the kill is about."""
        return order.id in self._case.orders or self._case.filter.matches(order)

    async def learn(self, listing: Listing[Order], *, answer_was_lost: bool) -> list[Draft]:
        """Learn from a list what became of the orders. Return what there is to say of those that are new in it.

        With `answer_was_lost` a mass cancel may have ended orders that nobody here has heard of.
        """
        await self._see_known(listing)
        # Before what is new: what an order lives on as has not just arrived.
        found = [*self._find_successors(listing), *await self._see_new(listing, answer_was_lost)]
        self._was_listed |= listing.whole
        listed = {order.id for order in listing.items}
        self._case.orders.mark_stuck(listed, self._case.limits.stuck, timezone.now())
        return found

    async def ask_on(self, listing: Listing[Order]) -> None:
        """Ask one by one for what a whole list does not tell: orders that it no longer has, and what traded."""
        self._looked_up = []
        if listing.whole:
            await self._look_up_missing(listing)
            await self._ask_what_traded()

    async def _see_known(self, listing: Listing[Order]) -> None:
        case, now = self._case, timezone.now()
        for number, order in enumerate(listing.items):
            if number % ORDERS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if order.id in case.orders:
                case.orders.see(order, now)

    async def _see_new(self, listing: Listing[Order], answer_was_lost: bool) -> list[Draft]:
        case, now, told = self._case, timezone.now(), []
        for number, order in enumerate(listing.items):
            if number % ORDERS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if order.id in case.orders:
                continue
            if order.is_open and case.filter.matches(order):
                told += self.notice([order])
            elif answer_was_lost and self._has_ended_since(order) and case.filter.matches(order):
                case.orders.see(order, now)
        return told

    def may_be_successor(self, order: Order) -> bool:
        """Say whether it may be what a touched order lives on as, which only the whole list can tell."""
        return order.id not in self._case.orders and self._case.orders.knows_client_id(order.client_order_id)

    def notice(self, orders: Iterable[Order]) -> list[Draft]:
        """Take up open orders, and return what there is to say of those that nobody has seen before."""
        case, now, told = self._case, timezone.now(), []
        for order in orders:
            if order.id not in case.orders and self._is_late(order):
                self.late += 1
                case.orders.mark_late(order, now)
                told.append(entries.order_arrived(case.subject, order, now))
            else:
                case.orders.see(order, now)
        return told

    def _is_late(self, order: Order) -> bool:
        """Say whether an order that nobody has touched arrived after the kill began."""
        if self._was_listed:
            return True
        # By the broker's own clock where it has told when it canceled; ours is good to a second or so.
        began = self._case.canceled_at or self._began + SLACK
        return order.created is not None and order.created > began

    def _has_ended_since(self, order: Order) -> bool:
        ended = parse_time(order.updated_at)
        return not order.is_open and ended is not None and ended > self._began - SLACK

    @property
    def _began(self) -> datetime:
        """When the kill was engaged, by the broker's clock."""
        return self._case.engaged_at + timedelta(seconds=self._case.broker.clock_offset or 0.0)

    # --- orders that are not where they were

    def _find_successors(self, listing: Listing[Order]) -> list[Draft]:
        """Take up what replaced orders live on as: the next one that the broker made with the same client order id."""
        case, now, told = self._case, timezone.now(), []
        replaced = {row.order_id for row in case.orders.with_outcome(Outcome.REPLACED)}
        searched = {order_id for order_id in replaced if not case.orders.has_successor(order_id)}
        for before, order in _successions(listing.items, searched) if searched else ():
            if before.id in searched:
                case.orders.mark_successor(order, before.id, now)
                told.append(entries.order_replaces(case.subject, order, before.id, now))
                if order.status == OrderStatus.REPLACED:
                    searched.add(order.id)
        return told

    def replaced_into_nothing(self) -> list[KilledOrder]:
        """Return the replaced orders of which nobody knows what they live on as.

        Where the filter is one that the broker knows itself, whatever replaced them matches as they did.
        """
        orders, wanted = self._case.orders, self._case.filter
        if not (wanted.order_ids or wanted.status or wanted.client_order_id_prefix):
            return []
        return [row for row in orders.with_outcome(Outcome.REPLACED) if not orders.has_successor(row.order_id)]

    async def _look_up_missing(self, listing: Listing[Order]) -> None:
        listed = {order.id for order in listing.items}
        missing = [row.order_id for row in self._case.orders.pending() if row.order_id not in listed]
        for start in range(0, len(missing), LOOK_UPS_AT_ONCE):
            portion = missing[start : start + LOOK_UPS_AT_ONCE]
            await asyncio.gather(*(self._case.turn(budget.ASK) for _ in portion))
            await asyncio.gather(*(self._look_up(order_id) for order_id in portion))

    async def _look_up(self, order_id: str) -> None:
        case = self._case
        try:
            answer = await case.broker.order(case.account_id, order_id)
        except NoSuchOrder:
            case.orders.end(order_id, Outcome.NOT_FOUND, timezone.now())
        except BrokerError as error:
            case.heed(error)
            case.list_error = f"order {order_id} could not be looked up: {error.message}"
        else:
            if answer.data.id == order_id:
                case.orders.see(answer.data, timezone.now(), answer.request_id)
                self._looked_up += [answer.data] if answer.data.is_open else []
            else:
                case.list_error = f"order {order_id} could not be looked up: the broker told of {answer.data.id}"

    # --- what got away

    async def _ask_what_traded(self) -> None:
        """Ask for the executions of orders that traded while their cancel was on its way."""
        case = self._case
        traded = case.orders.traded_on_the_way()
        rows = [row for row in traded if self._executions_asked[row.order_id] < ASKS_FOR_EXECUTIONS]
        if not rows:
            return
        self._executions_asked.update(row.order_id for row in rows)
        symbols = {row.symbol for row in rows}
        few = symbols if len(symbols) <= SYMBOLS_IN_A_LIST and all(symbols) else ()
        listing = await case.broker.executions(
            case.account_id, since=self._began - SLACK, instrument_ids=sorted(few), before_page=self._turn
        )
        if listing.error is not None:
            case.heed(listing.error)
        executions = defaultdict(list)
        for execution in listing.items:
            executions[execution.order_id].append(execution)
        for row in rows:
            self._note_what_traded(row, executions[row.order_id], is_whole=listing.whole)

    def _note_what_traded(self, row: KilledOrder, executions: Iterable[Execution], *, is_whole: bool) -> None:
        if row.filled_before is None:
            if is_whole:
                quantity, notional = sum_up(executions, None, row.shares)
                self._case.orders.note_lost(row.order_id, quantity, notional, timezone.now())
        elif row.lost_quantity:
            quantity, notional = sum_up(executions, row.lost_quantity, row.shares)
            if quantity == row.lost_quantity:
                self._case.orders.note_lost(row.order_id, quantity, notional, timezone.now())


def _successions(orders: Iterable[Order], searched: Collection[str]) -> Iterator[tuple[Order, Order]]:
    """Pair each order with the next one that was created with the same client order id, the oldest first."""
    wanted = {order.client_order_id for order in orders if order.id in searched} - {None, ""}
    alike = defaultdict(list)
    for order in orders:
        if order.client_order_id in wanted and order.created is not None:
            alike[order.client_order_id].append(order)
    for family in alike.values():
        # Of two that were made at the same moment, the one that was replaced came first.
        family.sort(key=lambda order: (order.created, order.status != OrderStatus.REPLACED))
        yield from pairwise(family)


def sum_up(executions: Iterable[Execution], most: Decimal | None, shares: int | None) -> tuple[Decimal, Decimal | None]:
    """Add up quantity and notional (US dollars) of executions, the newest first, up to `most`.

    One unit of a quantity stands for so many `shares`. The notional is None where that is not known, or one of them has
    no price, as those of multi-leg orders.
    """
    quantity, notional = Decimal(0), Decimal(0)
    is_priced = shares is not None
    for execution in executions:
        part = execution.quantity or Decimal(0)
        if most is not None:
            part = min(part, most - quantity)
        quantity += part
        is_priced &= execution.price is not None or not part
        notional += part * (execution.price or Decimal(0)) * (shares or 1)
    return quantity, abs(notional) if is_priced else None
