"""What the audit trail is checked against, to take away: the anchors and the public keys."""

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from killswitch.access.roles import COMPLIANCE, may_read_trail
from killswitch.audit.anchors import anchor_line, anchors_of, public_keys
from killswitch.audit.exports import VERIFIER

from ..guard import needs


@require_safe
@needs(may_read_trail, "read the audit trail", role=COMPLIANCE)
def anchors(request: HttpRequest) -> HttpResponseBase:
    return _to_keep(StreamingHttpResponse(_lines(), content_type="application/jsonl"), "anchors.jsonl")


@require_safe
@needs(may_read_trail, "read the audit trail", role=COMPLIANCE)
def public_key(request: HttpRequest) -> HttpResponseBase:
    return _to_keep(HttpResponse(public_keys(), content_type="application/x-pem-file"), "public-key.pem")


@require_safe
@needs(may_read_trail, "read the audit trail", role=COMPLIANCE)
def verifier(request: HttpRequest) -> HttpResponseBase:
    """Give the program that checks exports without this one."""
    return _to_keep(HttpResponse(VERIFIER.read_bytes(), content_type="text/x-python"), VERIFIER.name)


def _lines() -> Iterator[bytes]:
    for anchor in anchors_of().iterator():
        yield anchor_line(anchor) + b"\n"


def _to_keep(response: HttpResponseBase, name: str) -> HttpResponseBase:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response
