"""Where a crew keeps what becomes of its claim."""

from typing import Protocol

from . import claims
from .claims import Claim, ClaimedSweep
from .logbook import Committer
from .models import Sweep
from .record import Note, Recorder


class Register(Committer, Protocol):
    """The database, or the journal of a break-glass kill. The claim is the one that it was made for."""

    async def add_accounts(self, account_ids: list[int], is_whole: bool) -> list[ClaimedSweep]:
        """Add sweeps for accounts that nobody knew, and announce; `is_whole` ends the question which there are."""

    async def note_roster_error(self, why: str) -> None:
        """Say why the accounts are not known yet."""

    async def give_up_roster(self, why: str) -> None:
        """Write that the broker did not say which accounts there are."""

    async def hand_over_roster(self) -> None:
        """Give the question back before this process ends."""

    async def hand_over(self, sweep: Sweep) -> None:
        """Give a sweep back before this process ends."""

    async def let_go(self, sweep: Sweep) -> None:
        """Give a sweep back whose lease could not be kept."""

    async def break_off(self, sweep: Sweep, why: str) -> ClaimedSweep | None:
        """Give a sweep back after an unexpected error. Return it where nobody else is there to take it up again."""


class DatabaseRegister:
    """The register of one claim in the database, on the recorder's thread."""

    def __init__(self, claim: Claim, recorder: Recorder) -> None:
        self._claim = claim
        self._recorder = recorder

    async def commit(self, note: Note) -> None:
        await self._recorder.commit(note)

    async def add_accounts(self, account_ids: list[int], is_whole: bool) -> list[ClaimedSweep]:
        return await self._recorder.run(claims.add_accounts, self._claim, account_ids, is_whole)

    async def note_roster_error(self, why: str) -> None:
        await self._recorder.run(claims.note_roster_error, self._claim, why)

    async def give_up_roster(self, why: str) -> None:
        await self._recorder.run(claims.give_up_roster, self._claim, why)

    async def hand_over_roster(self) -> None:
        await self._recorder.run(claims.hand_over_roster, self._claim)

    async def hand_over(self, sweep: Sweep) -> None:
        await self._recorder.run(claims.hand_over, self._claim, sweep)

    async def let_go(self, sweep: Sweep) -> None:
        await self._recorder.run(claims.let_go, self._claim, sweep)

    async def break_off(self, sweep: Sweep, why: str) -> None:
        await self._recorder.run(claims.break_off, self._claim, sweep, why)
