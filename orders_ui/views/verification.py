from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from killswitch.access.roles import COMPLIANCE, actor_of, may_read_trail
from killswitch.audit.verification import ask

from ..guard import needs
from ..shown import show
from ..verificationview import VerificationView


@needs(may_read_trail, "verify the audit trail", role=COMPLIANCE)
def verify(request: HttpRequest) -> HttpResponseBase:
    ask(actor=actor_of(request))
    if request.headers.get("HX-Request"):
        return see(request)
    return HttpResponseRedirect(reverse("verification"))


@needs(may_read_trail, "see how the audit trail was verified", role=COMPLIANCE)
def see(request: HttpRequest) -> HttpResponse:
    context = {"verification": VerificationView()}
    return show(request, "verification.html", context, part="_verification.html")


@require_http_methods(["GET", "HEAD", "POST"])
def verification(request: HttpRequest) -> HttpResponseBase:
    return verify(request) if request.method == "POST" else see(request)
