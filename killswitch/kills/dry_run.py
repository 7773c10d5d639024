"""A rehearsal of one sweep: everything but the DELETE. It lists, says what would go, and how the account stands."""

from django.utils import timezone

from killswitch.broker import Order

from . import entries
from .case import Case
from .looking import Looking
from .models import Outcome, State


class DryRun:
    """Rehearses one sweep. It ends with the state that is true at the broker: open orders are not flat."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._looking = Looking(case, was_listed=False)
        self._passes = 0

    async def run(self) -> None:
        """List until a list is whole or patience is over. Raises LostLease and HandedOver."""
        case = self._case
        while True:
            case.hold.check_stopping()
            listing = await self._looking.fetch()
            self._passes += 1
            if listing.whole or case.patience.is_over:
                break
            pause = max(case.budget.wait, case.patience.next_pause(has_moved=False))
            await case.log.note_pass(passes=self._passes, error=case.list_error, throttled=case.throttled)
            await case.hold.sleep(pause)
        case.log.carry(await self._looking.learn(listing, answer_was_lost=False))
        left = self._looking.left(listing)
        await self._tell(left)
        state = (State.NOT_FLAT if left else self._state_without_orders()) if listing.whole else State.UNKNOWN
        await case.log.end(state, open_orders=len(left) if listing.whole else None, error=self._error())

    async def _tell(self, left: list[Order]) -> None:
        """Write every cancel that would go out, and what it would reach."""
        case, now = self._case, timezone.now()
        told = [entries.rehearse_mass_cancel(case.subject, now)] if case.filter.is_for_the_broker else []
        for order in left:
            case.orders.see(order, now)
            case.orders.end(order.id, Outcome.WOULD_CANCEL, now)
            if not case.filter.is_for_the_broker:
                told.append(entries.rehearse_cancel(case.subject, order, now))
        await case.log.note(told)

    def _state_without_orders(self) -> State:
        return State.UNKNOWN if self._missing() else State.FLAT

    def _missing(self) -> list[str]:
        """Return the orders that were named and are not open: nobody knows here what they are."""
        return [order_id for order_id in self._case.filter.order_ids if order_id not in self._case.orders]

    def _error(self) -> str:
        if self._case.list_error or not self._missing():
            return self._case.list_error
        return f"not open at the broker: order {', '.join(self._missing()[:5])}"
