"""Carry out a kill: the one operation that the Celery task and the watchdog both call."""

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Sequence

from django.conf import settings

from killswitch import broker

from .claims import Claim, ClaimedSweep, add_accounts, break_off, claim, give_up_roster, note_roster_error, renew_roster
from .hold import Hold
from .patience import FIRM_REFUSALS, LONGEST_PAUSE, REFUSALS_IN_A_ROW, RETRY_AFTER_CAP, Limits
from .record import LEASE, LostLease, Recorder, renew
from .sweep import SweepRun

logger = logging.getLogger(__name__)

_recorder: Recorder | None = None


def carry_out(kill_id: uuid.UUID, who: str = "worker") -> None:
    """Take what nobody holds of a kill and work on it to the end, all accounts at once on one event loop.

    `who` stands in the record as the one that did it.
    """
    asked_at = time.monotonic()
    claimed = claim(kill_id, source=f"{who} {socket.gethostname()} {os.getpid()}")
    if claimed is not None:
        broker.run(_work(claimed, Hold(asked_at)))


async def stop_recorder() -> None:
    """Close the recorder's database connection; the next kill opens a new one. Call it on the broker's loop."""
    global _recorder
    if _recorder is not None:
        await _recorder.close()
        _recorder = None


async def _work(claimed: Claim, hold: Hold) -> None:
    global _recorder
    _recorder = recorder = _recorder or Recorder()
    heart = asyncio.create_task(_keep_leases(claimed, hold, recorder))
    try:
        crew = _Crew(claimed, hold, recorder)
        await asyncio.gather(crew.sweep_all(claimed.sweeps), crew.sweep_unknown_accounts())
    finally:
        heart.cancel()


async def _keep_leases(claimed: Claim, hold: Hold, recorder: Recorder) -> None:
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 4)
        asked_at = time.monotonic()
        try:
            await recorder.run(renew, claimed.token)
            if claimed.has_roster:
                await recorder.run(renew_roster, claimed)
            hold.lengthen(asked_at)
        except Exception:
            logger.exception("kill %s: the leases could not be lengthened", claimed.kill.id)


class _Crew:
    """Runs the sweeps of one claim."""

    def __init__(self, claimed: Claim, hold: Hold, recorder: Recorder) -> None:
        self._claimed = claimed
        self._hold = hold
        self._recorder = recorder
        self._limits = Limits(patience=settings.KILL_PATIENCE_SECONDS, at_all=settings.KILL_LIMIT_SECONDS)

    async def sweep_all(self, sweeps: Sequence[ClaimedSweep]) -> None:
        await asyncio.gather(*(self._sweep(sweep) for sweep in sweeps))

    async def _sweep(self, claimed_sweep: ClaimedSweep) -> None:
        sweep = claimed_sweep.sweep
        run = SweepRun(
            self._claimed,
            claimed_sweep,
            broker=broker.client(),
            recorder=self._recorder,
            hold=self._hold,
            limits=self._limits,
        )
        try:
            await run.run()
        except LostLease:
            logger.warning("kill %s: account %s was taken over", self._claimed.kill.id, sweep.account_id)
        except Exception as error:
            logger.exception("kill %s: account %s broke off", self._claimed.kill.id, sweep.account_id)
            why = f"an unexpected error ({type(error).__name__}) broke it off"
            await self._recorder.run(break_off, self._claimed, sweep, why)

    async def sweep_unknown_accounts(self) -> None:
        """Ask the broker which accounts there are and sweep those that nobody knew. The known ones do not wait."""
        if not self._claimed.has_roster:
            return
        try:
            await self._ask_for_accounts()
        except Exception as error:
            logger.exception("kill %s: the accounts could not be taken up", self._claimed.kill.id)
            await self._recorder.run(give_up_roster, self._claimed, f"an unexpected error ({type(error).__name__})")

    async def _ask_for_accounts(self) -> None:
        started, pause, refusals, under_way = time.monotonic(), 0.25, 0, []
        while True:
            listing = await broker.client().accounts()
            named = [account.id for account in listing.items]
            if named or listing.whole:
                # Those that were named are swept at once, even where the list broke off.
                added = await self._recorder.run(add_accounts, self._claimed, named, listing.whole)
                under_way.append(asyncio.create_task(self.sweep_all(added)))
            refusals = refusals + 1 if isinstance(listing.error, FIRM_REFUSALS) else 0
            is_late = time.monotonic() - started > self._limits.patience
            if listing.error is None or refusals >= REFUSALS_IN_A_ROW or is_late:
                break
            await self._recorder.run(note_roster_error, self._claimed, listing.error.message)
            await asyncio.sleep(max(pause, min(listing.error.retry_after or 0.0, RETRY_AFTER_CAP)))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        if listing.error is not None:
            await self._recorder.run(give_up_roster, self._claimed, listing.error.message)
        await asyncio.gather(*under_way)
