"""What is taken away of a kill, or read out of it: the call sheet, the summary, the pack."""

import uuid

from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_GET, require_safe

from killswitch.access.roles import COMPLIANCE, actor_of, may_read_trail, may_see
from killswitch.incident.call_sheet import CallSheet
from killswitch.incident.call_sheet_text import as_text
from killswitch.incident.figures import Incident
from killswitch.incident.pack import take
from killswitch.incident.summary import Summary
from killswitch.kills.models import Kill

from ..guard import needs
from ..limits import sees_kill
from ..papers import draw
from ..shown import show


@require_safe
@needs(may_see, "see a kill")
@sees_kill("see the call sheet of a kill")
def call_sheet(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponse:
    context = {"sheet": _sheet(kill_id), "at": timezone.now()}
    return show(request, "call_sheet.html", context, part="_call_sheet.html")


@require_safe
@needs(may_see, "see a kill")
@sees_kill("see the call sheet of a kill")
def call_sheet_text(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponse:
    text = as_text(_sheet(kill_id), timezone.now())
    told = text.encode("utf-8", "backslashreplace")
    return HttpResponse(told, content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


def _sheet(kill_id: uuid.UUID) -> CallSheet:
    return CallSheet(Incident(get_object_or_404(Kill, pk=kill_id)))


@require_safe
@needs(may_read_trail, "read the audit trail", role=COMPLIANCE)
@sees_kill("see the summary of a kill")
def summary(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponse:
    found = Summary(get_object_or_404(Kill, pk=kill_id), timezone.now())
    return show(request, "summary.html", {"summary": found, "sheet": found.sheet, "at": found.at})


# Not for HEAD: it would stand in the audit trail that a pack was taken which nobody has.
@require_GET
@needs(may_read_trail, "take an incident pack", role=COMPLIANCE)
@sees_kill("take the incident pack of a kill")
def pack(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponseBase:
    get_object_or_404(Kill, pk=kill_id)
    taken = take(kill_id, draw=draw, actor=actor_of(request), now=timezone.now())
    headers = {"Cache-Control": "no-store"}
    return FileResponse(
        taken.file, as_attachment=True, filename=taken.name, content_type="application/zip", headers=headers
    )
