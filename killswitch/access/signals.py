"""Write log-ins, log-outs and failed log-ins into the audit trail."""

from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append


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
    _record(Kind.LOGGED_IN, f"{user.get_username()} logged in", request, user=user)


@receiver(user_logged_out)
def logged_out(request: HttpRequest | None, user: User | None, **_: Any) -> None:
    if user is not None:
        _record(Kind.LOGGED_OUT, f"{user.get_username()} logged out", request, user=user)


@receiver(user_login_failed)
def login_failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    typed = str(credentials.get("username", ""))
    data: dict[str, Any]
    user = User.objects.filter(username__iexact=typed[:150]).first()
    if user is not None:
        data = {"user_id": user.pk, "is_active": user.is_active}
        why = "" if user.is_active else ": the user is shut out"
        name = user.get_username()
        _record(Kind.LOGIN_FAILED, f"A log-in as {name} was refused{why}", request, name=name, data=data)
    else:
        # What was typed may be a password, and an entry stays for ever. Equal tries have equal marks.
        data = {"mark": salted_hmac("killswitch.login_failed", typed, algorithm="sha256").hexdigest()[:16]}
        sentence = "A log-in was refused: there is no user of the name that was typed"
        _record(Kind.LOGIN_FAILED, sentence, request, data=data)
