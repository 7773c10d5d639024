"""Write log-ins, log-outs and failed log-ins into the audit trail."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append

from .lockout import FAILURES, count_failure, forget_failures, locked_until
from .sessions import begin


def _record(
    kind: Kind,
    sentence: str,
    request: HttpRequest | None,
    *,
    user: User | None = None,
    name: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    source = f"web {request.META.get('REMOTE_ADDR', '')}".strip() if request else ""
    actor = Actor(id=user.pk if user else None, name=user.get_username() if user else name, source=source)
    append([Draft(kind=kind, at=timezone.now(), sentence=sentence, actor=actor, data=data or {})])


@receiver(user_logged_in)
def logged_in(request: HttpRequest | None, user: User, **_: Any) -> None:
    if request is not None:
        begin(request)
        forget_failures(name=user.get_username(), address=_address(request))
    _record(Kind.LOGGED_IN, f"{user.get_username()} logged in", request, user=user)


@receiver(user_logged_out)
def logged_out(request: HttpRequest | None, user: User | None, **_: Any) -> None:
    if user is not None:
        _record(Kind.LOGGED_OUT, f"{user.get_username()} logged out", request, user=user)


@receiver(user_login_failed)
def login_failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Write it down, and count it; what comes while the name is locked out is neither."""
    typed, now = str(credentials.get("username", "")), timezone.now()
    if request is not None and locked_until(name=typed, address=_address(request), now=now):
        return
    told = _of_whom(typed)
    _record(Kind.LOGIN_FAILED, told.sentence, request, name=told.name, data=told.data)
    until = count_failure(name=typed, address=_address(request), now=now) if request is not None else None
    if until is not None:
        _record_lock_out(told, request, until)


def _record_lock_out(told: "Refused", request: HttpRequest | None, until: datetime) -> None:
    whom = told.name or "A name that nobody here has"
    sentence = f"{whom} is locked out at one address until {until:%H:%M} UTC, after {FAILURES} failed log-ins there"
    _record(Kind.LOCKED_OUT, sentence, request, name=told.name, data={**told.data, "until": until.isoformat()})


@dataclass(frozen=True)
class Refused:
    """Whose log-in was refused, as far as the record may say it."""

    name: str
    sentence: str
    data: dict[str, Any]


def _of_whom(typed: str) -> Refused:
    user = User.objects.filter(username__iexact=typed[:150]).first()
    if user is None:
        # What was typed may be a password, and an entry stays for ever. Equal tries have equal marks.
        mark = salted_hmac("killswitch.login_failed", typed, algorithm="sha256").hexdigest()[:16]
        return Refused("", "A log-in was refused: there is no user of the name that was typed", {"mark": mark})
    why = "" if user.is_active else ": the user is shut out"
    name = user.get_username()
    return Refused(name, f"A log-in as {name} was refused{why}", {"user_id": user.pk, "is_active": user.is_active})


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


@receiver(authentication_failed)
def code_refused(request: HttpRequest, user: User, **_: Any) -> None:
    """Count a wrong code as a wrong password."""
    login_failed({"username": user.get_username()}, request)


@receiver(authenticator_added)
def factor_added(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record_factor("added", request, user, authenticator)


@receiver(authenticator_removed)
def factor_removed(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record_factor("removed", request, user, authenticator)


@receiver(authenticator_reset)
def factor_reset(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record_factor("made anew", request, user, authenticator)


def _record_factor(what: str, request: HttpRequest, user: User, authenticator: Authenticator) -> None:
    named = {"totp": "codes from an app", "webauthn": "a passkey", "recovery_codes": "recovery codes"}
    name, factor = user.get_username(), named[authenticator.type]
    data = {"user_id": user.pk, "user": name, "factor": authenticator.type, "what": what}
    _record(Kind.USER_CHANGED, f"{name} changed user {name}: {factor} {what}", request, user=user, data=data)
