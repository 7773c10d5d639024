"""Write every change of who may do what, by whatever means it comes: a page, a command, a shell.

Each change is found by comparing what the database said before and after, so that nobody who changes a user has to say
so. What is changed past Django, with SQL, is not seen here. Whoever changes several things opens `changes_by` first:
without it each is told at once, before the rest of the transaction.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.audit.person import actor as at_the_shell

from .models import AccountLimit
from .role_names import ROLES
from .sessions import end_sessions_of


@dataclass(frozen=True)
class Limit:
    """The accounts of a user or a team, as the database has them."""

    sees_all: bool
    sees: tuple[int, ...]
    kills: tuple[int, ...]

    def __str__(self) -> str:
        return f"see {'all' if self.sees_all else _numbers(self.sees)}; kill {_numbers(self.kills)}"

    def as_data(self) -> dict[str, Any]:
        return {"sees_all": self.sees_all, "sees": self.sees, "kills": self.kills}


def _numbers(account_ids: Collection[int]) -> str:
    more = f" and {len(account_ids) - NAMED_AT_MOST} more" if len(account_ids) > NAMED_AT_MOST else ""
    return (", ".join(map(str, list(account_ids)[:NAMED_AT_MOST])) or "none") + more


@dataclass(frozen=True)
class Rights:
    """What a user may do, as the database has it."""

    name: str
    groups: tuple[str, ...]
    permissions: tuple[str, ...]
    is_active: bool
    is_superuser: bool
    is_staff: bool
    password: str = field(repr=False)
    factors: int = 0
    limit: Limit | None = None

    @property
    def role(self) -> str:
        return next((name for name in self.groups if name in ROLES), "")

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(name for name in self.groups if name in ROLES)

    @property
    def teams(self) -> tuple[str, ...]:
        return tuple(name for name in self.groups if name not in ROLES)


@dataclass(frozen=True)
class RoleRights:
    """What everybody in a group may do: a role, or a team, which is a group that is none of the roles."""

    name: str
    permissions: tuple[str, ...]
    limit: Limit | None = None


Before = Rights | RoleRights | None
Key = tuple[type[User] | type[Group], Any]
NAMED_AT_MOST = 20  # accounts in a sentence; its data has them all


@contextmanager
def changes_by(actor: Actor) -> Iterator[None]:
    """Do what changes users inside: one transaction, and one entry for each user, written last."""
    changes = _Changes(actor)
    with transaction.atomic():
        token = _open.set(changes)
        try:
            yield
        finally:
            _open.reset(token)
        changes.end_sessions()
        append(changes.drafts())


class _Changes:
    """How users and roles stood before."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._before: dict[Key, Before] = {}

    def remember(self, key: Key, before: Before) -> None:
        self._before.setdefault(key, before)

    def knows(self, key: Key) -> bool:
        return key in self._before

    def end_sessions(self, is_same_password: bool = False) -> None:
        """Log out whose rights or password are others now."""
        end_sessions_of(
            [
                pk
                for (model, pk), before in self._before.items()
                if model is User and self._is_new(pk, before, is_same_password)
            ]
        )

    def _is_new(self, pk: int, before: Before, is_same_password: bool) -> bool:
        after = _read((User, pk))
        if not isinstance(before, Rights) or not isinstance(after, Rights):
            return before is not after
        password = before.password if is_same_password else after.password
        return replace(before, name="") != replace(after, name="", password=password)

    def drafts(self, is_same_password: bool = False) -> list[Draft]:
        told: list[Draft] = []
        for (model, pk), before in self._before.items():
            after = _read((model, pk))
            if isinstance(before, Rights) or isinstance(after, Rights):
                told += self._user(pk, before, after, is_same_password)  # type: ignore[arg-type]
            else:
                told += self._role(pk, before, after)  # type: ignore[arg-type]
        return told

    def _user(self, pk: int, before: Rights | None, after: Rights | None, is_same_password: bool) -> Iterator[Draft]:
        words = list(_user_words(before, after, is_same_password))
        if not words:
            return
        name = (after or before).name  # type: ignore[union-attr]
        data = {
            "user_id": pk,
            "user": name,
            "role": after.role if after else "",
            "role_before": before.role if before else "",
            "groups": after.groups if after else (),
            "permissions": after.permissions if after else (),
            "is_active": after is not None and after.is_active,
            "is_superuser": after is not None and after.is_superuser,
            "accounts": after.limit.as_data() if after and after.limit else None,
            "accounts_before": before.limit.as_data() if before and before.limit else None,
            "new_password": before is None or (after is not None and before.password != after.password),
        }
        yield self._draft(f"user {name}: {', '.join(words)}", data)

    def _role(self, pk: int, before: RoleRights | None, after: RoleRights | None) -> Iterator[Draft]:
        words = list(_role_words(before, after))
        if words:
            name = (after or before).name  # type: ignore[union-attr]
            data = {
                "group_id": pk,
                "group": name,
                "permissions": after.permissions if after else (),
                "accounts": after.limit.as_data() if after and after.limit else None,
                "accounts_before": before.limit.as_data() if before and before.limit else None,
            }
            what = "role" if {each.name for each in (before, after) if each} & {*ROLES} else "team"
            yield self._draft(f"{what} {name}: {', '.join(words)}", data)

    def _draft(self, what: str, data: dict[str, Any]) -> Draft:
        sentence = f"{self._actor.name or 'Somebody'} changed {what}"
        return Draft(kind=Kind.USER_CHANGED, at=timezone.now(), sentence=sentence, actor=self._actor, data=data)


_open: ContextVar[_Changes | None] = ContextVar("changes", default=None)


def _user_words(before: Rights | None, after: Rights | None, is_same_password: bool) -> Iterator[str]:
    if after is None:
        yield "deleted"
        return
    if before is None:
        yield "added"
        yield f"with the role {', '.join(after.roles)}" if after.roles else "without a role"
        before = Rights(after.name, after.roles, (), True, False, False, after.password)
    if before.name != after.name:
        yield f"renamed from {before.name}"
    if before.roles != after.roles:
        yield f"role from {', '.join(before.roles) or 'none'} to {', '.join(after.roles) or 'none'}"
    if before.teams != after.teams:
        yield f"teams from {', '.join(before.teams) or 'none'} to {', '.join(after.teams) or 'none'}"
    yield from _limit_words(before.limit, after.limit)
    yield from _permission_words(before.permissions, after.permissions)
    if before.is_active != after.is_active:
        yield "let in again" if after.is_active else "shut out"
    if before.is_superuser != after.is_superuser:
        yield "a superuser" if after.is_superuser else "no longer a superuser"
    if before.is_staff != after.is_staff:
        yield "staff" if after.is_staff else "no longer staff"
    if before.password != after.password:
        yield "password stored anew" if is_same_password else "new password"
    if before.factors > after.factors:
        yield "second factor forgotten"


def _role_words(before: RoleRights | None, after: RoleRights | None) -> Iterator[str]:
    if after is None:
        yield "deleted"
        return
    if before is None:
        yield "added"
    elif before.name != after.name:
        yield f"renamed from {before.name}"
    yield from _permission_words(before.permissions if before else (), after.permissions)
    yield from _limit_words(before.limit if before else None, after.limit)


def _limit_words(before: Limit | None, after: Limit | None) -> Iterator[str]:
    if before != after:
        yield f"accounts from “{before or 'not limited'}” to “{after or 'not limited'}”"


def _permission_words(before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    given, taken = sorted({*after} - {*before}), sorted({*before} - {*after})
    if given:
        yield f"given {' and '.join(given)}"
    if taken:
        yield f"no longer given {' and '.join(taken)}"


def _read(key: Key) -> Before:
    model, pk = key
    if model is Group:
        group = Group.objects.filter(pk=pk).first()
        return RoleRights(group.name, _codes(group.permissions), _limit(group_id=pk)) if group else None
    user = User.objects.filter(pk=pk).first()
    if user is None:
        return None
    groups = tuple(user.groups.order_by("name").values_list("name", flat=True))
    permissions = _codes(user.user_permissions)
    return Rights(
        user.username,
        groups,
        permissions,
        user.is_active,
        user.is_superuser,
        user.is_staff,
        str(user.password),
        Authenticator.objects.filter(user=user).count(),
        _limit(user_id=pk),
    )


def _limit(**whose: Any) -> Limit | None:
    found = AccountLimit.objects.filter(**whose).first()
    return Limit(found.sees_all, tuple(found.sees), tuple(found.kills)) if found else None


def _codes(permissions: Any) -> tuple[str, ...]:
    pairs = permissions.order_by("content_type__app_label", "codename").values_list(
        "content_type__app_label", "codename"
    )
    return tuple(".".join(pair) for pair in pairs)


# --- what Django says before and after


def _about_to(holder: Model, keys: Iterable[Key]) -> None:
    """Remember how things stand: for whoever has `changes_by` open, else until `_done` with the same `holder`."""
    changes = _open.get() or _new(holder)
    for key in keys:
        if not changes.knows(key):
            changes.remember(key, _read(key))


def _new(holder: Model) -> _Changes:
    changes = holder.__dict__["_changes"] = _Changes(_unknown_actor())
    return changes


def _done(holder: Model, is_same_password: bool = False) -> None:
    if _open.get() is None:
        changes = holder.__dict__.pop("_changes", None)
        if changes is not None:
            changes.end_sessions(is_same_password)
            append(changes.drafts(is_same_password))


def _unknown_actor() -> Actor:
    """Name whoever runs this process: nobody said who it is that changes something."""
    is_command = Path(sys.argv[0]).name == "manage.py" and len(sys.argv) > 1
    return at_the_shell(f"manage.py {sys.argv[1]}" if is_command else "process")


def _key(instance: Model) -> Key:
    return (Group if isinstance(instance, Group) else User), instance.pk


def _owners(limit: AccountLimit) -> list[Key]:
    """Return whose limit it is, and whose it was should it change hands."""
    before = AccountLimit.objects.filter(pk=limit.pk).values_list("user_id", "group_id").first() if limit.pk else None
    pairs = [(limit.user_id, limit.group_id), *([before] if before else [])]
    return list(dict.fromkeys(_owner(*pair) for pair in pairs))


def _owner(user_id: int | None, group_id: int | None) -> Key:
    return (User, user_id) if group_id is None else (Group, group_id)


def _limiting(instance: AccountLimit, origin: Any = None, **_: Any) -> None:
    if not _goes_with_its_user(origin):
        _about_to(instance, _owners(instance))


def _limited(instance: AccountLimit, **_: Any) -> None:
    _done(instance)


def _goes_with_its_user(origin: Any) -> bool:
    """Say whether a limit is deleted since its user is, who is told of as a whole."""
    return origin is not None and AccountLimit not in (type(origin), getattr(origin, "model", None))


def _saving(instance: Model, update_fields: Collection[str] | None = None, **_: Any) -> None:
    # Every log-in writes this field.
    if instance.pk is not None and set(update_fields or ()) != {"last_login"}:
        _about_to(instance, [_key(instance)])


def _saved(instance: Model, created: bool, update_fields: Collection[str] | None = None, **_: Any) -> None:
    if created:
        changes = _open.get() or _new(instance)
        changes.remember(_key(instance), None)
    # Django stores a password anew, by a newer method, at a log-in.
    is_same_password = set(update_fields or ()) == {"password"} and getattr(instance, "_password", None) is None
    _done(instance, is_same_password)


def _deleting(instance: Model, **_: Any) -> None:
    members = instance.user_set.values_list("pk", flat=True) if isinstance(instance, Group) else ()
    _about_to(instance, [_key(instance), *((User, pk) for pk in members)])


def _deleted(instance: Model, **_: Any) -> None:
    _done(instance)


def _related(instance: Model, action: str, reverse: bool, model: type[Model], pk_set: Any, **_: Any) -> None:
    """Follow what is added to and taken from a user's groups, a user's own permissions, a group's permissions."""
    if action.startswith("post_"):
        _done(instance)
    elif not reverse:
        _about_to(instance, [_key(instance)])
    elif model in (User, Group):
        _about_to(instance, [(model, pk) for pk in (pk_set if pk_set is not None else _others(instance, model))])


def _others(instance: Any, model: type[Model]) -> list[Any]:
    """Return whom a clear from the other side reaches."""
    related = instance.user_set if model is User else instance.group_set
    return list(related.values_list("pk", flat=True))


_OF_A_ROW = ((pre_save, _saving), (post_save, _saved), (pre_delete, _deleting), (post_delete, _deleted))
_RELATIONS = (User.groups.through, User.user_permissions.through, Group.permissions.through)
_OF_A_LIMIT = ((pre_save, _limiting), (post_save, _limited), (pre_delete, _limiting), (post_delete, _limited))
RECEIVERS: list[tuple[ModelSignal, Callable[..., None], Any]] = [
    *((signal, receiver, AccountLimit) for signal, receiver in _OF_A_LIMIT),
    *((signal, receiver, model) for model in (User, Group) for signal, receiver in _OF_A_ROW),
    *((m2m_changed, _related, relation) for relation in _RELATIONS),
]


def connect() -> None:
    """Listen from now on."""
    for signal, receiver, sender in RECEIVERS:
        signal.connect(receiver, sender=sender)
