"""What the pages of users and teams say of their accounts."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import Group, User

from killswitch.access.models import AccountLimit
from killswitch.access.roles import ROLES, teams
from killswitch.book.models import Account
from killswitch.book.queries import accounts
from killswitch.words import counted

SHOWN = 500


def limit_words(limit: AccountLimit | None) -> str:
    """Say how many accounts a limit gives."""
    if limit is None:
        return "not limited"
    sees = "sees all" if limit.sees_all else f"sees {counted(len({*limit.sees, *limit.kills}), 'account')}"
    return f"{sees}, kills on {len(limit.kills):,}"


@dataclass(frozen=True)
class UserRow:
    """A user among all of them."""

    user: User

    @property
    def role(self) -> str:
        return next((group.name for group in self.user.groups.all() if group.name in ROLES), "")

    @property
    def teams(self) -> list[str]:
        return [group.name for group in self.user.groups.all() if group.name not in ROLES]

    @property
    def is_limited(self) -> bool:
        return any(hasattr(holder, "account_limit") for holder in (self.user, *self.user.groups.all()))


def user_rows() -> list[UserRow]:
    """Return every user who is managed here."""
    users = User.objects.filter(is_superuser=False).select_related("account_limit")
    return [UserRow(user) for user in users.prefetch_related("groups__account_limit").order_by("username")]


@dataclass(frozen=True)
class TeamRow:
    team: Group

    @property
    def words(self) -> str:
        return limit_words(getattr(self.team, "account_limit", None))

    @property
    def members(self) -> list[User]:
        return sorted(self.team.user_set.all(), key=lambda user: user.username)


def team_rows() -> list[TeamRow]:
    return [TeamRow(team) for team in teams().select_related("account_limit").prefetch_related("user_set")]


def not_in_the_book(limit: AccountLimit | None) -> list[int]:
    """Return the accounts of a limit that the book does not know: a number may be mistyped, or be new."""
    if limit is None:
        return []
    named = {*limit.sees, *limit.kills}
    return sorted(named - set(Account.objects.filter(account_id__in=named).values_list("account_id", flat=True)))


def some_accounts() -> Iterable[Account]:
    """Return accounts to choose from."""
    return accounts().order_by("account_id")[:SHOWN]
