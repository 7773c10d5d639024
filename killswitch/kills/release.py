"""Let go of a latched kill: a second person, with a reason. Whoever stops needs nobody; letting go takes two."""

from datetime import datetime

from django.conf import settings
from django.db import transaction

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft

from .ends import settle
from .models import Kill, State
from .told import append


class NotReleased(ValueError):
    """The kill cannot be released; the message says why and what to do."""


class SamePerson(NotReleased):
    """Whoever engaged a latched kill may not release it."""


def release(kill: Kill, *, reason: str, actor: Actor, now: datetime) -> None:
    """Release a latched kill: it sweeps on until it is quiet, and ends. Raises NotReleased."""
    _check(kill, actor)
    with transaction.atomic():
        held = Kill.objects.filter(id=kill.id, latched=True, released_at=None)
        if not held.update(
            released_at=now,
            released_by_id=actor.id,
            released_by_name=actor.name,
            release_reason=reason,
            state=State.RUNNING,
        ):
            raise NotReleased("somebody has released this kill already")
        released = _entry(kill, Kind.KILL_RELEASED, f"{actor.name} released the latched kill", reason, actor, now)
        append([released, *settle(kill.id, actor.source)])


def record_refused_release(kill: Kill, *, why: str, reason: str, actor: Actor, now: datetime) -> None:
    """Write that somebody asked to release a kill and was refused."""
    append([_entry(kill, Kind.RELEASE_REFUSED, f"A release by {actor.name} was refused: {why}", reason, actor, now)])


def is_same_person(kill: Kill, actor: Actor) -> bool:
    """Say whether `actor` engaged the kill. By name too: a kill from a shell carries no number of a user."""
    if kill.engaged_by_id is not None and kill.engaged_by_id == actor.id:
        return True
    return kill.engaged_by_name.casefold() == actor.name.casefold()


def needs_another(kill: Kill, actor: Actor) -> bool:
    """Say whether somebody else than `actor` has to release the kill."""
    return is_same_person(kill, actor) and not settings.RELEASE_BY_SAME_PERSON


def _check(kill: Kill, actor: Actor) -> None:
    if not kill.latched:
        raise NotReleased("only a latched kill can be released: this one ends by itself")
    if kill.released_at is not None:
        raise NotReleased(f"{kill.released_by_name} has released this kill already")
    if needs_another(kill, actor):
        raise SamePerson("it takes another person than the one who engaged it")


def _entry(kill: Kill, kind: Kind, sentence: str, reason: str, actor: Actor, now: datetime) -> Draft:
    return Draft(
        kind=kind,
        at=now,
        actor=actor,
        kill_id=kill.id,
        sentence=f"{sentence} ({kill.scope})" + (f". Reason: {reason[:300]}" if reason else ""),
        data={"reason": reason, "engaged_by": kill.engaged_by_name},
    )
