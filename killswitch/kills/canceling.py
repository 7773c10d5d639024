"""Send the cancels of one sweep: announced before, recorded after, repeated within bounds."""

import asyncio
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from killswitch.broker import BrokerError, Listing, NothingMatches, Order, parse_time

from . import budget, clock, entries
from .case import NOT_AN_ANSWER, ORDERS_AT_ONCE, Case
from .patience import retry_pause

ATTEMPTS_PER_ORDER = 6
MASS_CANCELS_IN_VAIN = 2
CANCELS_AT_ONCE = 1000
# Announced in one commit, and then they leave: the first of a thousand does not wait for what announces the last.
ANNOUNCED_AT_ONCE = 500


class Canceling:
    """Knows what was sent. `mass_cancel_failed` says whether nobody knows that a mass cancel has reached the broker."""

    def __init__(
        self, case: Case, *, mass_cancel_failed: bool, first_attempt_at: datetime | None, is_answered: bool
    ) -> None:
        self._case = case
        self._first_attempt_at = first_attempt_at
        self._is_answered = is_answered
        self.mass_cancel_failed = mass_cancel_failed
        # It may have taken effect without a word.
        self.mass_cancel_was_lost = mass_cancel_failed and case.filter.is_for_the_broker
        self._mass_cancels = 0
        self._in_vain = 0
        self._tried: set[str] = set()
        self._early: list[asyncio.Task[bool]] = []
        self._not_before: dict[str, float] = {}
        self.answers: dict[str, Order] = {}  # what cancels were answered, since the last list began

    # --- what to send

    async def cancel_what_is_left(self, listing: Listing[Order], left: Sequence[Order]) -> bool:
        """Cancel what should be gone and is not. Return whether the broker accepted something.

        What is already pending is not sent again. While nothing can be listed, what has never been accepted is sent
        again without: a cancel twice does no harm, a cancel that never left does. A mass cancel that fails again and
        again gives way to single cancels, which may be what works; for what no list shows it is still sent.
        """
        case = self._case
        due: dict[str, Order | None] = {order.id: order for order in left if self._is_due(order)}
        if not listing.whole and case.filter.order_ids:
            due |= {row.order_id: None for row in case.orders.pending() if not row.status and row.order_id not in due}
        is_in_vain = self._in_vain >= MASS_CANCELS_IN_VAIN
        if self.waits_for_mass_cancel and not (is_in_vain and listing.whole):
            is_wanted = bool(due or not listing.whole) and not (self._mass_cancels and case.budget.wait)
            accepted = is_wanted and await self.mass_cancel()
            if accepted or not is_in_vain:
                return accepted
        return await self._in_portions(due)

    def start_first_cancels(self, orders: Sequence[Order]) -> None:
        """Begin to cancel what one page of a list shows, while the next page is on its way."""
        due: dict[str, Order | None] = {
            order.id: order for order in orders if self._is_due(order) and order.id not in self._tried
        }
        if due:
            self._tried.update(due)
            self._early.append(asyncio.create_task(self.cancel_one_by_one(due)))

    async def finish_first_cancels(self) -> bool:
        """Wait for what `start_first_cancels` began. Return whether the broker accepted something."""
        early, self._early = self._early, []
        return any(await _all(early))

    @property
    def waits_for_mass_cancel(self) -> bool:
        """Say whether what is left is for a mass cancel, sent once more."""
        return self.mass_cancel_failed and self._case.filter.is_for_the_broker

    def is_untried(self, order: Order) -> bool:
        """Say whether nothing has been sent yet that could cancel an open order."""
        return not (order.is_pending_cancel or order.id in self._tried or self.has_given_up(order))

    def _is_due(self, order: Order) -> bool:
        is_too_soon = clock.monotonic() < self._not_before.get(order.id, 0.0)
        return not (order.is_pending_cancel or self.has_given_up(order) or is_too_soon)

    def has_given_up(self, order: Order) -> bool:
        """Say whether an open order has had all its attempts, or waits for ever for the one that was accepted."""
        orders = self._case.orders
        if order.is_pending_cancel:
            return orders.is_stuck(order.id)
        return orders.attempts(order.id) >= ATTEMPTS_PER_ORDER

    async def _in_portions(self, due: dict[str, Order | None]) -> bool:
        """Send first attempts as they are, and repeats as the budget lets them."""
        accepted = False
        first = [order_id for order_id in due if order_id not in self._tried]
        repeats = [order_id for order_id in due if order_id in self._tried]
        for portion in _cut(first, CANCELS_AT_ONCE):
            self._case.hold.check_stopping()
            accepted |= await self.cancel_one_by_one({order_id: due[order_id] for order_id in portion})
        while repeats and not self._case.budget.wait:
            portion, repeats = repeats[: self._case.budget.portion], repeats[self._case.budget.portion :]
            # Before they are announced: what is announced leaves at once.
            await asyncio.gather(*(self._case.turn(budget.CANCEL) for _ in portion))
            accepted |= await self.cancel_one_by_one({order_id: due[order_id] for order_id in portion}, is_first=False)
        return accepted

    # --- sending

    async def mass_cancel(self, announced: uuid.UUID | None = None) -> bool:
        """Ask the broker to cancel all that match. `announced` is the attempt's number where that is committed."""
        case = self._case
        if self._mass_cancels:
            await case.turn(budget.CANCEL)
        self._mass_cancels += 1
        attempt_id = announced or uuid.uuid4()
        asked_at = timezone.now() if announced is None else self._first_attempt_at
        if announced is None:
            await case.log.announce([entries.announce_mass_cancel(case.subject, attempt_id, timezone.now())])
        try:
            answer = await case.broker.cancel_all_open_orders(
                case.account_id, **case.filter.for_the_broker(), guard=case.log.check
            )
        except BrokerError as error:
            await self._note_failed_mass_cancel(error, attempt_id)
            return False
        self.mass_cancel_failed = False
        case.cancel_error = ""
        now = timezone.now()
        for number, order in enumerate(answer.data):
            if number % ORDERS_AT_ONCE == 0:
                await asyncio.sleep(0)
            case.orders.accept(order, now, asked_at=asked_at, request_id=answer.request_id)
        case.canceled_at = parse_time(max((order.updated_at or "" for order in answer.data), default=""))
        told = entries.mass_cancel_accepted(case.subject, answer, attempt_id, now)
        await case.log.note(told, **self._answered(answer.http_status, now))
        return True

    async def _note_failed_mass_cancel(self, error: BrokerError, attempt_id: uuid.UUID) -> None:
        case = self._case
        self.mass_cancel_failed = isinstance(error, NOT_AN_ANSWER)
        self.mass_cancel_was_lost |= error.maybe_acted
        self._in_vain += 1
        case.heed(error)
        case.cancel_error = "" if isinstance(error, NothingMatches) else f"the mass cancel failed: {error.message}"
        now = timezone.now()
        told = entries.cancel_failed(case.subject, error, attempt_id, now)
        await case.log.note([told], **self._answered(error.http_status, now))

    async def cancel_one_by_one(self, orders: Mapping[str, Order | None], *, is_first: bool = True) -> bool:
        """Cancel orders by their ids, all at once. Return whether the broker accepted one."""
        self._case.cancel_error = ""
        portions = [{each: orders[each] for each in ids} for ids in _cut(list(orders), ANNOUNCED_AT_ONCE)]
        return any(await _all([self._announce_and_cancel(some, is_first) for some in portions]))

    async def _announce_and_cancel(self, orders: Mapping[str, Order | None], is_first: bool) -> bool:
        attempts = await self._announce_each(orders)
        self._tried.update(orders)
        return any(await _all([self._cancel_one(order_id, attempts[order_id], is_first) for order_id in orders]))

    async def _announce_each(self, orders: Mapping[str, Order | None]) -> dict[str, uuid.UUID]:
        """Announce a cancel per order and return the attempts' numbers."""
        case, now = self._case, timezone.now()
        attempts = {order_id: uuid.uuid4() for order_id in orders}
        for order_id, order in orders.items():
            case.orders.count_attempt(order_id, order, now)
        announcements = [
            entries.announce_cancel(
                case.subject,
                order_id,
                order,
                attempt_id=attempts[order_id],
                number=case.orders.attempts(order_id),
                at=now,
            )
            for order_id, order in orders.items()
        ]
        self._first_attempt_at = self._first_attempt_at or now
        await case.log.announce(announcements, first_attempt_at=self._first_attempt_at)
        return attempts

    async def _cancel_one(self, order_id: str, attempt_id: uuid.UUID, is_first: bool) -> bool:
        case = self._case
        try:
            answer = await case.broker.cancel_open_order(
                case.account_id, order_id, is_first=is_first, guard=case.log.check
            )
        except BrokerError as error:
            await self._note_failed_cancel(error, order_id, attempt_id)
            return False
        finally:
            self._not_before[order_id] = clock.monotonic() + retry_pause(case.orders.attempts(order_id))
        now = timezone.now()
        if answer.data.id == order_id:
            case.orders.accept(answer.data, now, asked_at=None, request_id=answer.request_id)
            self.answers[order_id] = answer.data
        told = entries.cancel_accepted(case.subject, answer, attempt_id, now)
        await case.log.note([told], may_wait=True, **self._answered(answer.http_status, now))
        return True

    async def _note_failed_cancel(self, error: BrokerError, order_id: str, attempt_id: uuid.UUID) -> None:
        case = self._case
        case.heed(error)
        if isinstance(error, NOT_AN_ANSWER):
            case.orders.discount_attempt(order_id, timezone.now())
        case.cancel_error = f"the cancel of order {order_id} failed: {error.message}"
        now = timezone.now()
        told = entries.cancel_failed(case.subject, error, attempt_id, now, order_id)
        await case.log.note([told], **self._answered(error.http_status, now))

    def _answered(self, http_status: int | None, now: datetime) -> dict[str, Any]:
        """Return what the sweep notes of its first answer, whatever the broker said; nothing where it is not that."""
        if self._is_answered or http_status is None:
            return {}
        self._is_answered = True
        return {"first_answer_at": now}


async def _all(work: Sequence[Awaitable[bool]]) -> list[bool]:
    """Wait for all of it, and only then raise what one of them raised: none is left behind."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, bool)]


def _cut(ids: list[str], size: int) -> list[list[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
