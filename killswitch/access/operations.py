"""Add and change users, and record that somebody was kept from doing something."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group, User
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append

from .changes import changes_by
from .models import AccountLimit
from .roles import give_role, role_of, teams_of
from .second_factor import forget_factors


class OwnRights(ValueError):
    """Nobody changes their own role or shuts themselves out: ask another administrator."""


def record_denial(*, actor: Actor, what: str, data: dict[str, Any] | None = None) -> None:
    """Write that `actor` tried to do `what` without the right to."""
    who = actor.name or "Somebody who is not logged in"
    append([Draft(kind=Kind.DENIED, at=timezone.now(), sentence=f"{who} may not {what}", actor=actor, data=data or {})])


def add_user(*, name: str, password: str, role: str, actor: Actor) -> User:
    """Make a user with one role. Raises IntegrityError for a name that is taken."""
    with changes_by(actor):
        user = User.objects.create_user(name, password=password)
        give_role(user, role)
    return user


@dataclass(frozen=True, kw_only=True)
class Given:
    """The accounts that are given to a user or a team."""

    sees_all: bool = False
    sees: tuple[int, ...] = ()
    kills: tuple[int, ...] = ()


def change_user(
    *, user: User, role: str, is_active: bool, password: str, actor: Actor, forget_second_factor: bool = False
) -> None:
    """Give a user another role, let them in or shut them out, set a password unless it is empty. Raises OwnRights."""
    before = role_of(user)
    if user.pk == actor.id and (role != before or not is_active):
        raise OwnRights("nobody changes their own role or shuts themselves out: ask another administrator")
    with changes_by(actor):
        if role != before:
            give_role(user, role)
        user.is_active = is_active
        if password:
            user.set_password(password)
        user.save()
        if forget_second_factor:
            # Behind the save, which remembers how it was.
            forget_factors(user)


def change_own_password(*, user: User, password: str, actor: Actor) -> None:
    """Set the password that somebody chose for themselves. Ends all their sessions: the caller keeps their own."""
    with changes_by(actor):
        user.set_password(password)
        user.save()


def limit_user(*, user: User, given: Given | None, teams: Collection[Group], actor: Actor) -> None:
    """Give a user these accounts, or None for no limit of their own, and these teams. Raises OwnRights."""
    if user.pk == actor.id:
        raise OwnRights("nobody changes their own accounts: ask another administrator")
    with changes_by(actor):
        _give({"user": user}, given)
        before = set(teams_of(user))
        user.groups.remove(*(before - {*teams}))
        user.groups.add(*({*teams} - before))


def add_team(*, name: str, given: Given, actor: Actor) -> Group:
    """Add a team with its accounts. Raises IntegrityError for a name that is taken."""
    with changes_by(actor):
        team = Group.objects.create(name=name)
        _give({"group": team}, given)
    return team


def change_team(*, team: Group, given: Given, actor: Actor) -> None:
    """Give everybody in a team other accounts. Raises OwnRights where that is who does it."""
    if actor.id is not None and team.user_set.filter(pk=actor.id).exists():
        raise OwnRights("nobody changes the accounts of their own team: ask another administrator")
    with changes_by(actor):
        _give({"group": team}, given)


def _give(whose: dict[str, User | Group], given: Given | None) -> None:
    limit = AccountLimit.objects.filter(**whose).first()
    if given is None:
        if limit is not None:
            limit.delete()
        return
    limit = limit or AccountLimit(**whose)
    limit.sees_all, limit.sees, limit.kills = given.sees_all, list(given.sees), list(given.kills)
    limit.save()


def set_user(user: User, *, password: str, role: str, actor: Actor) -> None:
    """Add `user`, or change one, to have exactly this password and role. What is so already is left as it is."""
    with changes_by(actor):
        if user.pk is None or not user.check_password(password):
            user.set_password(password)
            user.save()
        if role_of(user) != role:
            give_role(user, role)
