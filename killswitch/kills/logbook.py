"""What one sweep writes down: its announcements and answers, what became of its orders, how it stands."""

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from killswitch.audit.operations import Draft

from . import entries
from .claims import end_if_over
from .hold import Hold
from .models import KilledOrder, Outcome, State
from .orders import TouchedOrders
from .record import LostLease, Note, Recorder

ENTRIES_IN_A_NOTE = 2000  # so that no commit keeps others waiting for long


class Logbook:
    """Writes for one sweep, with whatever is new about its orders. Raises LostLease once somebody else has it."""

    def __init__(
        self,
        *,
        sweep_id: int,
        token: uuid.UUID,
        subject: entries.Subject,
        orders: TouchedOrders,
        recorder: Recorder,
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

    async def note_pass(self, *, passes: int, open_orders: int | None, error: str) -> bool:
        """Commit how the sweep stands after a list. Return whether an order has changed since the last time."""
        sweep: dict[str, Any] = {"passes": passes, "error": error}
        if open_orders is not None:
            sweep |= {"open_orders": open_orders, "listed_at": timezone.now()}
        return await self._write([], sweep)

    async def end(self, state: State, *, open_orders: int | None, error: str) -> None:
        """Commit the end of the sweep, with an outcome for every order that has none."""
        now = timezone.now()
        for row in self._orders.pending():
            self._orders.end(row.order_id, _unfinished(row.status, state), now)
        ended = entries.sweep_ended(self._subject, state, open_orders, error, now)
        sweep = {
            "state": state,
            "ended_at": now,
            "flat_at": now if state == State.FLAT else None,
            "open_orders": open_orders,
            "error": error,
        }
        await self._write([], sweep, last=ended, afterwards=lambda: end_if_over(self._subject.kill_id))

    async def _write(
        self,
        drafts: Sequence[Draft],
        sweep: dict[str, Any],
        *,
        last: Draft | None = None,
        is_announcement: bool = False,
        afterwards: Callable[[], None] | None = None,
    ) -> bool:
        changed, ended = self._orders.take_changes()
        now = timezone.now()
        told = [*drafts, *(entries.order_ended(self._subject, row, now) for row in ended), *([last] if last else [])]
        asked_at = time.monotonic()
        for note in self._portions(told, changed, sweep, is_announcement, afterwards):
            try:
                await self._recorder.commit(note)
            except Exception:
                self._is_closed = True
                raise
        self._hold.lengthen(asked_at)
        return bool(changed)

    def _portions(
        self,
        drafts: Sequence[Draft],
        rows: Sequence[KilledOrder],
        sweep: dict[str, Any],
        is_announcement: bool,
        afterwards: Callable[[], None] | None,
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
                afterwards=afterwards if part is parts[-1] else None,
            )
            for part in parts
        ]


def _unfinished(status: str, state: State) -> Outcome:
    if state == State.UNKNOWN or not status:
        return Outcome.UNKNOWN
    return Outcome.STUCK if status == "PENDING_CANCEL" else Outcome.STILL_OPEN
