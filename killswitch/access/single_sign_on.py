"""Log-in by the firm's own identity provider (OpenID Connect). At each, its groups say who has which role and teams."""

from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from killswitch.audit.operations import Actor

from .changes import changes_by
from .refusal import refused_log_in
from .roles import give_role, give_teams, role_of, teams, teams_of

NO_LIMIT = "*"  # the team of those whom no team limits
LONGEST_NAME = 150  # of a user of Django


class SingleSignOn(DefaultSocialAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Let in whoever has a role, which `pre_social_login` has seen to."""
        return True

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Give a known person the role of their groups. Raises ImmediateHttpResponse for who is not let in."""
        sociallogin.email_addresses = []
        told = claims(sociallogin.account.extra_data)
        name, role = str(told.get(settings.SSO_NAME_CLAIM) or "").strip(), role_of_groups(told)
        user = sociallogin.user
        is_known = sociallogin.is_existing
        if not role:
            _refuse(request, f"{name or 'somebody'} is in none of the groups that have a role here", name)
        theirs = _teams(request, told, name)
        if not is_known:
            _check_name(request, name)
            user.username, user.email = name, ""
        elif user.is_active and not _has(user, role, theirs):
            with changes_by(_actor(request)):
                _give(user, role, theirs)

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Add a person who is here for the first time, without a password."""
        user: User = sociallogin.user
        user.set_unusable_password()
        told = claims(sociallogin.account.extra_data)
        theirs = _teams(request, told, user.username)
        with changes_by(_actor(request)):
            sociallogin.save(request)
            _give(user, role_of_groups(told), theirs)
        return user

    def on_authentication_error(self, request: HttpRequest, provider: Any, **told: Any) -> None:
        """Say that it failed, and how one gets in without it."""
        why = f"{settings.SSO_NAME} did not say who it is ({told.get('error') or 'no answer'})"
        raise ImmediateHttpResponse(refused_log_in(request, why=why, status=401))


def claims(told: dict[str, Any]) -> dict[str, Any]:
    """Return what the provider says of a person: groups may stand in its token or in its answer about the user."""
    return {**(told.get("id_token") or {}), **(told.get("userinfo") or {})}


def role_of_groups(told: dict[str, Any]) -> str:
    """Return the first role that one of a person's groups has; empty where none has."""
    mine = _groups(told)
    return next((role for role, theirs in settings.SSO_ROLES.items() if mine & set(theirs)), "")


def _groups(told: dict[str, Any]) -> set[str]:
    groups = told.get(settings.SSO_GROUPS_CLAIM) or []
    return {groups} if isinstance(groups, str) else {str(group) for group in groups}


def _teams(request: HttpRequest, told: dict[str, Any], name: str) -> set[str] | None:
    """Return the teams that a person's groups say; None where groups say nothing of teams.

    Raises ImmediateHttpResponse for who is in none: without a team they would see every account.
    """
    if not settings.SSO_TEAMS:
        return None
    mine = {team for team, theirs in settings.SSO_TEAMS.items() if _groups(told) & set(theirs)}
    if not mine:
        _refuse(request, f"{name or 'somebody'} is in none of the groups that have accounts here", name)
    if NO_LIMIT in mine:
        return set()
    limited = set(teams().filter(account_limit__isnull=False).values_list("name", flat=True))
    if not mine & limited:
        _refuse(request, f"the team {min(mine)} has no accounts here yet: an administrator gives it some", name)
    # Limits add up: a team that has no accounts yet takes nobody's away.
    return mine & limited


def _has(user: User, role: str, names: set[str] | None) -> bool:
    return role_of(user) == role and (names is None or {team.name for team in teams_of(user)} == names)


def _give(user: User, role: str, names: set[str] | None) -> None:
    if role_of(user) != role:
        give_role(user, role)
    if names is not None:
        give_teams(user, names)


def _check_name(request: HttpRequest, name: str) -> None:
    """Raise ImmediateHttpResponse for a name that cannot be one here, or that somebody has already."""
    try:
        UnicodeUsernameValidator()(name)
    except ValidationError:
        _refuse(request, f"{settings.SSO_NAME} gives no user name in the claim {settings.SSO_NAME_CLAIM}", "")
    if len(name) > LONGEST_NAME:
        _refuse(request, "the user name is too long", "")
    if User.objects.filter(username__iexact=name).exists():
        # Not taken over: whoever may choose names there would become whom they like here.
        _refuse(request, f"there is a user {name} here already, who logs in with a password", name)


def _refuse(request: HttpRequest, why: str, name: str) -> None:
    raise ImmediateHttpResponse(refused_log_in(request, why=why, name=name[:LONGEST_NAME]))


def _actor(request: HttpRequest) -> Actor:
    return Actor(name=settings.SSO_NAME, source=f"web {request.META.get('REMOTE_ADDR', '')}".strip())
