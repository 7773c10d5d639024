"""A kill with nothing but the broker: the same sweeps, with a journal where the database would be."""

import contextlib
import uuid
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor

from . import clock, journal_lines
from .beginning import engaged, kill_values
from .budget import Budget
from .claims import BREAK_OFFS, Claim, ClaimedSweep, announce, first_attempt, widened
from .crew import Crew
from .decision import Decision
from .entries import Subject
from .hold import Hold
from .journal import Journal, NoRecord
from .ledger import Ledger, Lines
from .models import Kill, Roster, State, Sweep
from .patience import limits
from .record import Note


class EndlessHold(Hold):
    """A hold that nobody can take over: nobody else knows of the kill."""

    def check(self, sweep_id: int) -> None:
        pass


class JournalRegister:
    """Keeps one kill in memory and in its journal. What stands in the memory stands in the journal."""

    def __init__(self, ledger: Ledger, journal: Journal) -> None:
        self.ledger = ledger
        self._journal = journal
        self._token = uuid.uuid4()
        kill = ledger.kill
        self.claim = Claim(kill, self._token, ledger.source, [], kill.roster == Roster.PENDING)

    async def keep(self, lines: Lines) -> None:
        """Write down, then take over. Raises NoRecord."""
        await self._journal.write(list(journal_lines.objects(lines, self.ledger.accounts)))
        self.ledger.apply(lines)

    async def keep_if_possible(self, lines: Lines) -> None:
        """Write down what ends something: it has ended, also where nothing takes a record any more."""
        try:
            await self.keep(lines)
        except NoRecord:
            self.ledger.apply(lines)

    async def begin(self, account_ids: list[int], actor: Actor) -> None:
        """Announce the kill and the first cancels of the accounts that were named."""
        kill = self.ledger.kill
        lines, claimed = self._new_sweeps(account_ids, kill.engaged_at)
        lines.entries.insert(0, engaged(kill, account_ids, actor))
        await self.keep(lines)
        self.claim.sweeps.extend(claimed)

    def _new_sweeps(self, account_ids: list[int], now: datetime) -> tuple[Lines, list[ClaimedSweep]]:
        kill = self.ledger.kill
        fields = {"claimed_at": now, **first_attempt(kill, now)}
        new = [self.ledger.add_sweep(account_id, **fields) for account_id in account_ids]
        drafts, claimed = announce(kill, new, self.ledger.source, now)
        return Lines(entries=drafts, sweeps=dict.fromkeys(account_ids, fields)), claimed

    # --- what a crew asks of its register

    async def commit(self, note: Note) -> None:
        sweeps = {self.ledger.accounts[note.sweep_id]: note.sweep} if note.sweep else {}
        told = [*note.entries, *note.verdicts]
        await self.keep(Lines(entries=told, orders=list(note.orders), sweeps=sweeps))
        kill = self.ledger.kill
        if note.settles and kill.is_held and (state := self.ledger.state_now()) != kill.state:
            await self.keep(Lines(kill={"state": state}))

    async def add_accounts(self, account_ids: list[int], is_whole: bool) -> list[ClaimedSweep]:
        now, kill = timezone.now(), self.ledger.kill
        new = sorted(set(account_ids) - set(self.ledger.sweeps))
        lines, claimed = self._new_sweeps(new, now)
        lines.entries[:0] = widened(self.claim, new, now)
        if is_whole and kill.roster != Roster.CONFIRMED:
            lines.kill = {"roster": Roster.CONFIRMED, "roster_error": ""}
        if new or lines.kill:
            await self.keep(lines)
        return claimed

    async def note_roster_error(self, why: str) -> None:
        self.ledger.kill.roster_error = f"The accounts could not be listed: {why}"

    async def give_up_roster(self, why: str) -> None:
        error = f"The accounts could not be listed: {why}"
        await self.keep_if_possible(Lines(kill={"roster": Roster.FAILED, "roster_error": error}))

    async def hand_over_roster(self) -> None:
        await self.give_up_roster("it was ended before the broker had said which there are")

    async def hand_over(self, sweep: Sweep) -> None:
        await self._give_up(sweep, "it was ended before that was known")

    async def let_go(self, sweep: Sweep) -> None:
        await self._give_up(sweep, "nothing takes a record any more")

    async def break_off(self, sweep: Sweep, why: str) -> ClaimedSweep | None:
        """Have it taken up again, which nobody else can do; after the third time it ends as unknown."""
        sweep.break_offs += 1
        if sweep.break_offs >= BREAK_OFFS:
            await self._give_up(sweep, why)
            return None
        with contextlib.suppress(NoRecord):
            await self.keep(Lines(entries=self.ledger.unanswered(sweep, timezone.now())))
        return ClaimedSweep(sweep, None, self.ledger.orders_of(sweep), is_new=False)

    async def _give_up(self, sweep: Sweep, why: str) -> None:
        if sweep.ended_at is None:
            await self.keep_if_possible(self.ledger.sweep_given_up(sweep, why, timezone.now()))


class BreakGlass:
    """Carries out one kill with the broker alone, on the broker's event loop."""

    def __init__(self, kill: Kill, account_ids: list[int], actor: Actor, journal: Journal) -> None:
        self._account_ids = account_ids
        self._actor = actor
        self._journal = journal
        self.ledger = Ledger(kill, actor.source)
        self._register = JournalRegister(self.ledger, journal)
        self._hold = EndlessHold(clock.monotonic(), is_latched=kill.is_held)

    async def run(self) -> None:
        """Work until it is over, and close the journal."""
        await self._register.begin(self._account_ids, self._actor)
        budget = Budget(settings.KILL_REPEATS_PER_SECOND)
        await Crew(self._register.claim, self._hold, self._register, budget, limits()).run()
        await self._end()

    async def _end(self) -> None:
        now = timezone.now()
        for sweep in self.ledger.open_sweeps():
            lines = self.ledger.sweep_given_up(sweep, "nobody brought it to an end", now)
            await self._register.keep_if_possible(lines)
        if self.ledger.kill.is_held:  # ended by force
            await self.release("ended at once")
        await self._register.keep_if_possible(self.ledger.kill_over(timezone.now(), self.ledger.state_now()))
        await self._journal.close()

    async def release(self, how: str) -> None:
        """Let a latched kill end once it is quiet. Here whoever holds the process may: there is nobody else."""
        now, kill = timezone.now(), self.ledger.kill
        reason = f"the break-glass process was asked to end ({how})"
        subject = Subject.of(kill, 0, self._actor.source)
        told = f"{self._actor.name} released the latched kill ({kill.scope}). Reason: {reason}"
        released = {
            "released_at": now,
            "released_by_id": self._actor.id,
            "released_by_name": self._actor.name,
            "release_reason": reason,
            "state": State.RUNNING,
        }
        entry = subject.draft(
            Kind.KILL_RELEASED, told, now, account_id=None, data={"reason": reason, "engaged_by": kill.engaged_by_name}
        )
        await self._register.keep_if_possible(Lines(entries=[entry], kill=released))
        self._hold.release()

    async def stop(self) -> None:
        """End every sweep before its next request."""
        self._hold.stop()


def new_kill(decision: Decision, actor: Actor, now: datetime) -> Kill:
    """Return a kill that no database knows."""
    values = kill_values(decision, list(decision.account_ids), actor, now)
    return Kill(id=uuid.uuid4(), idempotency_key=decision.idempotency_key, **values)
