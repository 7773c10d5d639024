"""Carry out a kill: the one operation that the Celery task, the watchdog and the command line call.

What is begun runs on this process's event loop; nobody has to wait for it. Before the process ends, `hand_over` gives
back what is not finished.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import socket
import uuid

from django.conf import settings

from killswitch import broker
from killswitch.steps import step

from . import clock
from .budget import Budget
from .claims import Claim, claim, is_held, renew_roster
from .crew import Crew
from .hold import Hold
from .operations import ring
from .patience import limits
from .record import LEASE, Recorder, renew
from .register import DatabaseRegister

logger = logging.getLogger(__name__)

HAND_OVER_SECONDS = 8.0  # one request's time-out, and the time to write it down
HEARTBEAT = LEASE.total_seconds() / 4
LATCH_HEARTBEAT = 1.0  # seconds: how long a release may stay unnoticed

_to_ring_for: set[uuid.UUID] = set()
# No lock around it: a signal's handler may call `stop_all` in a thread that has the lock. Each use is one step.
_under_way: dict[Hold, "concurrent.futures.Future[None]"] = {}
_is_ending = False
_recorder: Recorder | None = None
_budget: Budget | None = None


class Ending(Exception):
    """This process is about to end: somebody else must take the kill."""


def begin(kill_id: uuid.UUID, who: str = "worker") -> "concurrent.futures.Future[None] | None":
    """Take what nobody holds of a kill and begin to work on it, all accounts at once. Return what ends with it.

    `who` stands in the record as the one that did it. Returns None where there is nothing to take. Raises Ending.
    """
    asked_at = clock.monotonic()
    if _is_ending:
        raise Ending
    claimed = claim(kill_id, source=f"{who} {socket.gethostname()} {os.getpid()}")
    if claimed is None:
        return None
    held = [claimed_sweep.is_new for claimed_sweep in claimed.sweeps]
    step("claimed", kill_id, accounts=len(held), taken_over=held.count(False) or None, by=claimed.source)
    hold = Hold(asked_at, is_latched=claimed.kill.is_held)
    future = _under_way[hold] = broker.start(_work(claimed, hold))
    future.add_done_callback(lambda done: _forget(hold, kill_id, done))
    return future


def carry_out(kill_id: uuid.UUID, who: str = "worker") -> None:
    """Begin, and wait for the end."""
    future = begin(kill_id, who)
    if future is not None:
        future.result()


def stop_all() -> None:
    """Make everything that is under way give itself back. Returns at once; nothing more is begun."""
    global _is_ending
    _is_ending = True
    holds = list(_under_way)
    if holds:
        broker.start(_stop(holds))


def hand_over() -> None:
    """Stop all, wait until it is given back, and ring for whoever is left.

    Not for long: leases run out by themselves. Call it when this process takes no messages any more: it must not be
    the one that hears the ring.
    """
    stop_all()
    futures = list(_under_way.values())
    if futures:
        logger.warning("ending: %s kills are handed over", len(futures))
        concurrent.futures.wait(futures, timeout=HAND_OVER_SECONDS)
    for kill_id in list(_to_ring_for):
        _to_ring_for.discard(kill_id)
        ring(kill_id)


async def close() -> None:
    """Close what this process keeps for its kills; the next one opens it anew. Call it on the broker's loop."""
    global _recorder, _budget, _is_ending
    if _recorder is not None:
        await _recorder.close()
    _recorder, _budget, _is_ending = None, None, False


async def _stop(holds: list[Hold]) -> None:
    for hold in holds:
        hold.stop()


def _forget(hold: Hold, kill_id: uuid.UUID, done: "concurrent.futures.Future[None]") -> None:
    _under_way.pop(hold, None)
    if not done.cancelled() and done.exception() is not None:
        logger.error("kill %s: the work on it broke off", kill_id, exc_info=done.exception())


async def _work(claimed: Claim, hold: Hold) -> None:
    global _recorder, _budget
    _recorder = recorder = _recorder or Recorder(is_crowded=lambda: broker.client().is_crowded)
    _budget = budget = _budget or Budget(settings.KILL_REPEATS_PER_SECOND)
    crew = Crew(claimed, hold, DatabaseRegister(claimed, recorder), budget, limits())
    heart = asyncio.create_task(_keep_leases(claimed, hold, recorder))
    try:
        await crew.run()
    finally:
        heart.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await heart
    if crew.has_handed_over:
        _to_ring_for.add(claimed.kill.id)


async def _keep_leases(claimed: Claim, hold: Hold, recorder: Recorder) -> None:
    """Lengthen the leases, and notice a release."""
    while True:
        await asyncio.sleep(LATCH_HEARTBEAT if hold.is_latched else HEARTBEAT)
        asked_at = clock.monotonic()
        try:
            hold.lengthen(asked_at, await recorder.run(renew, claimed.token, set(hold.sweeping)))
            if claimed.has_roster:
                await recorder.run(renew_roster, claimed)
            if hold.is_latched and not await recorder.run(is_held, claimed.kill.id):
                hold.release()
        except Exception:
            logger.exception("kill %s: the leases could not be lengthened", claimed.kill.id)
