from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from killswitch.access.roles import RISK_DESK, actor_of, may_kill, may_manage_users, may_see
from killswitch.telling.operations import ask_for_test
from killswitch.telling.queries import standing

from ..guard import needs
from ..shown import show


@require_http_methods(["GET", "HEAD", "POST"])
def telling(request: HttpRequest) -> HttpResponseBase:
    return test(request) if request.method == "POST" else see(request)


@needs(may_see, "see who is told")
def see(request: HttpRequest) -> HttpResponse:
    context = {"telling": standing(timezone.now()), "may_test": _may_test(request.user)}
    return show(request, "telling.html", context, part="_telling.html")


def _may_test(user: AbstractBaseUser | AnonymousUser) -> bool:
    return may_kill(user) or may_manage_users(user)


@needs(_may_test, "send a test message", role=RISK_DESK)
def test(request: HttpRequest) -> HttpResponse:
    ask_for_test(actor=actor_of(request), now=timezone.now())
    return HttpResponseRedirect(reverse("telling"), status=303)
