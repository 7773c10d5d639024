from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from killswitch.access.roles import COMPLIANCE, may_read_trail, may_see
from killswitch.audit.models import Entry

from ..guard import needs
from ..limits import not_there
from ..shown import show
from ..trailform import TrailForm
from ..trailreader import Reader
from ..trailview import EntryView, Trail, address


@require_safe
@needs(may_read_trail, "read the audit trail", role=COMPLIANCE)
def audit(request: HttpRequest) -> HttpResponse:
    form = TrailForm(request.GET, Reader(request))
    if not form.is_valid():
        return show(request, "audit.html", {"form": form}, status=400)
    if "" in request.GET.values():
        # The fields that were left empty: an address without them can be sent to somebody.
        filled = {name: value for name, value in request.GET.items() if value}
        return HttpResponseRedirect(address(**filled))
    return show(request, "audit.html", {"form": form, "trail": Trail(form, may_see=may_see(request.user))})


@require_safe
@needs(may_read_trail, "read the audit trail", role=COMPLIANCE)
def entry(request: HttpRequest, entry_id: int) -> HttpResponseBase:
    reader, found = Reader(request), Entry.objects.filter(pk=entry_id).first()
    if reader.is_limited and (found is None or not reader.sees(found)):
        return not_there(request)
    if found is None:
        raise Http404
    return show(request, "entry.html", {"entry": found, "view": EntryView(found, reader)})
