"""One sweep: cancel, list again, cancel what is left, until the broker lists nothing that matches, twice."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from killswitch.audit.operations import Draft
from killswitch.broker import (
    BrokerError,
    BrokerFailed,
    ClearStreet,
    Listing,
    NoPermission,
    NoSuchAccount,
    NoSuchOrder,
    NothingMatches,
    Order,
    OutcomeUnknown,
    RefusedKey,
    Throttled,
    Unreachable,
)

from . import entries
from .claims import Claim, ClaimedSweep, end_if_over
from .hold import Hold
from .models import KilledOrder, Outcome, State
from .orders import TouchedOrders
from .record import LostLease, Note, Recorder

QUIET_LISTS = 2
FIRST_PAUSE = 0.2  # seconds between passes, growing while nothing moves
LONGEST_PAUSE = 2.0
RETRY_AFTER_CAP = 10.0
ATTEMPTS_PER_ORDER = 5
REFUSALS_IN_A_ROW = 3
CANCELS_AT_ONCE = 1000  # announced in one commit
LOOK_UPS_AT_ONCE = 50
ENTRIES_IN_A_NOTE = 2000  # so that no commit keeps others waiting for long
# More ids than this do not fit an address: list the whole account instead.
IDS_IN_A_LIST = 100
FIRM_REFUSALS = (RefusedKey, NoPermission, NoSuchAccount)
# After these nobody can say that the broker looked at the order and did not want to cancel it.
NOT_AN_ANSWER = (Throttled, Unreachable, BrokerFailed, OutcomeUnknown)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a sweep goes on, in seconds: without any progress, and at all."""

    patience: float = 30.0
    at_all: float = 300.0


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
        self._hold = hold
        self._limits = limits
        self._passes = claimed.sweep.passes
        self._first_attempt_at = claimed.sweep.first_attempt_at
        self._refusals = 0
        self._is_lost = False
        self._list_error = ""
        self._cancel_error = ""
        self._not_found: list[str] = []
        # Whoever had the sweep before may have died before its mass cancel left.
        self._mass_cancel_failed = not claimed.is_new
        self._not_before = 0.0  # monotonic: the broker asked us to wait until then
        self._started = self._progress = time.monotonic()

    async def run(self) -> None:
        """Sweep to the end. Raises LostLease when somebody else has taken over."""
        await self._first_attempt()
        self._progress = time.monotonic()
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
            await self._write_pass(len(left) if listing.whole else None)
            if quiet >= QUIET_LISTS:
                return await self._end_quiet()
            if not is_quiet and self._is_time_to_give_up():
                return await self._end(State.NOT_FLAT if listing.whole else State.UNKNOWN, len(left))
            moved = await self._cancel_what_is_left(listing, left)
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
        return [order for order in listing.items if order.is_open and self._is_meant(order)]

    def _is_meant(self, order: Order) -> bool:
        return order.id in self._orders or self._filter.matches(order)

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
        if time.monotonic() < self._not_before:
            return
        try:
            answer = await self._broker.order(self._account_id, order_id)
        except NoSuchOrder:
            self._not_found.append(order_id)
            self._orders.end(order_id, Outcome.NOT_FOUND, timezone.now())
        except BrokerError as error:
            self._heed(error)
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
        again without: a cancel twice does no harm, a cancel that never left does.
        """
        if time.monotonic() < self._not_before:
            return False
        due: dict[str, Order | None] = {
            order.id: order
            for order in left
            if not order.is_pending_cancel and self._orders.attempts(order.id) < ATTEMPTS_PER_ORDER
        }
        if not listing.whole and self._filter.order_ids:
            due |= {row.order_id: None for row in self._orders.pending() if not row.status and row.order_id not in due}
        if self._mass_cancel_failed and self._filter.is_for_the_broker:
            return bool(due or not listing.whole) and await self._mass_cancel()
        return await self._cancel_in_portions(due)

    async def _cancel_in_portions(self, due: dict[str, Order | None]) -> bool:
        ids, accepted = list(due), False
        for start in range(0, len(ids), CANCELS_AT_ONCE):
            if time.monotonic() < self._not_before:
                break
            portion = {order_id: due[order_id] for order_id in ids[start : start + CANCELS_AT_ONCE]}
            accepted |= await self._cancel_one_by_one(portion)
        return accepted

    async def _mass_cancel(self, announced: uuid.UUID | None = None) -> bool:
        attempt_id = announced or uuid.uuid4()
        if announced is None:
            announcement = entries.announce_mass_cancel(self._subject, attempt_id, timezone.now())
            await self._note([announcement], is_announcement=True)
        try:
            answer = await self._broker.cancel_all_open_orders(
                self._account_id, **self._filter.for_the_broker(), urgent=announced is not None, guard=self._may_send
            )
        except BrokerError as error:
            self._mass_cancel_failed = error.maybe_acted or isinstance(error, Throttled | Unreachable)
            self._heed(error)
            self._cancel_error = "" if isinstance(error, NothingMatches) else f"the mass cancel failed: {error.message}"
            await self._note([entries.cancel_failed(self._subject, error, attempt_id, timezone.now())])
            return False
        self._mass_cancel_failed = False
        self._cancel_error = ""
        now = timezone.now()
        for order in answer.data:
            self._orders.see(order, now, answer.request_id)
        await self._note(entries.mass_cancel_accepted(self._subject, answer, attempt_id, now))
        return True

    async def _cancel_one_by_one(self, orders: Mapping[str, Order | None]) -> bool:
        now, is_first = timezone.now(), self._first_attempt_at is None
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
        await self._note(announcements, is_announcement=True, sweep={"first_attempt_at": self._first_attempt_at})
        results = await asyncio.gather(
            *(self._cancel_one(order_id, attempts[order_id], urgent=is_first) for order_id in orders),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return any(results)

    async def _cancel_one(self, order_id: str, attempt_id: uuid.UUID, *, urgent: bool) -> bool:
        try:
            answer = await self._broker.cancel_open_order(
                self._account_id, order_id, urgent=urgent, guard=self._may_send
            )
        except BrokerError as error:
            self._heed(error)
            if isinstance(error, NOT_AN_ANSWER):
                self._orders.discount_attempt(order_id, timezone.now())
            self._cancel_error = f"the cancel of order {order_id} failed: {error.message}"
            await self._note([entries.cancel_failed(self._subject, error, attempt_id, timezone.now(), order_id)])
            return False
        now = timezone.now()
        if answer.data.id == order_id:
            self._orders.see(answer.data, now, answer.request_id)
        await self._note([entries.cancel_accepted(self._subject, answer, attempt_id, now)])
        return True

    def _may_send(self) -> None:
        """Raise LostLease where the sweep is no longer ours: called at the last moment before a DELETE leaves."""
        if self._is_lost:
            raise LostLease
        self._hold.check()

    # --- recording

    async def _note(
        self, drafts: Sequence[Draft], *, is_announcement: bool = False, sweep: dict[str, Any] | None = None
    ) -> None:
        """Write entries, with whatever is new about the orders."""
        changed, ended = self._orders.take_changes()
        if ended:
            self._progress = time.monotonic()
        now = timezone.now()
        told = [*drafts, *(entries.order_ended(self._subject, row, now) for row in ended)]
        await self._commit(told, changed, sweep or {}, is_announcement)

    async def _commit(
        self,
        drafts: Sequence[Draft],
        rows: Sequence[KilledOrder],
        sweep: dict[str, Any],
        is_announcement: bool = False,
        afterwards: Callable[[], None] | None = None,
    ) -> None:
        """Commit in portions; what the sweep itself becomes is in the last one."""
        asked_at = time.monotonic()
        portions = max(1, -(-max(len(drafts), len(rows)) // ENTRIES_IN_A_NOTE))
        for number in range(portions):
            part = slice(number * ENTRIES_IN_A_NOTE, (number + 1) * ENTRIES_IN_A_NOTE)
            is_last = number == portions - 1
            note = Note(
                sweep_id=self._sweep_id,
                token=self._token,
                entries=drafts[part],
                orders=rows[part],
                sweep=sweep if is_last else {},
                is_announcement=is_announcement,
                afterwards=afterwards if is_last else None,
            )
            try:
                await self._recorder.commit(note)
            except Exception:
                self._is_lost = True
                raise
        self._hold.lengthen(asked_at)

    async def _write_pass(self, open_orders: int | None) -> None:
        changed, ended = self._orders.take_changes()
        if changed:
            self._progress = time.monotonic()
        now = timezone.now()
        sweep: dict[str, Any] = {"passes": self._passes, "error": self._error()}
        if open_orders is not None:
            sweep |= {"open_orders": open_orders, "listed_at": now}
        await self._commit([entries.order_ended(self._subject, row, now) for row in ended], changed, sweep)

    async def _end_quiet(self) -> None:
        """End as flat, unless a named order lives on under another number."""
        replaced = [row.order_id for row in self._orders.replaced()] if self._filter.order_ids else []
        if not replaced:
            return await self._end(State.FLAT, 0)
        self._cancel_error = f"order {', '.join(replaced)} was replaced: what replaced it may be open, look for it"
        return await self._end(State.UNKNOWN, None)

    async def _end(self, state: State, open_orders: int | None) -> None:
        now = timezone.now()
        error = self._error() if state != State.FLAT else self._not_found_words()
        for row in self._orders.pending():
            self._orders.end(row.order_id, _unfinished(row.status, state), now)
        changed, ended = self._orders.take_changes()
        drafts = [entries.order_ended(self._subject, row, now) for row in ended]
        drafts.append(entries.sweep_ended(self._subject, state, open_orders, error, now))
        sweep = {
            "state": state,
            "ended_at": now,
            "flat_at": now if state == State.FLAT else None,
            "open_orders": open_orders,
            "error": error,
        }
        await self._commit(drafts, changed, sweep, afterwards=lambda: end_if_over(self._kill_id))

    def _error(self) -> str:
        return self._list_error or self._cancel_error or self._not_found_words()

    def _not_found_words(self) -> str:
        if not self._not_found:
            return ""
        more = f" and {len(self._not_found) - 5} more" if len(self._not_found) > 5 else ""
        return f"not found at the broker: order {', '.join(self._not_found[:5])}{more}"

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
        # Jitter, so that 200 accounts do not list in step; never sooner than the broker asked for, and the time that
        # it asked for is not held against it.
        asked = max(self._not_before - time.monotonic(), 0.0)
        self._progress += asked
        await asyncio.sleep(asked + pause * random.uniform(0.5, 1.0))


def _unfinished(status: str, state: State) -> Outcome:
    if state == State.UNKNOWN:
        return Outcome.UNKNOWN
    return Outcome.STUCK if status == "PENDING_CANCEL" else Outcome.STILL_OPEN
