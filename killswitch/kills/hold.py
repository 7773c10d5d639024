"""What a worker knows of its claim without asking the database: whether it is still its own, and whether to go on."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from . import clock
from .record import LEASE, LostLease


class HandedOver(Exception):
    """This process is to end: give the sweep back, so that somebody else takes it up at once."""


class Hold:
    """One worker's hold on its claim. It ends by itself unless it is lengthened, as the lease in the database does.

    `is_latched` is whether the kill sweeps on however quiet it is: until it is released.
    """

    def __init__(self, asked_at: float, *, is_latched: bool = False) -> None:
        self._from_the_start = asked_at + LEASE.total_seconds()
        self._good_until: dict[int, float] = {}
        self._wake = asyncio.Event()
        self.sweeping: set[int] = set()  # what somebody here works on: nothing else is kept from others
        self.is_latched = is_latched
        self.is_stopping = False
        self.has_sent = False  # whether a DELETE has left

    def lengthen(self, asked_at: float, sweep_ids: Iterable[int]) -> None:
        """Note whose leases the database lengthened; `asked_at` is the monotonic time before it was asked."""
        self._good_until.update(dict.fromkeys(sweep_ids, asked_at + LEASE.total_seconds()))

    def check(self, sweep_id: int) -> None:
        """Raise LostLease where somebody else may have taken the sweep over."""
        if clock.monotonic() > self._good_until.get(sweep_id, self._from_the_start):
            raise LostLease

    def release(self) -> None:
        """Let the sweeps end once they are quiet."""
        self.is_latched = False
        self._wake_all()

    def stop(self) -> None:
        """Make every sweep give itself back before its next request."""
        self.is_stopping = True
        self._wake_all()

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until it is released or stopped. Raises HandedOver."""
        wake = self._wake
        self.check_stopping()
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            pass
        self.check_stopping()

    async def until(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for `work`, but no longer than until it is stopped. Raises HandedOver."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                self.check_stopping()
                wake = asyncio.ensure_future(self._wake.wait())
                await asyncio.wait({task, wake}, return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
            task.result()
        finally:
            task.cancel()

    def check_stopping(self) -> None:
        """Raise HandedOver where this process is to end."""
        if self.is_stopping:
            raise HandedOver

    def _wake_all(self) -> None:
        wake, self._wake = self._wake, asyncio.Event()
        wake.set()
