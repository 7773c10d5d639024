"""Everybody who works on one claim: a sweep per account, all at once, and one that asks which accounts there are."""

import asyncio
import logging
from collections.abc import Sequence

from killswitch import broker
from killswitch.broker import Account, Listing

from . import clock
from .budget import ASK, RETRY_AFTER_CAP, Budget
from .claims import Claim, ClaimedSweep
from .dry_run import DryRun
from .hold import HandedOver, Hold
from .patience import FIRM_REFUSALS, LONGEST_PAUSE, REFUSALS_IN_A_ROW, Limits
from .record import LostLease
from .register import Register
from .sweep import SweepRun, open_case

logger = logging.getLogger(__name__)

# A latched kill of all accounts asks again which accounts there are.
ACCOUNTS_EVERY = 30.0  # seconds


class Crew:
    """Runs the sweeps of one claim. `has_handed_over` says whether something of it is left for others."""

    def __init__(self, claimed: Claim, hold: Hold, register: Register, budget: Budget, limits: Limits) -> None:
        self._claimed = claimed
        self._hold = hold
        self._register = register
        self._budget = budget
        self._limits = limits
        self.has_handed_over = False

    async def run(self) -> None:
        """Work until every sweep has ended, was lost or handed over. Nothing that one of them raises stops another."""
        work = [self._sweep_all(self._claimed.sweeps), self._sweep_unknown_accounts()]
        for error in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(error, BaseException):
                raise error

    async def _sweep_all(self, sweeps: Sequence[ClaimedSweep]) -> None:
        for error in await asyncio.gather(*map(self._sweep, sweeps), return_exceptions=True):
            if isinstance(error, BaseException):
                logger.error("kill %s: a sweep could not even be given back", self._claimed.kill.id, exc_info=error)

    async def _sweep(self, claimed: ClaimedSweep) -> None:
        sweep_id = claimed.sweep.id
        self._hold.sweeping.add(sweep_id)
        try:
            await self._sweep_or_give_back(claimed)
        finally:
            self._hold.sweeping.discard(sweep_id)

    async def _sweep_or_give_back(self, claimed: ClaimedSweep) -> None:
        kill, sweep = self._claimed.kill, claimed.sweep
        try:
            await self._carry_out(claimed)
        except LostLease:
            logger.warning("kill %s: the lease of account %s is lost", kill.id, sweep.account_id)
            await self._register.let_go(sweep)
        except HandedOver:
            self.has_handed_over = True
            await self._register.hand_over(sweep)
        except Exception as error:
            logger.exception("kill %s: account %s broke off", kill.id, sweep.account_id)
            why = f"an unexpected error ({type(error).__name__}) broke it off"
            again = await self._register.break_off(sweep, why)
            if again is not None:
                await self._sweep(again)

    async def _carry_out(self, claimed: ClaimedSweep) -> None:
        case = open_case(
            self._claimed,
            claimed,
            broker=broker.client(),
            recorder=self._register,
            hold=self._hold,
            limits=self._limits,
            budget=self._budget,
        )
        await (DryRun(case) if self._claimed.kill.dry_run else SweepRun(case, claimed)).run()

    async def _sweep_unknown_accounts(self) -> None:
        """Ask the broker which accounts there are and sweep those that nobody knew. The known ones do not wait."""
        if not self._claimed.has_roster:
            return
        under_way: list[asyncio.Task[None]] = []
        try:
            while await self._ask_for_accounts(under_way):
                pass
        except HandedOver:
            self.has_handed_over = True
            await self._register.hand_over_roster()
        await asyncio.gather(*under_way)

    async def _ask_for_accounts(self, under_way: "list[asyncio.Task[None]]") -> bool:
        """Ask until the broker has named them all. Return whether to ask again: of a latched kill, until released."""
        try:
            error = await self._ask_until_whole(under_way)
        except HandedOver:
            raise
        except Exception as failure:
            logger.exception("kill %s: the accounts could not be taken up", self._claimed.kill.id)
            error = f"an unexpected error ({type(failure).__name__})"
        if error:
            await self._register.give_up_roster(error)
        if self._hold.is_latched:
            await self._hold.sleep(ACCOUNTS_EVERY)
            await self._hold.until(self._budget.turn(ASK))
        return self._hold.is_latched

    async def _ask_until_whole(self, under_way: "list[asyncio.Task[None]]") -> str:
        """Ask until the list is whole or patience is over. Return why it is not whole, or nothing."""
        started, pause, refusals = clock.monotonic(), 0.25, 0
        while True:
            listing = await broker.client().accounts()
            await self._take_up(listing, under_way)
            refusals = refusals + 1 if isinstance(listing.error, FIRM_REFUSALS) else 0
            is_late = clock.monotonic() - started > self._limits.patience
            if listing.error is None:
                return ""
            if refusals >= REFUSALS_IN_A_ROW or is_late:
                return listing.error.message
            await self._register.note_roster_error(listing.error.message)
            await self._hold.sleep(max(pause, min(listing.error.retry_after or 0.0, RETRY_AFTER_CAP)))
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _take_up(self, listing: Listing[Account], under_way: "list[asyncio.Task[None]]") -> None:
        """Sweep at once what was named, even where the list broke off."""
        named = [account.id for account in listing.items]
        if named or listing.whole:
            asked_at = clock.monotonic()
            added = await self._register.add_accounts(named, listing.whole)
            self._hold.lengthen(asked_at, [claimed.sweep.id for claimed in added])
            under_way.append(asyncio.create_task(self._sweep_all(added)))
