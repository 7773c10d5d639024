"""Health, and the page for a form that did not come from us."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from killswitch.access.operations import record_denial
from killswitch.access.roles import actor_of
from killswitch.health.queries import database_answers

from ..guard import asked_for


@require_safe
@login_not_required
def healthz(request: HttpRequest) -> JsonResponse:
    if database_answers():
        return JsonResponse({"status": "ok"})
    return JsonResponse({"status": "database does not answer"}, status=503)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say loudly that nothing was sent. Named by CSRF_FAILURE_VIEW."""
    data = {**asked_for(request), "why": reason}
    record_denial(actor=actor_of(request), what="send a form without its token", data=data)
    return render(request, "csrf.html", status=403)
