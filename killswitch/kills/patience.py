"""How long a sweep waits between passes, and when it gives up. First attempts ask none of this."""

import random
from dataclasses import dataclass

from django.conf import settings

from killswitch.broker import BrokerError, NoPermission, NoSuchAccount, RefusedKey, Throttled

from . import clock

LEAST_PAUSE = 0.05  # seconds, so that two lists in a row are two looks
FIRST_PAUSE = 0.2  # between passes, growing while nothing moves
LONGEST_PAUSE = 2.0
GROWTH = 1.5
QUIET_LATCH = 5.0  # so many times longer between lists where a latched account is quiet
REFUSALS_IN_A_ROW = 3
REFUSED_PAUSE = 30.0
FIRST_RETRY = 0.5  # before the second cancel of one order, doubled each time
LONGEST_RETRY = 8.0
# The broker will not think otherwise in the next second.
FIRM_REFUSALS = (RefusedKey, NoPermission, NoSuchAccount)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long things may take, in seconds.

    Args:
        patience: a sweep without any progress gives up after.
        at_all: a sweep gives up after, whatever moves.
        stuck: an order whose cancel was accepted and not carried out is called stuck after.
        latch: between two lists of a latched account on which orders arrive.
    """

    patience: float = 30.0
    at_all: float = 300.0
    stuck: float = 30.0
    latch: float = 1.0


def limits() -> Limits:
    """Read how long things may take from the settings."""
    return Limits(
        patience=settings.KILL_PATIENCE_SECONDS,
        at_all=settings.KILL_LIMIT_SECONDS,
        stuck=settings.KILL_STUCK_SECONDS,
        latch=settings.KILL_LATCH_SECONDS,
    )


class Patience:
    """Counts on the monotonic clock, for one sweep."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._refusals = 0
        self._pause = 0.0
        self._latch_pause = limits.latch
        self.begin()

    def begin(self) -> None:
        """Start to count: at the start, and once more when a latched kill is released."""
        self._started = self._moved_at = clock.monotonic()

    def moved(self) -> None:
        """Note that something went forward, or is on its way with nothing wrong."""
        self._moved_at = clock.monotonic()

    def forgive(self, seconds: float) -> None:
        """Leave time out in which nothing could be expected to move."""
        self._moved_at += seconds

    def answered(self) -> None:
        """Note that the broker lets us ask."""
        self._refusals = 0

    def heed(self, error: BrokerError) -> None:
        """Take from an error whether asking again makes sense."""
        if isinstance(error, FIRM_REFUSALS):
            self._refusals += 1
        if isinstance(error, Throttled):
            # The broker is well and says when to come back: slower is not without hope.
            self.moved()

    @property
    def is_over(self) -> bool:
        now = clock.monotonic()
        return (
            self._refusals >= REFUSALS_IN_A_ROW
            or now - self._moved_at > self._limits.patience
            or now - self._started > self._limits.at_all
        )

    def next_pause(self, *, has_moved: bool) -> float:
        """Say how long to wait before the next pass, in seconds: longer each time that nothing moved, full jitter.

        Without the jitter, 200 accounts would list in step.
        """
        if self._refusals >= REFUSALS_IN_A_ROW:
            # A latched sweep goes on asking; a key that is revoked needs people, not requests.
            return REFUSED_PAUSE * random.uniform(0.5, 1.0)
        self._pause = FIRST_PAUSE if has_moved or not self._pause else min(self._pause * GROWTH, LONGEST_PAUSE)
        return LEAST_PAUSE + random.uniform(0, self._pause)

    def next_latch_pause(self, *, has_arrivals: bool) -> float:
        """Say how long a latched and quiet account waits before the next list, in seconds."""
        slowest = self._limits.latch * QUIET_LATCH
        self._latch_pause = self._limits.latch if has_arrivals else min(self._latch_pause * GROWTH, slowest)
        return self._latch_pause * random.uniform(0.8, 1.0)


def retry_pause(attempts: int) -> float:
    """Say how long to leave an order alone after that many cancels of it, in seconds. Full jitter."""
    return random.uniform(0, min(LONGEST_RETRY, FIRST_RETRY * 2 ** max(0, attempts - 1)))
