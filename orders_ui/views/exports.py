"""Take a search of the audit trail away as a file."""

import threading
from collections.abc import Iterator

from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from killswitch.access.roles import COMPLIANCE, actor_of, may_read_trail
from killswitch.audit.exports import FORMS, JSON_LINES, begin

from ..guard import needs
from ..shown import show
from ..trailform import TrailForm
from ..trailreader import Reader

# Each holds a thread of this process for as long as somebody downloads; a press must still find a free one.
AT_ONCE = 4
_free = threading.BoundedSemaphore(AT_ONCE)


class Download:
    """The pieces of a file. Its place is given back however it ends, even before it begins."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            _free.release()


@require_GET
@needs(may_read_trail, "export the audit trail", role=COMPLIANCE)
def export(request: HttpRequest, name: str) -> HttpResponseBase:
    if name not in FORMS:
        raise Http404
    asked = request.GET.copy()
    is_provable = asked.pop("provable", ["off"]) == ["on"]
    form = _read(asked, Reader(request))
    if not form.is_valid():
        return _refuse(request, form, 400)
    if is_provable and name != JSON_LINES.name:
        form.add_error(None, "Only JSON Lines can hold what proves an excerpt.")
        return _refuse(request, form, 400)
    if FORMS[name].missing:
        form.add_error(None, f"{FORMS[name].words} is not installed here. Ask for: pip install {FORMS[name].missing}")
        return _refuse(request, form, 501)
    if not _free.acquire(blocking=False):
        form.add_error(None, f"{AT_ONCE} exports are under way here: try again when one of them has ended.")
        return _refuse(request, form, 503)
    return _stream(request, form, name, is_provable)


def _read(asked: QueryDict, reader: Reader) -> TrailForm:
    form = TrailForm(asked, reader)
    if form.is_valid() and (asked.get("before") or asked.get("after")):
        form.add_error(None, "An export holds every page of a search: leave out “before” and “after”.")
    return form


def _stream(request: HttpRequest, form: TrailForm, name: str, is_provable: bool) -> HttpResponseBase:
    try:
        found = begin(form.search(), FORMS[name], provable=is_provable, actor=actor_of(request), now=timezone.now())
    except BaseException:
        _free.release()
        raise
    return StreamingHttpResponse(
        Download(found.pieces()),
        content_type=found.form.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{found.file_name}"',
            "Cache-Control": "no-store",
        },
    )


def _refuse(request: HttpRequest, form: TrailForm, status: int) -> HttpResponse:
    return show(request, "audit.html", {"form": form, "not_exported": True}, status=status)
