"""One kill in memory: what a database would hold of it. Of a break-glass kill, and of a journal that is read."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from killswitch.audit.models import Kind
from killswitch.audit.operations import Draft

from .ends import kill_ended, worst
from .entries import Subject, never_answered, order_ended, sweep_ended
from .models import Kill, KilledOrder, Outcome, State, Sweep

ANSWERS = (Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED)


@dataclass(kw_only=True)
class Lines:
    """What is to be written down at once."""

    entries: list[Draft] = field(default_factory=list)
    orders: list[KilledOrder] = field(default_factory=list)
    sweeps: dict[int, dict[str, Any]] = field(default_factory=dict)  # by account
    kill: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """The rows of one kill, unsaved. `source` stands in the entries that it makes itself."""

    def __init__(self, kill: Kill, source: str) -> None:
        self.kill = kill
        self.source = source
        self.sweeps: dict[int, Sweep] = {}  # by account
        self.accounts: dict[int, int] = {}  # by sweep
        self._orders: dict[int, dict[str, KilledOrder]] = {}  # by sweep
        self._unanswered: dict[uuid.UUID, tuple[int | None, str]] = {}

    def add_sweep(self, account_id: int, **fields: Any) -> Sweep:
        """Add a sweep with a number of its own, as a table would."""
        sweep = Sweep(id=len(self.sweeps) + 1, kill=self.kill, account_id=account_id, **fields)
        # The sweep last: another thread reads along.
        self._orders[sweep.id] = {}
        self.accounts[sweep.id] = account_id
        self.sweeps[account_id] = sweep
        return sweep

    def apply(self, lines: Lines) -> None:
        """Take over what was written down."""
        for draft in lines.entries:
            self._count_attempt(draft)
        for row in lines.orders:
            self._orders[row.sweep_id][row.order_id] = row
        for account_id, fields in lines.sweeps.items():
            _set(self.sweeps[account_id], fields)
        _set(self.kill, lines.kill)

    def _count_attempt(self, draft: Draft) -> None:
        if draft.attempt_id is not None and draft.kind == Kind.ATTEMPT_ANNOUNCED:
            self._unanswered[draft.attempt_id] = (draft.account_id, draft.order_id)
        elif draft.attempt_id is not None and draft.kind in ANSWERS:
            self._unanswered.pop(draft.attempt_id, None)

    # --- reading

    def orders_of(self, sweep: Sweep) -> list[KilledOrder]:
        return list(self._orders[sweep.id].values())

    def orders(self) -> list[KilledOrder]:
        return [row for sweep in list(self.sweeps.values()) for row in self.orders_of(sweep)]

    def state_now(self) -> State:
        """Say how the kill stands, by its sweeps."""
        return worst({sweep.state for sweep in self.sweeps.values()}, self.kill.roster)

    # --- ends

    def unanswered(self, sweep: Sweep, now: datetime) -> list[Draft]:
        """Say of every attempt of a sweep that has no answer that there is none."""
        subject = self._subject(sweep)
        return [
            never_answered(subject, attempt_id, order_id, now)
            for attempt_id, (account_id, order_id) in self._unanswered.items()
            if account_id == sweep.account_id
        ]

    def sweep_given_up(self, sweep: Sweep, why: str, now: datetime) -> Lines:
        """End a sweep as unknown, and every order of it that has no end."""
        pending = [row for row in self.orders_of(sweep) if row.outcome == Outcome.PENDING]
        for row in pending:
            row.outcome, row.ended_at = Outcome.UNKNOWN, now
        subject = self._subject(sweep)
        return Lines(
            entries=[
                *self.unanswered(sweep, now),
                *(order_ended(subject, row, now) for row in pending),
                sweep_ended(subject, State.UNKNOWN, None, why, now),
            ],
            orders=pending,
            sweeps={
                sweep.account_id: {
                    "state": State.UNKNOWN,
                    "ended_at": now,
                    "open_orders": None,
                    "error": why,
                    "throttled": "",
                    "next_try_at": None,
                }
            },
        )

    def kill_over(self, now: datetime, state: State) -> Lines:
        """End the kill."""
        return Lines(
            entries=[kill_ended(self.kill, state, now, self.source)],
            kill={"state": state, "ended_at": now},
        )

    def open_sweeps(self) -> Iterable[Sweep]:
        return [sweep for sweep in self.sweeps.values() if sweep.ended_at is None]

    def _subject(self, sweep: Sweep) -> Subject:
        return Subject.of(self.kill, sweep.account_id, self.source)


def _set(row: Any, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
