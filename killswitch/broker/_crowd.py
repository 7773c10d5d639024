"""How many requests may be on their way at once: fewer while the broker throttles or grows slow, never only one.

Silence is no sign: a broker that does not answer gets as many as before, since thousands of cancels wait behind those.
"""

import asyncio
import math
import time

LEAST = 0.25  # of the most: even a broker that is always slow makes a kill no more than four times longer
SHRINK = 0.7
RECOVERED = 10.0  # seconds without a sign, after which all is as it was
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
        if now - self._shrunk_at > RECOVERED:
            self._grow(self._most - self.limit)
        self._usual = min(latency, self._usual * (1 + (now - self._usual_at) / FORGET))
        self._usual_at = now
        if self._heeds_latency and latency > max(SLOW * self._usual, SLOW_AT_LEAST):
            self.strained()
        elif self.limit < self._most:
            self._more += GROW
            self._grow(int(self._more))

    def strained(self) -> None:
        """Note that the broker refused for too many requests."""
        now = time.monotonic()
        if now - self._shrunk_at < SHRINK_EVERY:
            return
        self._shrunk_at = now
        fewer = max(math.ceil(LEAST * self._most), int(self.limit * SHRINK))
        self._too_many += self.limit - fewer
        self.limit = fewer

    def _grow(self, by: int) -> None:
        self._more = max(0.0, self._more - by)
        self.limit += by
        for _ in range(by):
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
