"""Health, the page for a form that did not come from us, and the page for what broke."""

from dataclasses import replace
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseServerError, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import get_template
from django.views.decorators.http import require_safe

from killswitch.access.operations import record_denial
from killswitch.access.roles import actor_of
from killswitch.command_line.arguments import break_glass_line_of
from killswitch.health.queries import database_answers
from killswitch.kills.decision import InvalidDecision, read_decision

from ..guard import asked_for, confirmation_of, decision_in, is_press, posted


@require_safe
@login_not_required
def healthz(request: HttpRequest) -> JsonResponse:
    if database_answers():
        return JsonResponse({"status": "ok"})
    return JsonResponse({"status": "database does not answer"}, status=503)


def broken(request: HttpRequest) -> HttpResponse:
    """Say that something broke, and how to repeat a press. Needs neither the database nor the session."""
    context = {"press": _press_in(request), "csrf_token": get_token(request)}
    return HttpResponseServerError(get_template("500.html").render(context))


def _press_in(request: HttpRequest) -> dict[str, Any] | None:
    """Return what repeats a press, with the same key, and the line that does the same with the broker alone."""
    if not is_press(request):
        return None
    try:
        decision = read_decision(decision_in(request))
    except InvalidDecision:
        return {}
    fields = [(name, value) for name, values in posted(request).items() for value in values]
    return {"fields": fields, "line": break_glass_line_of(replace(decision, reason=""))}


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say loudly that nothing was sent. Named by CSRF_FAILURE_VIEW."""
    data = {**asked_for(request), "why": reason}
    record_denial(actor=actor_of(request), what="send a form without its token", data=data)
    context = {"confirmation": confirmation_of(request) if is_press(request) else ""}
    return render(request, "csrf.html", context, status=403)
