"""Log-in by the firm's own identity provider (OpenID Connect). At each, its groups say who has which role here."""

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
from .roles import give_role, role_of

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
        if not is_known:
            _check_name(request, name)
            user.username, user.email = name, ""
        elif user.is_active and role_of(user) != role:
            with changes_by(_actor(request)):
                give_role(user, role)

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Add a person who is here for the first time, without a password."""
        user: User = sociallogin.user
        user.set_unusable_password()
        role = role_of_groups(claims(sociallogin.account.extra_data))
        with changes_by(_actor(request)):
            sociallogin.save(request)
            give_role(user, role)
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
    groups = told.get(settings.SSO_GROUPS_CLAIM) or []
    mine = {groups} if isinstance(groups, str) else {str(group) for group in groups}
    return next((role for role, theirs in settings.SSO_ROLES.items() if mine & set(theirs)), "")


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
