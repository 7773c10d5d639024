"""One sweep: cancel, list again, cancel what is left, until the broker lists nothing that matches, twice."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence

from django.utils import timezone

from killswitch.broker import (
    BrokerError,
    BrokerFailed,
    ClearStreet,
    Listing,
    NoSuchOrder,
    NothingMatches,
    Order,
    OutcomeUnknown,
    Throttled,
    Unreachable,
)

from . import entries
from .claims import Claim, ClaimedSweep
from .hold import Hold
from .logbook import Logbook
from .models import Outcome, State
from .orders import TouchedOrders
from .patience import Limits, Patience
from .record import Recorder

QUIET_LISTS = 2
ATTEMPTS_PER_ORDER = 5
MASS_CANCELS_IN_VAIN = 2
CANCELS_AT_ONCE = 1000  # announced in one commit
LOOK_UPS_AT_ONCE = 50
# More ids than this do not fit an address: list the whole account instead.
IDS_IN_A_LIST = 100
# After these nobody can say that the broker looked at the order and did not want to cancel it.
NOT_AN_ANSWER = (Throttled, Unreachable, BrokerFailed, OutcomeUnknown)


class SweepRun:
    """Carries one sweep out. Holds what it knows in memory; everything that matters is written as it goes."""

    def __init__(
        self,
        claim: Claim,
        claimed: ClaimedSweep,
        *,
        broker: ClearStreet,
        recorder: Recorder,
        hold: Hold,
        limits: Limits,
    ) -> None:
        sweep = claimed.sweep
        self._filter = claim.kill.filter
        self._claimed = claimed
        self._account_id = sweep.account_id
        self._subject = entries.Subject.of(claim.kill, sweep.account_id, claim.source)
        self._orders = TouchedOrders(sweep.id, claimed.orders)
        self._broker = broker
        self._patience = Patience(limits)
        self._log = Logbook(
            sweep_id=sweep.id,
            token=claim.token,
            subject=self._subject,
            orders=self._orders,
            recorder=recorder,
            hold=hold,
        )
        self._passes = sweep.passes
        self._first_attempt_at = sweep.first_attempt_at
        # Whoever had the sweep before may have died before its mass cancel left.
        self._mass_cancel_failed = not claimed.is_new
        self._mass_cancels_in_vain = 0
        self._list_error = ""
        self._cancel_error = ""

    async def run(self) -> None:
        """Sweep to the end. Raises LostLease when somebody else has taken over."""
        await self._first_attempt()
        self._patience.moved()
        await self._until_quiet()

    async def _first_attempt(self) -> None:
        """Send the first cancels blind: they never wait for a list that they do not need."""
        if self._claimed.mass_cancel_id:
            await self._mass_cancel(self._claimed.mass_cancel_id)
        elif self._claimed.is_new and self._filter.order_ids:
            await self._cancel_one_by_one(dict.fromkeys(self._filter.order_ids))
        else:
            # Taken over: whoever had it may have died before it wrote down what was named.
            self._orders.expect(self._filter.order_ids, timezone.now())

    async def _until_quiet(self) -> None:
        quiet = 0
        while True:
            listing = await self._list()
            left = self._left(listing)
            await self._settle(listing)
            is_quiet = listing.whole and not left and not self._orders.pending()
            quiet = quiet + 1 if is_quiet else 0
            await self._note_pass(len(left) if listing.whole else None)
            if quiet >= QUIET_LISTS:
                return await self._end_quiet()
            if not is_quiet and self._patience.is_over:
                # An order that is not listed and could not be looked up is not known to be open either.
                state = State.NOT_FLAT if listing.whole and left else State.UNKNOWN
                open_orders = len(left) if listing.whole else None
                return await self._log.end(state, open_orders=open_orders, error=self._error())
            moved = await self._cancel_what_is_left(listing, left)
            await self._patience.pause(grow=not (moved or is_quiet))

    async def _note_pass(self, open_orders: int | None) -> None:
        if await self._log.note_pass(passes=self._passes, open_orders=open_orders, error=self._error()):
            self._patience.moved()

    async def _end_quiet(self) -> None:
        """End as flat, unless an order could not be found or lives on under another number."""
        if self._not_found_words():
            return await self._log.end(State.UNKNOWN, open_orders=0, error=self._not_found_words())
        replaced = self._orders.ids_with(Outcome.REPLACED) if self._filter.order_ids else []
        if not replaced:
            return await self._log.end(State.FLAT, open_orders=0, error="")
        error = f"order {', '.join(replaced)} was replaced: what replaced it may be open, look for it"
        return await self._log.end(State.UNKNOWN, open_orders=None, error=error)

    def _error(self) -> str:
        return self._list_error or self._cancel_error or self._not_found_words()

    def _not_found_words(self) -> str:
        ids = self._orders.ids_with(Outcome.NOT_FOUND)
        if not ids:
            return ""
        more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
        return f"not found at the broker: order {', '.join(ids[:5])}{more}"

    # --- asking

    async def _list(self) -> Listing[Order]:
        named = self._filter.order_ids if len(self._filter.order_ids) <= IDS_IN_A_LIST else ()
        listing = await self._broker.orders(self._account_id, order_ids=named)
        self._passes += 1
        if listing.error is not None:
            self._patience.heed(listing.error)
            self._list_error = f"the orders could not be listed: {listing.error.message}"
        else:
            self._patience.answered()
            self._list_error = ""
        return listing

    def _left(self, listing: Listing[Order]) -> list[Order]:
        """Return the open orders that the kill is about: those that match, and those that it has already touched.

        A touched order stays in even where it no longer matches: one that was picked for being NEW is now
        PENDING_CANCEL, and it is still open.
        """
        return [
            order
            for order in listing.items
            if order.is_open and (order.id in self._orders or self._filter.matches(order))
        ]

    async def _settle(self, listing: Listing[Order]) -> None:
        """Learn from a list what became of the orders, and ask for those that a whole list no longer has."""
        now = timezone.now()
        listed = {order.id for order in listing.items}
        for order in listing.items:
            if order.id in self._orders or (order.is_open and self._filter.matches(order)):
                self._orders.see(order, now)
        if not listing.whole:
            return
        missing = [row.order_id for row in self._orders.pending() if row.order_id not in listed]
        for start in range(0, len(missing), LOOK_UPS_AT_ONCE):
            await asyncio.gather(*(self._look_up(order_id) for order_id in missing[start : start + LOOK_UPS_AT_ONCE]))

    async def _look_up(self, order_id: str) -> None:
        if self._patience.must_wait:
            return
        try:
            answer = await self._broker.order(self._account_id, order_id)
        except NoSuchOrder:
            self._orders.end(order_id, Outcome.NOT_FOUND, timezone.now())
        except BrokerError as error:
            self._patience.heed(error)
            self._list_error = f"order {order_id} could not be looked up: {error.message}"
        else:
            if answer.data.id == order_id:
                self._orders.see(answer.data, timezone.now(), answer.request_id)
            else:
                self._list_error = f"order {order_id} could not be looked up: the broker told of {answer.data.id}"

    # --- canceling

    async def _cancel_what_is_left(self, listing: Listing[Order], left: Sequence[Order]) -> bool:
        """Cancel what should be gone and is not. Return whether the broker accepted something.

        What is already pending is not sent again. While nothing can be listed, what has never been accepted is sent
        again without: a cancel twice does no harm, a cancel that never left does. A mass cancel that fails again and
        again gives way to single cancels, which may be what works.
        """
        if self._patience.must_wait:
            return False
        due: dict[str, Order | None] = {
            order.id: order
            for order in left
            if not order.is_pending_cancel and self._orders.attempts(order.id) < ATTEMPTS_PER_ORDER
        }
        if not listing.whole and self._filter.order_ids:
            due |= {row.order_id: None for row in self._orders.pending() if not row.status and row.order_id not in due}
        is_hopeless = listing.whole and self._mass_cancels_in_vain >= MASS_CANCELS_IN_VAIN
        if self._mass_cancel_failed and self._filter.is_for_the_broker and not is_hopeless:
            return bool(due or not listing.whole) and await self._mass_cancel()
        return await self._cancel_in_portions(due)

    async def _cancel_in_portions(self, due: dict[str, Order | None]) -> bool:
        ids, accepted = list(due), False
        for start in range(0, len(ids), CANCELS_AT_ONCE):
            if self._patience.must_wait:
                break
            portion = {order_id: due[order_id] for order_id in ids[start : start + CANCELS_AT_ONCE]}
            accepted |= await self._cancel_one_by_one(portion)
        return accepted

    async def _mass_cancel(self, announced: uuid.UUID | None = None) -> bool:
        attempt_id = announced or uuid.uuid4()
        if announced is None:
            await self._log.announce([entries.announce_mass_cancel(self._subject, attempt_id, timezone.now())])
        try:
            answer = await self._broker.cancel_all_open_orders(
                self._account_id, **self._filter.for_the_broker(), urgent=announced is not None, guard=self._log.check
            )
        except BrokerError as error:
            self._mass_cancel_failed = isinstance(error, NOT_AN_ANSWER)
            self._mass_cancels_in_vain += 1
            self._patience.heed(error)
            self._cancel_error = "" if isinstance(error, NothingMatches) else f"the mass cancel failed: {error.message}"
            await self._log.note([entries.cancel_failed(self._subject, error, attempt_id, timezone.now())])
            return False
        self._mass_cancel_failed = False
        self._cancel_error = ""
        now = timezone.now()
        for order in answer.data:
            self._orders.see(order, now, answer.request_id)
        await self._log.note(entries.mass_cancel_accepted(self._subject, answer, attempt_id, now))
        return True

    async def _cancel_one_by_one(self, orders: Mapping[str, Order | None]) -> bool:
        is_first = self._first_attempt_at is None
        attempts = await self._announce_each(orders)
        results = await asyncio.gather(
            *(self._cancel_one(order_id, attempts[order_id], urgent=is_first) for order_id in orders),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return any(results)

    async def _announce_each(self, orders: Mapping[str, Order | None]) -> dict[str, uuid.UUID]:
        """Announce a cancel per order and return the attempts' numbers."""
        now = timezone.now()
        attempts = {order_id: uuid.uuid4() for order_id in orders}
        for order_id, order in orders.items():
            self._orders.count_attempt(order_id, order, now)
        announcements = [
            entries.announce_cancel(
                self._subject,
                order_id,
                order,
                attempt_id=attempts[order_id],
                number=self._orders.attempts(order_id),
                at=now,
            )
            for order_id, order in orders.items()
        ]
        self._first_attempt_at = self._first_attempt_at or now
        await self._log.announce(announcements, first_attempt_at=self._first_attempt_at)
        return attempts

    async def _cancel_one(self, order_id: str, attempt_id: uuid.UUID, *, urgent: bool) -> bool:
        try:
            answer = await self._broker.cancel_open_order(
                self._account_id, order_id, urgent=urgent, guard=self._log.check
            )
        except BrokerError as error:
            self._patience.heed(error)
            if isinstance(error, NOT_AN_ANSWER):
                self._orders.discount_attempt(order_id, timezone.now())
            self._cancel_error = f"the cancel of order {order_id} failed: {error.message}"
            await self._log.note([entries.cancel_failed(self._subject, error, attempt_id, timezone.now(), order_id)])
            return False
        now = timezone.now()
        if answer.data.id == order_id:
            self._orders.see(answer.data, now, answer.request_id)
        await self._log.note([entries.cancel_accepted(self._subject, answer, attempt_id, now)])
        return True
