"""What one sweep writes down: its announcements and answers, what became of its orders, how it stands."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from django.utils import timezone

from killswitch.audit.operations import Draft

from . import clock, entries
from .hold import Hold
from .models import KilledOrder, Outcome, State
from .orders import TouchedOrders
from .record import LostLease, Note

ENTRIES_IN_A_NOTE = 2000  # so that no commit keeps others waiting for long


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

    def check(self) -> None:
        """Raise LostLease where the sweep is no longer ours: called at the last moment before a DELETE leaves."""
        if self._is_closed:
            raise LostLease
        self._hold.check()

    async def announce(self, drafts: Sequence[Draft], *, first_attempt_at: datetime | None = None) -> None:
        """Commit announcements. When this returns, the requests may leave; when it raises, none may."""
        sweep = {"first_attempt_at": first_attempt_at} if first_attempt_at else {}
        await self._write(drafts, sweep, is_announcement=True)

    async def note(self, drafts: Sequence[Draft]) -> None:
        """Commit answers, which are written even where the sweep is no longer ours."""
        await self._write(drafts, {})

    async def note_pass(self, *, settles: bool = False, **sweep: Any) -> None:
        """Commit how the sweep stands after a pass; `settles` where its state is another than before."""
        await self._write([], sweep, settles=settles)

    async def holds(self, **sweep: Any) -> None:
        """Commit that a latched account is quiet."""
        await self._write([entries.sweep_holds(self._subject, timezone.now())], sweep, settles=True)

    async def end(self, state: State, *, open_orders: int | None, error: str) -> None:
        """Commit the end of the sweep, with an outcome for every order that has none."""
        now = timezone.now()
        for row in self._orders.with_outcome(Outcome.PENDING):
            self._orders.end(row.order_id, _unfinished(row.status, state), now)
        ended = entries.sweep_ended(self._subject, state, open_orders, error, now)
        sweep = {
            "state": state,
            "ended_at": now,
            "flat_at": now if state == State.FLAT else None,
            "open_orders": open_orders,
            "error": error,
            "throttled": "",
            "next_try_at": None,
        }
        await self._write([], sweep, last=ended, settles=True)

    async def _write(
        self,
        drafts: Sequence[Draft],
        sweep: dict[str, Any],
        *,
        last: Draft | None = None,
        is_announcement: bool = False,
        settles: bool = False,
    ) -> None:
        changed, ended = self._orders.take_changes()
        now = timezone.now()
        told = [*drafts, *(entries.order_ended(self._subject, row, now) for row in ended), *([last] if last else [])]
        asked_at = clock.monotonic()
        for note in self._portions(told, changed, sweep, is_announcement, settles):
            try:
                await self._recorder.commit(note)
            except Exception:
                self._is_closed = True
                raise
        self._hold.lengthen(asked_at)

    def _portions(
        self,
        drafts: Sequence[Draft],
        rows: Sequence[KilledOrder],
        sweep: dict[str, Any],
        is_announcement: bool,
        settles: bool,
    ) -> list[Note]:
        """Cut into notes of a bearable size; what the sweep itself becomes is in the last one."""
        count = max(1, -(-max(len(drafts), len(rows)) // ENTRIES_IN_A_NOTE))
        parts = [slice(number * ENTRIES_IN_A_NOTE, (number + 1) * ENTRIES_IN_A_NOTE) for number in range(count)]
        return [
            Note(
                sweep_id=self._sweep_id,
                token=self._token,
                entries=drafts[part],
                orders=rows[part],
                sweep=sweep if part is parts[-1] else {},
                is_announcement=is_announcement,
                settles=self._subject.kill_id if settles and part is parts[-1] else None,
            )
            for part in parts
        ]


def _unfinished(status: str, state: State) -> Outcome:
    if state == State.UNKNOWN or not status:
        return Outcome.UNKNOWN
    return Outcome.STUCK if status == "PENDING_CANCEL" else Outcome.STILL_OPEN
