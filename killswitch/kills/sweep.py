"""One sweep: cancel, list again, cancel what is left, until the broker lists nothing that matches, twice."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.utils import timezone

from killswitch.broker import ClearStreet, Listing, Order

from . import clock
from .budget import Budget
from .canceling import Canceling
from .case import Case
from .claims import Claim, ClaimedSweep
from .entries import Subject
from .hold import Hold
from .logbook import Committer, Logbook
from .looking import Looking
from .models import Outcome, State
from .orders import TouchedOrders
from .patience import Limits, Patience

QUIET_LISTS = 2
ASK_SECONDS = 1.0
ARRIVALS_ARE_RECENT = 10.0  # seconds


def open_case(
    claim: Claim,
    claimed: ClaimedSweep,
    *,
    broker: ClearStreet,
    recorder: Committer,
    hold: Hold,
    limits: Limits,
    budget: Budget,
) -> Case:
    """Put together what the parts of one sweep share."""
    sweep = claimed.sweep
    subject = Subject.of(claim.kill, sweep.account_id, claim.source)
    orders = TouchedOrders(sweep.id, claimed.orders)
    log = Logbook(sweep_id=sweep.id, token=claim.token, subject=subject, orders=orders, recorder=recorder, hold=hold)
    return Case(
        account_id=sweep.account_id,
        engaged_at=claim.kill.engaged_at,
        filter=claim.kill.filter,
        subject=subject,
        orders=orders,
        broker=broker,
        budget=budget,
        patience=Patience(limits),
        limits=limits,
        log=log,
        hold=hold,
    )


class SweepRun:
    """Carries one sweep out. Holds what it knows in memory; everything that matters is written as it goes."""

    def __init__(self, case: Case, claimed: ClaimedSweep) -> None:
        self._case = case
        self._claimed = claimed
        # Whoever had the sweep before may have died before its mass cancel left, or before it heard of it.
        sweep = claimed.sweep
        self._canceling = Canceling(
            case,
            mass_cancel_failed=not claimed.is_new,
            first_attempt_at=sweep.first_attempt_at,
            is_answered=sweep.first_answer_at is not None,
        )
        self._looking = Looking(case, was_listed=sweep.listed_at is not None)
        self._state = sweep.state
        self._passes = sweep.passes
        self._quiet = 0
        self._is_in_its_last_pass = False
        self._asking: asyncio.Task[None] | None = None
        self._arrived_at = clock.monotonic()
        self._is_latched = case.hold.is_latched

    async def run(self) -> None:
        """Sweep to the end. Raises LostLease when somebody else has taken over, HandedOver when we are to end."""
        await self._first_attempt()
        self._case.patience.begin()
        try:
            while not await self._pass():
                pass
        finally:
            if self._asking is not None:
                self._asking.cancel()

    async def _first_attempt(self) -> None:
        """Send the first cancels blind: they never wait for a list that they do not need."""
        case = self._case
        if self._claimed.mass_cancel_id:
            await self._canceling.mass_cancel(self._claimed.mass_cancel_id)
        elif self._claimed.is_new and case.filter.order_ids:
            await self._canceling.cancel_one_by_one(dict.fromkeys(case.filter.order_ids))
        else:
            # Taken over: whoever had it may have died before it wrote down what was named.
            case.orders.expect(case.filter.order_ids, timezone.now())

    async def _pass(self) -> bool:
        """List, learn, cancel what is left, ask on, wait. Return whether the sweep has ended."""
        case = self._case
        listing = await self._list()
        case.log.carry(await self._looking.learn(listing, answer_was_lost=self._canceling.mass_cancel_was_lost))
        left = self._looking.left(listing)
        self._leave_latched(left)
        has_moved, sends_first = case.orders.have_changed, any(map(self._canceling.is_untried, left))
        # Before the cancels of this pass: the last attempt, too, is given the time that it takes.
        is_hopeless = listing.whole and bool(left) and all(map(self._canceling.has_given_up, left))
        has_moved |= await self._canceling.cancel_what_is_left(listing, left)
        await self._ask_on(listing)
        # A list that had something to cancel is not quiet, though the broker answered that it has ended.
        is_quiet = listing.whole and not (left or self._canceling.answers or case.orders.pending())
        self._quiet = self._quiet + 1 if is_quiet else 0
        if is_quiet and not self._not_found_words():
            case.cancel_error = ""  # whatever it was, nothing is left that it could keep from going
        self._note_progress(listing, left, has_moved or case.orders.have_changed)
        self._notice_release()
        state = State.NOT_FLAT if is_hopeless else self._state_now(listing, left)
        if await self._ends(state, listing, left, sends_first):
            return True
        await self._note_and_wait(state, has_moved or is_quiet, len(left) if listing.whole else None)
        return False

    async def _ask_on(self, listing: Listing[Order]) -> None:
        """Ask for what the list does not tell; answers that take long do not keep the next list from coming."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._looking.ask_on(listing))
        done, _ = await asyncio.wait({self._asking}, timeout=ASK_SECONDS)
        if done:
            asked, self._asking = self._asking, None
            asked.result()

    async def _list(self) -> Listing[Order]:
        """List, and begin to cancel what each page shows before the next one is there."""
        self._case.hold.check_stopping()
        answers = self._canceling.answers = {}
        try:
            listing = await self._looking.fetch(self._take_page)
        finally:
            self._passes += 1
            await self._canceling.finish_first_cancels()
        # What a cancel was answered is newer than the page that showed its order.
        return replace(listing, items=[answers.get(order.id, order) for order in listing.items])

    def _take_page(self, orders: list[Order]) -> None:
        if self._canceling.waits_for_mass_cancel:
            return
        fresh = [order for order in orders if order.is_open and self._looking.is_meant(order)]
        untried = [
            order for order in fresh if self._canceling.is_untried(order) and not self._looking.may_be_successor(order)
        ]
        self._case.log.carry(self._looking.notice(untried))
        self._leave_latched(untried)
        self._canceling.start_first_cancels(untried)

    def _leave_latched(self, left: Sequence[Order]) -> None:
        """See to it that a latched account is no longer called quiet when the cancel of what arrived leaves."""
        if self._looking.late:
            self._arrived_at = clock.monotonic()
        if left and self._state == State.LATCHED:
            self._state = State.RUNNING
            self._case.log.turn(State.RUNNING)

    async def _ends(self, state: State, listing: Listing[Order], left: list[Order], sends_first: bool) -> bool:
        """End the sweep where its state says so, but never in the pass that sent the first cancel of an order."""
        if self._is_latched or state == State.RUNNING:
            return False
        if sends_first and not self._is_in_its_last_pass:
            self._is_in_its_last_pass = True
            return False
        if self._asking is not None:
            await self._asking
        await self._case.log.end(
            state,
            open_orders=self._open_count(listing, left),
            error=self._error(),
            first_flat_at=self._claimed.sweep.first_flat_at,
        )
        return True

    def _note_progress(self, listing: Listing[Order], left: list[Order], has_moved: bool) -> None:
        """Patience is for when nothing goes forward: not while the broker answers and works on what it accepted."""
        case = self._case
        if self._is_latched and self._quiet:
            # It may be quiet for days before something arrives.
            case.patience.begin()
        waits = [order.is_pending_cancel and not case.orders.is_stuck(order.id) for order in left]
        is_on_its_way = listing.whole and bool(waits) and all(waits)
        if has_moved or is_on_its_way:
            case.patience.moved()

    def _notice_release(self) -> None:
        if self._is_latched and not self._case.hold.is_latched:
            self._is_latched = False
            # What was quiet before the release is looked at anew, and given all the time that a kill has.
            self._quiet = 0
            self._case.patience.begin()

    def _state_now(self, listing: Listing[Order], left: list[Order]) -> State:
        case = self._case
        if self._quiet >= QUIET_LISTS:
            if self._not_found_words() or self._replaced_words():
                return State.UNKNOWN
            return State.LATCHED if self._is_latched else State.FLAT
        if self._quiet:
            return State(self._state) if self._is_latched else State.RUNNING
        if case.patience.is_over:
            # An order that is not listed and could not be looked up is not known to be open either.
            return State.NOT_FLAT if listing.whole and left else State.UNKNOWN
        return State.RUNNING

    def _open_count(self, listing: Listing[Order], left: list[Order]) -> int | None:
        return len(left) if listing.whole and not self._replaced_words() else None

    async def _note_and_wait(self, state: State, has_moved: bool, open_orders: int | None) -> None:
        case = self._case
        pause = self._pause(has_moved)
        asked = case.budget.wait
        throttled = case.throttled or (case.budget.why if asked else "")
        now = timezone.now()
        sweep: dict[str, Any] = {
            "passes": self._passes,
            "error": self._error(),
            "throttled": throttled,
            "next_try_at": now + timedelta(seconds=max(asked, pause)) if throttled else None,
        }
        case.throttled = ""
        if open_orders is not None:
            sweep |= {"open_orders": open_orders, "listed_at": now}
        await self._note(state, sweep)
        # What the broker asks for is not held against the sweep.
        await case.hold.sleep(max(asked, pause))

    async def _note(self, state: State, sweep: dict[str, Any]) -> None:
        has_turned = self._is_latched and state != self._state
        if not has_turned:
            return await self._case.log.note_pass(**sweep)
        sweep |= {"state": state}
        was, self._state = self._state, state
        if state == State.LATCHED and was != State.LATCHED and self._claimed.sweep.flat_at is None:
            now = timezone.now()
            self._claimed.sweep.flat_at = self._claimed.sweep.first_flat_at = now
            return await self._case.log.holds(**sweep, break_offs=0, flat_at=now, first_flat_at=now)
        await self._case.log.note_pass(settles=True, **sweep)

    def _pause(self, has_moved: bool) -> float:
        if self._is_latched and self._quiet >= QUIET_LISTS:
            has_arrivals = clock.monotonic() - self._arrived_at < ARRIVALS_ARE_RECENT
            return self._case.patience.next_latch_pause(has_arrivals=has_arrivals)
        return self._case.patience.next_pause(has_moved=has_moved)

    # --- words

    def _error(self) -> str:
        case = self._case
        return case.list_error or case.cancel_error or self._not_found_words() or self._replaced_words()

    def _not_found_words(self) -> str:
        ids = [row.order_id for row in self._case.orders.with_outcome(Outcome.NOT_FOUND)]
        if not ids:
            return ""
        more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
        return f"not found at the broker: order {', '.join(ids[:5])}{more}"

    def _replaced_words(self) -> str:
        ids = [row.order_id for row in self._looking.replaced_into_nothing()]
        if not ids:
            return ""
        return f"order {', '.join(ids[:5])} was replaced: what replaced it may be open, look for it"
