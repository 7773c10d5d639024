"""The second factor of those who log in with a password: a code from an app, a recovery code, or a passkey."""

from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, BaseAuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from .lockout import locked_until
from .roles import role_of

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


class _NotLockedOut(BaseAuthenticateForm):  # type: ignore[misc]
    """A code of six digits can be guessed as a password can, so it is counted and locked out as one."""

    def clean_code(self) -> str:
        address = context.request.META.get("REMOTE_ADDR", "")
        until = locked_until(name=self.user.get_username(), address=address, now=timezone.now())
        if until is not None:
            raise ValidationError(
                f"Too many failed log-ins from this address: no code is taken until {until:%H:%M} UTC."
            )
        code: str = super().clean_code()
        return code


class CodeForm(_NotLockedOut, AuthenticateForm):  # type: ignore[misc]
    pass


class CodeAgainForm(_NotLockedOut, ReauthenticateForm):  # type: ignore[misc]
    pass


def lacks_second_factor(request: HttpRequest) -> bool:
    """Say whether somebody's role needs a second factor that they have not set up. Single sign-on has its own."""
    user = request.user
    if not settings.SECOND_FACTOR_FOR or not isinstance(user, User):
        return False
    if role_of(user) not in settings.SECOND_FACTOR_FOR or not user.has_usable_password():
        return False
    return not has_second_factor(user)


def has_second_factor(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, type__in=FACTORS).exists())


def forget_factors(user: User) -> None:
    """Take every code, passkey and recovery code from a user, who may have lost them."""
    Authenticator.objects.filter(user=user).delete()
