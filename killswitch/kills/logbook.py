"""What one sweep writes down: its announcements and answers, what became of its orders, how it stands."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any, Protocol

from django.utils import timezone

from killswitch.audit.operations import Draft
from killswitch.steps import step

from . import entries
from .hold import Hold
from .models import Outcome, State
from .orders import TouchedOrders
from .record import LostLease, Note

ENTRIES_IN_A_NOTE = 500  # so that no commit keeps others waiting for long


class Committer(Protocol):
    """Where a sweep writes: the database's recorder, or the journal of a break-glass kill."""

    async def commit(self, note: Note) -> None:
        """Wait until `note` is safe. Raises LostLease."""


class Logbook:
    """Writes for one sweep, with whatever is new about its orders. Raises LostLease once somebody else has it."""

    def __init__(
        self,
        *,
        sweep_id: int,
        token: uuid.UUID,
        subject: entries.Subject,
        orders: TouchedOrders,
        recorder: Committer,
        hold: Hold,
    ) -> None:
        self._sweep_id = sweep_id
        self._token = token
        self._subject = subject
        self._orders = orders
        self._recorder = recorder
        self._hold = hold
        self._is_closed = False
        self._turned: dict[str, Any] = {}
        self._carried: list[Draft] = []

    def check(self) -> None:
        """Raise LostLease where the sweep is no longer ours: called at the last moment before a DELETE leaves."""
        if self._is_closed:
            raise LostLease
        self._hold.check(self._sweep_id)
        if not self._hold.has_sent:
            self._hold.has_sent = True
            step("first_delete", self._subject.kill_id, account=self._subject.account_id, by=self._subject.actor.source)

    async def announce(self, drafts: Sequence[Draft], *, first_attempt_at: datetime | None = None) -> None:
        """Commit announcements. When this returns, the requests may leave; when it raises, none may."""
        sweep = {"first_attempt_at": first_attempt_at} if first_attempt_at else {}
        await self._write(drafts, sweep, is_announcement=True)

    async def note(self, drafts: Iterable[Draft], *, may_wait: bool = False, **sweep: Any) -> None:
        """Commit answers, which are written even where the sweep is no longer ours.

        With `may_wait`, cancels that are still to leave go first.
        """
        await self._write(drafts, sweep, is_answer=True, may_wait=may_wait)

    def carry(self, drafts: Iterable[Draft]) -> None:
        """Make `drafts` stand in what is written next of the sweep itself: before the cancels that they lead to."""
        self._carried += drafts

    def turn(self, state: State) -> None:
        """Make the state of a latched sweep stand in whatever is written next: before its next cancel leaves."""
        self._turned = {"state": state}

    async def note_pass(self, *, settles: bool = False, **sweep: Any) -> None:
        """Commit how the sweep stands after a pass; `settles` where its state is another than before."""
        await self._write([], sweep, settles=settles)

    async def holds(self, **sweep: Any) -> None:
        """Commit that a latched account is quiet."""
        await self._write([], sweep, last=entries.sweep_holds(self._subject, timezone.now()), settles=True)

    async def end(
        self, state: State, *, open_orders: int | None, error: str, first_flat_at: datetime | None = None
    ) -> None:
        """Commit the end of the sweep, with an outcome for every order that has none."""
        now = timezone.now()
        for row in self._orders.with_outcome(Outcome.PENDING):
            self._orders.end(row.order_id, unfinished(row.status, state), now)
        ended = entries.sweep_ended(self._subject, state, open_orders, error, now)
        sweep = {
            "state": state,
            "ended_at": now,
            "first_flat_at": first_flat_at or (now if state == State.FLAT else None),
            "flat_at": now if state == State.FLAT else None,
            "open_orders": open_orders,
            "error": error,
            "throttled": "",
            "next_try_at": None,
        }
        await self._write([], sweep, last=ended, settles=True)

    async def _write(
        self,
        drafts: Iterable[Draft],
        sweep: dict[str, Any],
        *,
        last: Draft | None = None,
        is_announcement: bool = False,
        is_answer: bool = False,
        may_wait: bool = False,
        settles: bool = False,
    ) -> None:
        """Commit in notes of a bearable size; what the sweep itself becomes is in the last one."""
        carried: list[Draft] = []
        if not is_answer:
            carried, self._carried = self._carried, []
        told, is_last = chain(carried, drafts), False
        turned, self._turned = self._turned, {}
        sweep, settles = {**turned, **sweep}, settles or bool(turned)
        while not is_last:
            part, following = list(islice(told, ENTRIES_IN_A_NOTE)), next(told, None)
            changed, ended = self._orders.take_changes(ENTRIES_IN_A_NOTE)
            # Not an empty one at the end: a thousand cancels would wait for its commit.
            is_last = following is None and not self._orders.have_changed
            told = told if following is None else chain([following], told)
            now = timezone.now()
            verdicts = [entries.order_ended(self._subject, row, now) for row in ended]
            note = Note(
                sweep_id=self._sweep_id,
                token=self._token,
                entries=part,
                verdicts=[*verdicts, last] if last and is_last else verdicts,
                orders=changed,
                sweep=sweep if is_last else {},
                is_announcement=is_announcement,
                # What became of an order is told in its turn: a later word must not be written before it.
                may_wait=may_wait and not (sweep or settles or verdicts),
                source=self._subject.actor.source,
                settles=self._subject.kill_id if settles and is_last else None,
            )
            await self._commit(note)

    async def _commit(self, note: Note) -> None:
        try:
            await self._recorder.commit(note)
        except Exception:
            self._is_closed = True
            raise


def unfinished(status: str, state: State) -> Outcome:
    """Name what became of an order of which the broker's last word was no end."""
    if state == State.UNKNOWN or not status:
        return Outcome.UNKNOWN
    return Outcome.STUCK if status == "PENDING_CANCEL" else Outcome.STILL_OPEN
