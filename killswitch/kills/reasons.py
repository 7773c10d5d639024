"""Say afterwards why a kill was pressed: stopping needs no reason, the record does."""

from datetime import datetime

from django.db import transaction

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append

from .models import Kill


class ReasonStands(ValueError):
    """The kill has a reason, which stands; the message says whose it is."""


def give_reason(kill: Kill, *, reason: str, actor: Actor, now: datetime) -> None:
    """Give a kill the reason that it was pressed without. Raises ReasonStands."""
    with transaction.atomic():
        without = Kill.objects.filter(id=kill.id, reason="")
        if not without.update(reason=reason, reason_given_at=now, reason_given_by_name=actor.name):
            kill.refresh_from_db()
            raise ReasonStands(f"{_whose(kill)} has given a reason already, and that one stands")
        append([_given(kill, reason, actor, now)])


def _whose(kill: Kill) -> str:
    return (kill.reason_given_by_name if kill.reason_given_at else kill.engaged_by_name) or "somebody"


def _given(kill: Kill, reason: str, actor: Actor, now: datetime) -> Draft:
    return Draft(
        kind=Kind.REASON_GIVEN,
        at=now,
        actor=actor,
        kill_id=kill.id,
        sentence=f"{actor.name} said why the kill was pressed ({kill.scope}). Reason: {reason[:300]}",
        data={"reason": reason, "engaged_by": kill.engaged_by_name},
    )
