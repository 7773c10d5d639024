"""Which accounts a person may see and kill. It is decided here and nowhere else; the role says who may kill at all."""

from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q
from django.http import HttpRequest

from .models import AccountLimit

NONE: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Accounts:
    """The accounts of one person. What they may kill, they see; None stands for all there are, and all to come."""

    sees: frozenset[int] | None = None
    kills: frozenset[int] | None = None

    @property
    def is_limited(self) -> bool:
        return self.kills is not None

    @property
    def sees_all(self) -> bool:
        return self.sees is None

    @property
    def kills_any(self) -> bool:
        return self.kills is None or bool(self.kills)

    def may_see(self, account_id: int) -> bool:
        return self.sees is None or account_id in self.sees

    def may_kill(self, account_id: int) -> bool:
        return self.kills is None or account_id in self.kills

    def not_to_kill(self, account_ids: Collection[int]) -> list[int]:
        """Return those that may not be killed, in their order."""
        return sorted(account_id for account_id in set(account_ids) if not self.may_kill(account_id))


def accounts_of(user: AbstractBaseUser | AnonymousUser) -> Accounts:
    """Add up the limits of a person and of their teams; where there is none they may see and kill all."""
    if not user.is_authenticated:
        return Accounts(NONE, NONE)
    teams = User.groups.through.objects.filter(user_id=user.pk).values("group_id")
    limits = AccountLimit.objects.filter(Q(user_id=user.pk) | Q(group_id__in=teams))
    found = list(limits.values_list("sees_all", "sees", "kills"))
    if not found:
        return Accounts()
    kills = frozenset(account_id for _, _, killed in found for account_id in killed or ())
    seen = kills.union(account_id for _, each, _ in found for account_id in each or ())
    return Accounts(None if any(sees_all for sees_all, _, _ in found) else seen, kills)


def accounts_in(request: HttpRequest) -> Accounts:
    """Return the accounts of whoever asks, read once for each request."""
    kept: Accounts | None = getattr(request, "_accounts", None)
    if kept is None:
        kept = accounts_of(request.user)
        request._accounts = kept  # type: ignore[attr-defined]
    return kept
