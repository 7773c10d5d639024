"""One sweep: cancel, list again, cancel what is left, until the broker lists nothing that matches, twice."""

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from killswitch.audit.operations import Draft
from killswitch.broker import (
    BrokerError,
    ClearStreet,
    Listing,
    NoPermission,
    NoSuchAccount,
    NoSuchOrder,
    NothingMatches,
    Order,
    RefusedKey,
    Throttled,
    Unreachable,
)

from . import entries
from .claims import Claim, ClaimedSweep, end_if_over
from .models import Outcome, State
from .orders import TouchedOrders
from .record import Note, Recorder

QUIET_LISTS = 2
FIRST_PAUSE = 0.2  # seconds between passes, growing while nothing moves
LONGEST_PAUSE = 2.0
RETRY_AFTER_CAP = 10.0
ATTEMPTS_PER_ORDER = 5
REFUSALS_IN_A_ROW = 3
CANCELS_AT_ONCE = 1000  # announced in one commit
# More ids than this do not fit an address: list the whole account instead.
IDS_IN_A_LIST = 100
FIRM_REFUSALS = (RefusedKey, NoPermission, NoSuchAccount)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a sweep goes on, in seconds: without any progress, and at all."""

    patience: float = 30.0
    at_all: float = 300.0


class SweepRun:
    """Carries one sweep out. Holds what it knows in memory; everything that matters is written as it goes."""

    def __init__(
        self, claim: Claim, claimed: ClaimedSweep, *, broker: ClearStreet, recorder: Recorder, limits: Limits
    ) -> None:
        self._kill_id = claim.kill.id
        self._token = claim.token
        self._filter = claim.kill.filter
        self._claimed = claimed
        self._sweep_id = claimed.sweep.id
        self._account_id = claimed.sweep.account_id
        self._subject = entries.Subject.of(claim.kill, self._account_id, claim.source)
        self._orders = TouchedOrders(self._sweep_id, claimed.orders)
        self._broker = broker
        self._recorder = recorder
        self._limits = limits
        self._passes = claimed.sweep.passes
        self._refusals = 0
        self._list_error = ""
        self._cancel_error = ""
        self._not_found: list[str] = []
        self._mass_cancel_failed = not claimed.is_new
        self._not_before = 0.0  # monotonic: the broker asked us to wait until then
        self._started = self._progress = time.monotonic()

    async def run(self) -> None:
        """Sweep to the end. Raises LostLease when somebody else has taken over."""
        await self._first_attempt()
        await self._until_quiet()

    async def _first_attempt(self) -> None:
        """Send the first cancels blind: they never wait for a list that they do not need."""
        if self._claimed.mass_cancel_id:
            await self._mass_cancel(self._claimed.mass_cancel_id)
        elif self._claimed.is_new and self._filter.order_ids:
            await self._cancel_one_by_one(dict.fromkeys(self._filter.order_ids))

    async def _until_quiet(self) -> None:
        quiet, pause = 0, FIRST_PAUSE
        while True:
            listing = await self._list()
            left = self._left(listing)
            await self._settle(listing)
            is_quiet = listing.whole and not left and not self._orders.pending()
            quiet = quiet + 1 if is_quiet else 0
            await self._write_pass(len(left))
            if quiet >= QUIET_LISTS:
                return await self._end(State.FLAT, 0)
            if self._is_time_to_give_up():
                return await self._end(State.NOT_FLAT if listing.whole else State.UNKNOWN, len(left))
            moved = await self._cancel_what_is_left(left)
            pause = FIRST_PAUSE if moved or is_quiet else min(pause * 1.5, LONGEST_PAUSE)
            await self._wait(pause)

    # --- asking

    async def _list(self) -> Listing[Order]:
        named = self._filter.order_ids if len(self._filter.order_ids) <= IDS_IN_A_LIST else ()
        listing = await self._broker.orders(self._account_id, order_ids=named)
        self._passes += 1
        if listing.error is not None:
            self._heed(listing.error)
            self._list_error = f"the orders could not be listed: {listing.error.message}"
        else:
            self._refusals = 0
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
        if listing.whole:
            missing = [row.order_id for row in self._orders.pending() if row.order_id not in listed]
            await asyncio.gather(*(self._look_up(order_id) for order_id in missing))

    async def _look_up(self, order_id: str) -> None:
        try:
            answer = await self._broker.order(self._account_id, order_id)
        except NoSuchOrder:
            self._orders.end(order_id, Outcome.NOT_FOUND, timezone.now())
            self._not_found.append(order_id)
        except BrokerError as error:
            self._heed(error)
            self._list_error = f"order {order_id} could not be looked up: {error.message}"
        else:
            self._orders.see(answer.data, timezone.now(), answer.request_id)

    # --- canceling

    async def _cancel_what_is_left(self, left: Sequence[Order]) -> bool:
        """Cancel what should be gone and is not. What is already pending is not sent again."""
        due = [
            order
            for order in left
            if not order.is_pending_cancel and self._orders.attempts(order.id) < ATTEMPTS_PER_ORDER
        ]
        if not due or time.monotonic() < self._not_before:
            return False
        if self._mass_cancel_failed and self._filter.is_for_the_broker:
            await self._mass_cancel()
            return True
        for start in range(0, len(due), CANCELS_AT_ONCE):
            await self._cancel_one_by_one({order.id: order for order in due[start : start + CANCELS_AT_ONCE]})
        return True

    async def _mass_cancel(self, attempt_id: uuid.UUID | None = None) -> None:
        if attempt_id is None:
            attempt_id = uuid.uuid4()
            announcement = entries.announce_mass_cancel(
                self._subject, self._filter.as_data(), attempt_id, timezone.now()
            )
            await self._note(announcement, is_announcement=True)
        try:
            answer = await self._broker.cancel_all_open_orders(self._account_id, **self._filter.for_the_broker())
        except BrokerError as error:
            self._mass_cancel_failed = error.maybe_acted or isinstance(error, Throttled | Unreachable)
            self._heed(error)
            self._cancel_error = "" if isinstance(error, NothingMatches) else f"the mass cancel failed: {error.message}"
            await self._note(entries.cancel_failed(self._subject, error, attempt_id, timezone.now()))
            return
        self._mass_cancel_failed = False
        self._cancel_error = ""
        now = timezone.now()
        for order in answer.data:
            self._orders.see(order, now, answer.request_id)
        await self._note(*entries.mass_cancel_accepted(self._subject, answer, attempt_id, now))

    async def _cancel_one_by_one(self, orders: dict[str, Order | None] | dict[str, Order]) -> None:
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
        await self._note(*announcements, is_announcement=True)
        await asyncio.gather(*(self._cancel_one(order_id, attempts[order_id]) for order_id in orders))

    async def _cancel_one(self, order_id: str, attempt_id: uuid.UUID) -> None:
        try:
            answer = await self._broker.cancel_open_order(self._account_id, order_id)
        except BrokerError as error:
            self._heed(error)
            if isinstance(error, Throttled | Unreachable):
                self._orders.discount_attempt(order_id, timezone.now())
            self._cancel_error = f"the cancel of order {order_id} failed: {error.message}"
            await self._note(entries.cancel_failed(self._subject, error, attempt_id, timezone.now(), order_id))
            return
        now = timezone.now()
        if answer.data.id == order_id:
            self._orders.see(answer.data, now, answer.request_id)
        await self._note(entries.cancel_accepted(self._subject, answer, attempt_id, now))

    # --- recording

    async def _note(self, *drafts: Draft, is_announcement: bool = False) -> None:
        changed, ended = self._orders.take_changes()
        if ended:
            self._progress = time.monotonic()
        now = timezone.now()
        await self._recorder.commit(
            Note(
                sweep_id=self._sweep_id,
                token=self._token,
                entries=[*drafts, *(entries.order_ended(self._subject, row, now) for row in ended)],
                orders=changed,
                is_announcement=is_announcement,
            )
        )

    async def _write_pass(self, open_orders: int) -> None:
        changed, ended = self._orders.take_changes()
        if changed:
            self._progress = time.monotonic()
        now = timezone.now()
        await self._recorder.commit(
            Note(
                sweep_id=self._sweep_id,
                token=self._token,
                entries=[entries.order_ended(self._subject, row, now) for row in ended],
                orders=changed,
                sweep={"passes": self._passes, "open_orders": open_orders, "listed_at": now, "error": self._error()},
            )
        )

    async def _end(self, state: State, open_orders: int) -> None:
        now = timezone.now()
        error = self._error() if state != State.FLAT else self._not_found_words()
        for row in self._orders.pending():
            self._orders.end(row.order_id, _unfinished(row.status, state), now)
        changed, ended = self._orders.take_changes()
        drafts = [entries.order_ended(self._subject, row, now) for row in ended]
        drafts.append(entries.sweep_ended(self._subject, state, open_orders, error, now))
        await self._recorder.commit(
            Note(
                sweep_id=self._sweep_id,
                token=self._token,
                entries=drafts,
                orders=changed,
                sweep={
                    "state": state,
                    "ended_at": now,
                    "flat_at": now if state == State.FLAT else None,
                    "open_orders": open_orders,
                    "error": error,
                },
                afterwards=lambda: end_if_over(self._kill_id),
            )
        )

    def _error(self) -> str:
        return self._list_error or self._cancel_error or self._not_found_words()

    def _not_found_words(self) -> str:
        if not self._not_found:
            return ""
        return f"not found at the broker: order {', '.join(self._not_found[:5])}" + (
            f" and {len(self._not_found) - 5} more" if len(self._not_found) > 5 else ""
        )

    # --- pace

    def _heed(self, error: BrokerError) -> None:
        if isinstance(error, FIRM_REFUSALS):
            self._refusals += 1
        if error.retry_after is not None:
            wait = min(error.retry_after, RETRY_AFTER_CAP)
            self._not_before = max(self._not_before, time.monotonic() + wait)

    def _is_time_to_give_up(self) -> bool:
        now = time.monotonic()
        return (
            self._refusals >= REFUSALS_IN_A_ROW
            or now - self._progress > self._limits.patience
            or now - self._started > self._limits.at_all
        )

    async def _wait(self, pause: float) -> None:
        # Jitter, so that 200 accounts do not list in step; never sooner than the broker asked for.
        asked = self._not_before - time.monotonic()
        await asyncio.sleep(max(asked, 0.0) + pause * random.uniform(0.5, 1.0))


def _unfinished(status: str, state: State) -> Outcome:
    if state == State.UNKNOWN:
        return Outcome.UNKNOWN
    return Outcome.STUCK if status == "PENDING_CANCEL" else Outcome.STILL_OPEN
