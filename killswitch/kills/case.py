"""What the parts of one sweep share."""

from dataclasses import dataclass
from datetime import datetime

from killswitch.broker import BrokerError, BrokerFailed, ClearStreet, OutcomeUnknown, Throttled, Unreachable

from . import clock
from .budget import Budget
from .entries import Subject
from .filter import OrderFilter
from .hold import Hold
from .logbook import Logbook
from .orders import TouchedOrders
from .patience import Limits, Patience

# After these nobody can say that the broker looked at the order and did not want to cancel it.
NOT_AN_ANSWER = (Throttled, Unreachable, BrokerFailed, OutcomeUnknown)

# Between so many, the event loop serves the other accounts.
ORDERS_AT_ONCE = 1000


@dataclass
class Case:
    """One account of one kill: what is wanted, what is known, and the means."""

    account_id: int
    engaged_at: datetime
    filter: OrderFilter
    subject: Subject
    orders: TouchedOrders
    broker: ClearStreet
    budget: Budget
    patience: Patience
    limits: Limits
    log: Logbook
    hold: Hold
    canceled_at: datetime | None = None  # when the broker took the mass cancel, by its own clock
    list_error: str = ""
    cancel_error: str = ""
    throttled: str = ""  # why the broker makes it wait

    async def turn(self, rank: int) -> None:
        """Wait until a repeat may leave. Raises HandedOver. What we make it wait is not held against the sweep."""
        asked_at = clock.monotonic()
        await self.hold.until(self.budget.turn(rank))
        self.patience.forgive(clock.monotonic() - asked_at)

    async def go_on(self) -> None:
        """Let a first attempt pass. Raises HandedOver."""
        self.hold.check_stopping()

    def heed(self, error: BrokerError) -> None:
        """Learn from an error how fast to repeat, and whether to."""
        self.patience.heed(error)
        if isinstance(error, Throttled) or error.retry_after is not None:
            asked = "" if error.retry_after is None else f" and asks to wait {error.retry_after:,.0f} s"
            self.throttled = f"the broker throttles{asked}: {error.message}"
            self.budget.throttled(error.retry_after, self.throttled)
