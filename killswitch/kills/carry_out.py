"""Carry out a kill: the one operation that the Celery task and the watchdog both call."""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Sequence

from django.conf import settings

from killswitch import broker

from .claims import Claim, ClaimedSweep, add_accounts, claim, give_up_roster, renew_roster
from .record import LEASE, LostLease, Recorder, let_go, renew
from .sweep import FIRM_REFUSALS, LONGEST_PAUSE, REFUSALS_IN_A_ROW, Limits, SweepRun

logger = logging.getLogger(__name__)

_recorder: Recorder | None = None


def carry_out(kill_id: uuid.UUID) -> None:
    """Take what nobody holds of a kill and work on it to the end, all accounts at once on one event loop."""
    claimed = claim(kill_id, source=f"worker {socket.gethostname()} {os.getpid()}")
    if claimed is not None:
        broker.run(_work(claimed))


async def stop_recorder() -> None:
    """Close the recorder's database connection; the next kill opens a new one. Call it on the broker's loop."""
    global _recorder
    if _recorder is not None:
        await _recorder.close()
        _recorder = None


async def _work(claimed: Claim) -> None:
    global _recorder
    _recorder = recorder = _recorder or Recorder()
    heart = asyncio.create_task(_keep_leases(claimed, recorder))
    try:
        await asyncio.gather(_sweep_all(claimed, claimed.sweeps, recorder), _sweep_unknown_accounts(claimed, recorder))
    finally:
        heart.cancel()


async def _keep_leases(claimed: Claim, recorder: Recorder) -> None:
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 3)
        await recorder.run(renew, claimed.token)
        if claimed.has_roster:
            await recorder.run(renew_roster, claimed)


async def _sweep_all(claimed: Claim, sweeps: Sequence[ClaimedSweep], recorder: Recorder) -> None:
    limits = Limits(patience=settings.KILL_PATIENCE_SECONDS, at_all=settings.KILL_LIMIT_SECONDS)
    client = broker.client()
    runs = [SweepRun(claimed, sweep, broker=client, recorder=recorder, limits=limits) for sweep in sweeps]
    results = await asyncio.gather(*(run.run() for run in runs), return_exceptions=True)
    for sweep, result in zip(sweeps, results, strict=True):
        if isinstance(result, LostLease):
            logger.warning("kill %s: account %s was taken over", claimed.kill.id, sweep.sweep.account_id)
        elif isinstance(result, BaseException):
            # Nothing is lost: the watchdog takes it up again. But it must be seen.
            logger.error("kill %s: account %s broke off", claimed.kill.id, sweep.sweep.account_id, exc_info=result)
            await recorder.run(let_go, sweep.sweep.id, claimed.token)


async def _sweep_unknown_accounts(claimed: Claim, recorder: Recorder) -> None:
    """Ask the broker which accounts there are and sweep those that nobody knew. The known ones do not wait for it."""
    if not claimed.has_roster:
        return
    for attempt in range(1, REFUSALS_IN_A_ROW + 1):
        listing = await broker.client().accounts()
        if listing.whole:
            added = await recorder.run(add_accounts, claimed, [account.id for account in listing.items])
            return await _sweep_all(claimed, added, recorder)
        if attempt < REFUSALS_IN_A_ROW and not isinstance(listing.error, FIRM_REFUSALS):
            await asyncio.sleep(LONGEST_PAUSE)
    await recorder.run(give_up_roster, claimed, listing.error.message if listing.error else "")
