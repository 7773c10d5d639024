"""The three roles. Each is a Django group made by a migration; what a role may do stands in its permissions."""

from collections.abc import Collection

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.db.models import QuerySet
from django.http import HttpRequest

from killswitch.audit.operations import Actor

from .role_names import ADMINISTRATOR, COMPLIANCE, RISK_DESK, ROLES

__all__ = ["ADMINISTRATOR", "COMPLIANCE", "RISK_DESK", "ROLES"]


def may_see(user: AbstractBaseUser | AnonymousUser) -> bool:
    return _has(user, "kills.view_kill")


def may_kill(user: AbstractBaseUser | AnonymousUser) -> bool:
    """A superuser may not kill: whoever hands out the rights does not press the button."""
    return _has(user, "kills.engage_kill") and not getattr(user, "is_superuser", False)


def may_read_trail(user: AbstractBaseUser | AnonymousUser) -> bool:
    return _has(user, "audit.read_trail")


def may_manage_users(user: AbstractBaseUser | AnonymousUser) -> bool:
    return _has(user, "auth.change_user")


def _has(user: AbstractBaseUser | AnonymousUser, permission: str) -> bool:
    return isinstance(user, User | AnonymousUser) and user.has_perm(permission)


def give_role(user: User, role: str) -> None:
    """Put `user` into exactly one role, for nobody both hands out rights and presses the button.

    Their teams stay. Raises Group.DoesNotExist.
    """
    user.groups.set([Group.objects.get(name=role), *teams_of(user)])


def teams() -> QuerySet[Group]:
    """Return the teams: groups that are no role and give no right. They say which accounts their people have."""
    return Group.objects.exclude(name__in=ROLES).filter(permissions=None).order_by("name")


def teams_of(user: User) -> QuerySet[Group]:
    return teams().filter(user=user)


def give_teams(user: User, names: Collection[str]) -> None:
    """Put `user` into exactly the teams of these names. What else they are in stays."""
    others = set(user.groups.all()) - set(teams())
    user.groups.set([*others, *teams().filter(name__in=names)])


def role_of(user: User) -> str:
    return user.groups.filter(name__in=ROLES).values_list("name", flat=True).first() or ""


def actor_of(request: HttpRequest) -> Actor:
    """Name the person behind a request, and from where it came, for the audit trail."""
    user = request.user
    source = f"web {request.META.get('REMOTE_ADDR', '')}".strip()
    if not user.is_authenticated:
        return Actor(name="", source=source)
    return Actor(id=user.pk, name=user.get_username(), source=source)
