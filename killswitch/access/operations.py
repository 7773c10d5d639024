"""Record that somebody was kept from doing something."""

from typing import Any

from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append


def record_denial(*, actor: Actor, what: str, data: dict[str, Any] | None = None) -> None:
    """Write that `actor` tried to do `what` without the right to."""
    who = actor.name or "Somebody who is not logged in"
    append([Draft(kind=Kind.DENIED, at=timezone.now(), sentence=f"{who} may not {what}", actor=actor, data=data or {})])
