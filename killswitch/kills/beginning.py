"""What a kill is when it begins, wherever it is kept: in the database, or in a break-glass journal."""

import textwrap
from datetime import datetime
from typing import Any

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft
from killswitch.which_broker import in_words

from .decision import Decision
from .entries import DRY_RUN
from .filter import scope_sentence
from .models import Kill, Roster


def kill_values(decision: Decision, account_ids: list[int], actor: Actor, now: datetime) -> dict[str, Any]:
    """Return the fields of a new kill, all but its two ids."""
    return {
        "engaged_at": now,
        "engaged_by_id": actor.id,
        "engaged_by_name": actor.name,
        "source": actor.source,
        "broker": in_words(),
        "reason": decision.reason,
        "latched": decision.latched,
        "dry_run": decision.dry_run,
        "all_accounts": decision.all_accounts,
        "filter_data": decision.filter.as_data(),
        "scope": scope_sentence(decision.filter, account_ids, decision.all_accounts),
        "roster": Roster.PENDING if decision.all_accounts else Roster.GIVEN,
    }


def engaged(kill: Kill, account_ids: list[int], actor: Actor) -> Draft:
    """Announce the decision."""
    return Draft(
        kind=Kind.KILL_ENGAGED,
        at=kill.engaged_at,
        actor=actor,
        kill_id=kill.id,
        account_id=account_ids[0] if len(account_ids) == 1 and not kill.all_accounts else None,
        sentence=f"{_engaged(kill, actor)}: cancel {kill.scope}{_because(kill.reason)}",
        data={
            "reason": kill.reason,
            "all_accounts": kill.all_accounts,
            "accounts": account_ids,
            "filter": kill.filter_data,
            "latched": kill.latched,
            "dry_run": kill.dry_run,
            "idempotency_key": str(kill.idempotency_key),
            "broker": kill.broker,
        },
    )


def _engaged(kill: Kill, actor: Actor) -> str:
    who = actor.name or "Somebody"
    if kill.dry_run:
        return f"{DRY_RUN}{who} rehearsed a kill"
    return f"{who} engaged a {'latched ' if kill.latched else ''}kill"


def _because(reason: str) -> str:
    return f". Reason: {textwrap.shorten(reason, 300, placeholder=' …')}" if reason else ""
