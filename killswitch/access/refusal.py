"""A log-in that got as far as showing who somebody is, and is refused all the same."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append


def refused_log_in(request: HttpRequest, *, why: str, name: str = "", status: int = 403) -> HttpResponse:
    """Write it down and say why, with the way to the log-in by password."""
    actor = Actor(name=name, source=f"web {request.META.get('REMOTE_ADDR', '')}".strip())
    sentence = f"A log-in was refused: {why}"
    append([Draft(kind=Kind.LOGIN_FAILED, at=timezone.now(), sentence=sentence, actor=actor, data={})])
    return render(request, "login_refused.html", {"why": why}, status=status)
