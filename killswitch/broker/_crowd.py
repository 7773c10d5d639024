"""How many requests may be on their way at once: fewer while the broker throttles or grows slow, never only one."""

import asyncio
import math
import time

LEAST = 8
SHRINK = 0.7
SHRINK_EVERY = 0.25  # seconds: a hundred refusals at once are one piece of news
SLOW = 4.0  # times as long as usual
SLOW_AT_LEAST = 0.5  # seconds: of a broker that answers in milliseconds, ten times that is nothing
GROW = 0.1  # for each answer that shows none: a tenth more each time that all have been answered
FORGET = 30.0  # seconds after which twice as long is usual, if nothing quicker came


class Crowd:
    """Lets up to `most` requests through at once, used as `async with`; tell it what came of each.

    It shrinks by a third at a sign of strain and grows bit by bit while there is none, as TCP finds out how much a line
    bears. Where all requests are of one kind, with
    `heeds_latency`, an answer that takes much longer than usual is such a sign.
    """

    def __init__(self, most: int, *, heeds_latency: bool = False) -> None:
        self.limit = self._most = most
        self._heeds_latency = heeds_latency
        self._slots = asyncio.Semaphore(most)
        self._more = 0.0  # part of a slot that has come together
        self._too_many = 0  # of those on their way, who give no slot back
        self._usual, self._usual_at = math.inf, 0.0
        self._shrunk_at = 0.0

    async def __aenter__(self) -> None:
        await self._slots.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    @property
    def is_full(self) -> bool:
        return self._slots.locked()

    def answered(self, latency: float) -> None:
        """Note an answer that took `latency` seconds."""
        now = time.monotonic()
        self._usual = min(latency, self._usual * (1 + (now - self._usual_at) / FORGET))
        self._usual_at = now
        if self._heeds_latency and latency > max(SLOW * self._usual, SLOW_AT_LEAST):
            self.strained()
        elif self.limit < self._most:
            self._more += GROW
            self._grow()

    def strained(self) -> None:
        """Note that the broker refused for too many requests, or did not answer."""
        now = time.monotonic()
        if now - self._shrunk_at < SHRINK_EVERY:
            return
        self._shrunk_at = now
        fewer = max(min(LEAST, self._most), int(self.limit * SHRINK))
        self._too_many += self.limit - fewer
        self.limit = fewer

    def _grow(self) -> None:
        if self._more >= 1:
            self._more -= 1
            self.limit += 1
            self._give_back()

    def _give_back(self) -> None:
        if self._too_many:
            self._too_many -= 1
        else:
            self._slots.release()


class NoCrowd(Crowd):
    """Lets everything through: what never waits."""

    def __init__(self) -> None:
        super().__init__(1)

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...
