"""How many repeats may leave. First attempts ask none of this: nothing ever stops one.

All sweeps of a process share one budget, since the broker throttles the key that they share. The limit is not
published, so it is found: halved at each refusal, given back bit by bit while there is none.
"""

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field

from . import clock

RETRY_AFTER_CAP = 10.0  # seconds
LEAST = 2.0  # repeats per second
HALVE_EVERY = 1.0  # seconds: a hundred refusals at once are one piece of news
RECOVERY_SECONDS = 20.0  # from nothing to the whole budget

# Who goes first. Lists and look-ups stand in one line: in two, a thousand accounts that list would starve one look-up.
CANCEL, ASK = range(2)


@dataclass(order=True)
class _Waiting:
    rank: int
    number: int
    turn: "asyncio.Future[None]" = field(compare=False)


class Budget:
    """Lets repeats through at a rate, cancels before lists. `per_second` is the most that it ever allows."""

    def __init__(self, per_second: float) -> None:
        self._most = per_second
        self._rate = per_second
        self._saved = per_second  # a second's worth may leave at once
        self._counted_at = self._halved_at = clock.monotonic()
        self._not_before = 0.0
        self.why = ""  # in the words that a page shows while it waits
        self._line: list[_Waiting] = []
        self._numbers = itertools.count()
        self._gate: asyncio.Task[None] | None = None

    @property
    def wait(self) -> float:
        """How long the broker wants no repeat, in seconds from now."""
        return max(0.0, self._not_before - clock.monotonic())

    @property
    def portion(self) -> int:
        """How many repeats may leave in about half a second."""
        return max(1, int(self._rate / 2))

    def throttled(self, retry_after: float | None, why: str) -> None:
        """Note that the broker refused because of too many requests, or asked to wait (seconds)."""
        self.why = why
        now = clock.monotonic()
        self._save_up(now)
        if now - self._halved_at >= HALVE_EVERY or self._rate == self._most:
            self._rate, self._halved_at = max(LEAST, self._rate / 2), now
            self._saved = min(self._saved, self._rate)
        if retry_after is not None:
            self._not_before = max(self._not_before, now + min(retry_after, RETRY_AFTER_CAP))

    async def turn(self, rank: int) -> None:
        """Wait until one repeat may leave."""
        waiting = _Waiting(rank, next(self._numbers), asyncio.get_running_loop().create_future())
        heapq.heappush(self._line, waiting)
        if self._gate is None or self._gate.done():
            self._gate = asyncio.get_running_loop().create_task(self._let_through())
        await waiting.turn

    async def _let_through(self) -> None:
        while self._line:
            now = clock.monotonic()
            self._save_up(now)
            if now >= self._not_before and self._saved >= 1:
                waiting = heapq.heappop(self._line)
                if not waiting.turn.done():  # whoever waited may be gone
                    self._saved -= 1
                    waiting.turn.set_result(None)
            else:
                await asyncio.sleep(max(self._not_before - now, (1 - self._saved) / self._rate, 0.001))

    def _save_up(self, now: float) -> None:
        passed, self._counted_at = now - self._counted_at, now
        self._rate = min(self._most, self._rate + passed * self._most / RECOVERY_SECONDS)
        self._saved = min(self._rate, self._saved + passed * self._rate)
