"""How fast a sweep repeats itself, and when it gives up. First attempts ask none of this."""

import asyncio
import random
import time
from dataclasses import dataclass

from killswitch.broker import BrokerError, NoPermission, NoSuchAccount, RefusedKey

FIRST_PAUSE = 0.2  # seconds between passes, growing while nothing moves
LONGEST_PAUSE = 2.0
RETRY_AFTER_CAP = 10.0
REFUSALS_IN_A_ROW = 3
# The broker will not think otherwise in the next second.
FIRM_REFUSALS = (RefusedKey, NoPermission, NoSuchAccount)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a sweep goes on, in seconds: without any progress, and at all."""

    patience: float = 30.0
    at_all: float = 300.0


class Patience:
    """Counts on the monotonic clock, for one sweep."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._refusals = 0
        self._pause = FIRST_PAUSE
        self._not_before = 0.0  # the broker asked us to wait until then
        self._started = self._moved_at = time.monotonic()

    def moved(self) -> None:
        """Note that something went forward."""
        self._moved_at = time.monotonic()

    def answered(self) -> None:
        """Note that the broker lets us ask."""
        self._refusals = 0

    def heed(self, error: BrokerError) -> None:
        """Take from an error how long to wait, and whether asking again makes sense."""
        if isinstance(error, FIRM_REFUSALS):
            self._refusals += 1
        if error.retry_after is not None:
            wait = min(error.retry_after, RETRY_AFTER_CAP)
            self._not_before = max(self._not_before, time.monotonic() + wait)

    @property
    def must_wait(self) -> bool:
        return time.monotonic() < self._not_before

    @property
    def is_over(self) -> bool:
        now = time.monotonic()
        return (
            self._refusals >= REFUSALS_IN_A_ROW
            or now - self._moved_at > self._limits.patience
            or now - self._started > self._limits.at_all
        )

    async def pause(self, *, grow: bool) -> None:
        """Wait before the next pass, longer each time that nothing moved.

        With jitter, so that 200 accounts do not list in step; never sooner than the broker asked for, and the time
        that it asked for is not held against it.
        """
        self._pause = min(self._pause * 1.5, LONGEST_PAUSE) if grow else FIRST_PAUSE
        asked = max(self._not_before - time.monotonic(), 0.0)
        self._moved_at += asked
        await asyncio.sleep(asked + self._pause * random.uniform(0.5, 1.0))
