"""How a kill stands, by how its sweeps stand. A kill is as bad as its worst sweep."""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Draft
from killswitch.audit.queries import first_answer

from .entries import Subject
from .models import Kill, Roster, State

# The worst first.
ORDER = (State.UNKNOWN, State.NOT_FLAT, State.RUNNING, State.LATCHED, State.FLAT)


def settle(kill_id: uuid.UUID, source: str) -> list[Draft]:
    """End a kill whose last sweep has ended; keep the state of a latched one true. Call it inside a transaction.

    Returns what to append last in that transaction; `source` is who does it, for the record.
    """
    # The lock lets two workers that end the last two sweeps at once see each other.
    kill = Kill.objects.select_for_update().get(id=kill_id)
    if kill.is_over:
        return []
    if kill.is_held:
        state = worst(_states(kill), kill.roster)
        Kill.objects.filter(id=kill_id).exclude(state=state).update(state=state)
    elif kill.roster != Roster.PENDING and not kill.sweeps.filter(ended_at=None).exists():
        return [_end(kill, worst(_states(kill), kill.roster), source)]
    return []


def worst(states: Collection[str], roster: str) -> State:
    """Return the state of a kill. One without any account is unknown: nobody said that there is nothing open."""
    if roster == Roster.FAILED or not states:
        return State.RUNNING if roster == Roster.PENDING else State.UNKNOWN
    held = {*states, State.RUNNING} if roster == Roster.PENDING else set(states)
    return next(state for state in ORDER if state in held)


def _states(kill: Kill) -> set[str]:
    return set(kill.sweeps.values_list("state", flat=True).distinct())


def _end(kill: Kill, state: State, source: str) -> Draft:
    now = timezone.now()
    Kill.objects.filter(id=kill.id).update(state=state, ended_at=now)
    return kill_ended(kill, state, now, source, **_figures(kill, state))


def _figures(kill: Kill, state: State) -> dict[str, float]:
    """Return how fast it was, in seconds after the press, as far as there is something to tell."""
    moments = {}
    if answer := first_answer(kill.id):
        moments["first_delete_seconds"] = answer.at - timedelta(microseconds=answer.latency_us or 0)
    if state == State.FLAT and not kill.dry_run:
        moments["flat_seconds"] = kill.sweeps.aggregate(last=Max("first_flat_at"))["last"]
    return {name: round((at - kill.engaged_at).total_seconds(), 6) for name, at in moments.items() if at is not None}


def kill_ended(kill: Kill, state: State, now: datetime, source: str, **figures: Any) -> Draft:
    """Say how a kill ended."""
    told = {
        State.FLAT: "is flat: the broker lists no matching open order on any of its accounts",
        State.NOT_FLAT: "ended and is not flat: matching orders are still open",
        State.UNKNOWN: "ended and nobody knows whether it is flat: ask the broker by telephone",
    }[state]
    if kill.dry_run and state == State.NOT_FLAT:
        told = "ended: these orders would have been canceled, and are still open"
    subject = Subject.of(kill, 0, source)
    return subject.draft(
        Kind.KILL_ENDED,
        f"The {'dry run' if kill.dry_run else 'kill'} of {kill.engaged_by_name} ({kill.scope}) {told}",
        now,
        account_id=None,
        outcome=state,
        data={"seconds": round((now - kill.engaged_at).total_seconds(), 3), "error": kill.roster_error, **figures},
    )
