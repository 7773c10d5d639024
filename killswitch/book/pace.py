"""Spread requests evenly over time."""

import asyncio
import time


class Pace:
    """Lets one caller through every 1/`per_second` seconds; the first at once."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        self._next = time.monotonic()

    async def __call__(self) -> None:
        now = time.monotonic()
        turn = max(self._next, now)
        self._next = turn + self._interval
        await asyncio.sleep(turn - now)
