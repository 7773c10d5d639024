"""Ask the broker what is open, and learn from its answers what became of the orders of one sweep."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from killswitch.audit.operations import Draft
from killswitch.broker import BrokerError, Execution, Listing, NoSuchOrder, Order, multiplier, parse_time

from . import budget, entries
from .case import Case
from .models import KilledOrder, Outcome

LOOK_UPS_AT_ONCE = 50
# Between so many, the event loop serves the other accounts.
ORDERS_AT_ONCE = 1000
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
        self._executions_asked = 0
        self.late = 0  # orders that arrived since the list before

    async def fetch(self) -> Listing[Order]:
        """Fetch the orders that may matter, ended ones included. A repeat waits for its turn, page by page."""
        case = self._case
        named = case.filter.order_ids if len(case.filter.order_ids) <= IDS_IN_A_LIST else ()
        if case.orders.with_outcome(Outcome.REPLACED):
            named = ()  # what an order lives on as has another id
        is_repeat, self._lists = self._lists > 0, self._lists + 1
        listing = await case.broker.orders(
            case.account_id, order_ids=named, before_page=self._turn if is_repeat else None
        )
        if listing.error is not None:
            case.heed(listing.error)
            case.list_error = f"the orders could not be listed: {listing.error.message}"
        else:
            case.patience.answered()
            case.list_error = ""
        return listing

    async def _turn(self) -> None:
        await self._case.turn(budget.LIST)

    def left(self, listing: Listing[Order]) -> list[Order]:
        """Return the open orders that the kill is about: those that match, and those that it has already touched.

        A touched order stays in even where it no longer matches: one that was picked for being NEW is now
        PENDING_CANCEL, and it is still open.
        """
        case = self._case
        return [
            order
            for order in listing.items
            if order.is_open and (order.id in case.orders or case.filter.matches(order))
        ]

    async def settle(self, listing: Listing[Order], *, answer_was_lost: bool) -> None:
        """Learn from a list what became of the orders, and ask for those that a whole list no longer has.

        With `answer_was_lost` a mass cancel may have ended orders that nobody here has heard of.
        """
        self.late = 0
        found = [*await self._see_all(listing, answer_was_lost), *self._find_successors(listing)]
        if listing.whole:
            await self._look_up_missing(listing)
            await self._ask_what_traded()
            self._was_listed = True
        self._case.orders.mark_stuck({order.id for order in listing.items}, self._case.limits.stuck, timezone.now())
        if found:
            await self._case.log.note(found)

    async def _see_all(self, listing: Listing[Order], answer_was_lost: bool) -> list[Draft]:
        case, now, told = self._case, timezone.now(), []
        for number, order in enumerate(listing.items):
            if number % ORDERS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if order.id in case.orders:
                case.orders.see(order, now)
            elif order.is_open and case.filter.matches(order):
                if self._is_late(order):
                    self.late += 1
                    case.orders.mark_late(order, now)
                    told.append(entries.order_arrived(case.subject, order, now))
                else:
                    case.orders.see(order, now)
            elif answer_was_lost and self._has_ended_since(order) and case.filter.matches(order):
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
        """Take up what replaced orders live on as: the broker keeps the client order id."""
        case, now, told = self._case, timezone.now(), []
        by_client_id = defaultdict(list)
        for order in listing.items:
            by_client_id[order.client_order_id].append(order)
        for row in case.orders.with_outcome(Outcome.REPLACED):
            if not row.client_order_id or case.orders.successor_of(row.order_id):
                continue
            for order in by_client_id[row.client_order_id]:
                if order.id != row.order_id and order.id not in case.orders:
                    case.orders.mark_successor(order, row.order_id, now)
                    told.append(entries.order_replaces(case.subject, order, row.order_id, now))
        return told

    def replaced_into_nothing(self) -> list[KilledOrder]:
        """Return the replaced orders of which nobody knows what they live on as.

        Where the filter names neither orders nor statuses, whatever replaced them matches as they did.
        """
        orders, wanted = self._case.orders, self._case.filter
        if not (wanted.order_ids or wanted.status):
            return []
        return [row for row in orders.with_outcome(Outcome.REPLACED) if not orders.successor_of(row.order_id)]

    async def _look_up_missing(self, listing: Listing[Order]) -> None:
        listed = {order.id for order in listing.items}
        missing = [row.order_id for row in self._case.orders.pending() if row.order_id not in listed]
        for start in range(0, len(missing), LOOK_UPS_AT_ONCE):
            portion = missing[start : start + LOOK_UPS_AT_ONCE]
            await asyncio.gather(*(self._case.turn(budget.LOOK_UP) for _ in portion))
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
            else:
                case.list_error = f"order {order_id} could not be looked up: the broker told of {answer.data.id}"

    # --- what got away

    async def _ask_what_traded(self) -> None:
        """Ask for the executions of orders that traded while their cancel was on its way."""
        case = self._case
        rows = case.orders.traded_on_the_way()
        if not rows or self._executions_asked >= ASKS_FOR_EXECUTIONS:
            return
        self._executions_asked += 1
        symbols = {row.symbol for row in rows}
        few = symbols if len(symbols) <= SYMBOLS_IN_A_LIST and all(symbols) else ()
        await case.turn(budget.LOOK_UP)
        listing = await case.broker.executions(case.account_id, since=self._began - SLACK, instrument_ids=sorted(few))
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
                quantity, notional = sum_up(executions, None, row.instrument_type)
                self._case.orders.note_lost(row.order_id, quantity, notional, timezone.now())
        elif row.lost_quantity:
            quantity, notional = sum_up(executions, row.lost_quantity, row.instrument_type)
            if quantity == row.lost_quantity:
                self._case.orders.note_lost(row.order_id, quantity, notional, timezone.now())


def sum_up(
    executions: Iterable[Execution], most: Decimal | None, instrument_type: str
) -> tuple[Decimal, Decimal | None]:
    """Add up quantity and notional (US dollars) of executions, the newest first, up to `most`.

    The notional is None where one of them has no price, as those of multi-leg orders.
    """
    quantity, notional = Decimal(0), Decimal(0)
    is_priced = True
    for execution in executions:
        part = execution.quantity or Decimal(0)
        if most is not None:
            part = min(part, most - quantity)
        quantity += part
        is_priced &= execution.price is not None or not part
        notional += part * (execution.price or Decimal(0)) * multiplier(instrument_type)
    return quantity, abs(notional) if is_priced else None
