"""Append to the audit trail, and tell the log of what is a step of a kill once that is committed."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import transaction

from killswitch.audit import operations as audit
from killswitch.audit.models import Kind
from killswitch.audit.operations import Draft
from killswitch.steps import step

STEPS = {
    Kind.KILL_ENGAGED: "committed",
    Kind.KILL_REFUSED: "refused",
    Kind.KILL_WIDENED: "widened",
    Kind.KILL_RELEASED: "released",
    Kind.RELEASE_REFUSED: "release_refused",
    Kind.KILL_ENDED: "ended",
    Kind.SWEEP_ENDED: "sweep_ended",
    Kind.SWEEP_HOLDS: "sweep_quiet",
    Kind.SWEEP_TAKEN_OVER: "taken_over",
    Kind.SWEEP_HANDED_OVER: "handed_over",
    Kind.ATTEMPT_ANSWERED: "mass_cancel_answered",
    Kind.ATTEMPT_UNANSWERED: "mass_cancel_unanswered",
}


def append(drafts: Iterable[Draft]) -> None:
    """Append `drafts`; as everywhere, last in the transaction. The log hears of their steps when it is over."""
    told = list(drafts)
    audit.append(told)
    if steps := [draft for draft in told if _is_step(draft)]:
        transaction.on_commit(partial(_tell, steps), robust=True)


def _is_step(draft: Draft) -> bool:
    """Say whether it is a line of the log. What became of single orders, of which there may be 100,000, is none."""
    return draft.kind in STEPS and not draft.order_id


def _tell(drafts: Iterable[Draft]) -> None:
    for draft in drafts:
        step(STEPS[Kind(draft.kind)], draft.kill_id, **_fields(draft))


def _fields(draft: Draft) -> dict[str, Any]:
    data, is_answer = draft.data, draft.kind == Kind.ATTEMPT_ANSWERED
    return {
        "account": draft.account_id,
        "outcome": draft.outcome,
        "orders": data.get("orders", data.get("open_orders")),
        "http_status": draft.http_status,
        "ms": None if draft.latency_us is None else round(draft.latency_us / 1000, 1),
        # A word of ours there; elsewhere a sentence, in which the broker may be quoted.
        "error": data.get("error") if is_answer else None,
        "seconds": data.get("seconds"),
        "person": draft.actor.name,
        "by": draft.actor.source,
    }
