"""Add and change users, and record that somebody was kept from doing something."""

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append

from .roles import give_role, role_of


class OwnRights(ValueError):
    """Nobody changes their own role or shuts themselves out: ask another administrator."""


def record_denial(*, actor: Actor, what: str, data: dict[str, Any] | None = None) -> None:
    """Write that `actor` tried to do `what` without the right to."""
    who = actor.name or "Somebody who is not logged in"
    append([Draft(kind=Kind.DENIED, at=timezone.now(), sentence=f"{who} may not {what}", actor=actor, data=data or {})])


@transaction.atomic
def add_user(*, name: str, password: str, role: str, actor: Actor) -> User:
    """Make a user with one role. Raises IntegrityError for a name that is taken."""
    user = User.objects.create_user(name, password=password)
    give_role(user, role)
    record_user_change(user=user, change=f"added, with the role {role}", actor=actor, data={"role": role})
    return user


@transaction.atomic
def change_user(*, user: User, role: str, is_active: bool, password: str, actor: Actor) -> None:
    """Give a user another role, let them in or shut them out, set a password unless it is empty. Raises OwnRights."""
    before = role_of(user)
    if user.pk == actor.id and (role != before or not is_active):
        raise OwnRights("nobody changes their own role or shuts themselves out: ask another administrator")
    changes = []
    if role != before:
        give_role(user, role)
        changes.append(f"role from {before or 'none'} to {role}")
    if is_active != user.is_active:
        user.is_active = is_active
        changes.append("let in again" if is_active else "shut out")
    if password:
        user.set_password(password)
        changes.append("new password")
    user.save()
    if changes:
        data = {"role": role, "role_before": before, "is_active": is_active, "new_password": bool(password)}
        record_user_change(user=user, change=", ".join(changes), actor=actor, data=data)


def record_user_change(*, user: User, change: str, actor: Actor, data: dict[str, Any]) -> None:
    """Write what `actor` did to a user. Call it inside the transaction that does it."""
    sentence = f"{actor.name or 'Somebody'} changed user {user.get_username()}: {change}"
    data = {"user_id": user.pk, "user": user.get_username(), **data}
    append([Draft(kind=Kind.USER_CHANGED, at=timezone.now(), sentence=sentence, actor=actor, data=data)])
