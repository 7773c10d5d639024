"""The armed light: the strip of every page, the page that says all, and the same for programs."""

import logging
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from killswitch.access.accounts import accounts_in
from killswitch.health import queries
from killswitch.health.queries import Light, PartStanding
from killswitch.health.verdict import BREAK_GLASS, Fault, Verdict

from ..shown import show

logger = logging.getLogger(__name__)


# A strip asks for itself every few seconds. Without a log-in it says so, and takes nobody's page away.
@require_safe
@login_not_required
def light(request: HttpRequest) -> HttpResponseBase:
    if not request.user.is_authenticated:
        if request.headers.get("HX-Request"):
            return HttpResponse(status=401)
        return redirect_to_login(request.get_full_path())
    shown = {"light": queries.light(), "break_glass": BREAK_GLASS}
    if request.headers.get("HX-Request") and "parts" not in request.GET:
        return show(request, "light.html", shown, part="_light.html")
    # What a part says may name accounts.
    in_detail = accounts_in(request).sees_all
    changes = queries.changes() if in_detail else []
    context = {**shown, "in_detail": in_detail, "changes": changes, "verdicts": list(Verdict)}
    return show(request, "light.html", context, part="_light_parts.html")


@require_safe
@login_not_required
def readyz(request: HttpRequest) -> JsonResponse:
    """Say what the light shows: in detail to who is logged in, and to others without a name of anything."""
    try:
        found, may_see_all = queries.light(), accounts_in(request).sees_all
    except Exception as error:
        logger.exception("the armed light could not be read")
        fault = Fault.DATABASE_GONE if isinstance(error, Error) else Fault.NOBODY_LOOKS
        found, may_see_all = queries.not_known(fault), False
    answer = JsonResponse(_told(found, in_detail=may_see_all), status=200 if found.is_armed else 503)
    answer["Cache-Control"] = "no-store"
    return answer


def _told(found: Light, *, in_detail: bool) -> dict[str, Any]:
    return {
        "state": found.verdict.value,
        "armed": found.is_armed,
        "says": found.sentence,
        "faults": [fault.code for fault in found.faults],
        "checked_at": found.checked_at,
        "parts": {standing.part.value: _part(standing, in_detail=in_detail) for standing in found.parts},
    }


def _part(standing: PartStanding, *, in_detail: bool) -> dict[str, Any]:
    told = {"state": standing.verdict.value, "fault": standing.fault.code if standing.fault else ""}
    if not in_detail:
        return told
    details = {"says": standing.says, "took_ms": standing.took_ms, "checked_at": standing.checked_at}
    return {**told, **details, "since": standing.since}
