from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from killswitch.access.roles import COMPLIANCE, may_read_trail
from killswitch.audit.models import Entry

from ..forms import TrailForm
from ..guard import needs
from ..rows import EntryView
from ..shown import show


@require_safe
@needs(may_read_trail, "read the audit trail", role=COMPLIANCE)
def audit(request: HttpRequest) -> HttpResponse:
    form = TrailForm(request.GET)
    if not form.is_valid():
        return show(request, "audit.html", {"form": form}, status=400)
    return show(request, "audit.html", {"form": form, "trail": form.page()})


@require_safe
@needs(may_read_trail, "read the audit trail", role=COMPLIANCE)
def entry(request: HttpRequest, entry_id: int) -> HttpResponse:
    found = get_object_or_404(Entry, pk=entry_id)
    return show(request, "entry.html", {"entry": found, "view": EntryView(found)})
