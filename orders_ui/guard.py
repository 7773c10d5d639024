"""Who gets which page, and what those see who do not."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh

from killswitch.access.fresh import is_fresh
from killswitch.access.operations import record_denial
from killswitch.access.roles import actor_of
from killswitch.kills.decision import DECISION_FIELDS

View = Callable[..., HttpResponseBase]
Allowed = Callable[[AbstractBaseUser | AnonymousUser], bool]

SECRET_FIELDS = ("csrfmiddlewaretoken",)
# Names the button of the confirmation that was pressed. A program that posts needs none.
PRESSED = "pressed"
# Names the broker that the confirmation was made for: a page that is left open may outlive it.
MADE_FOR = "made_for"
LONGEST_ADDRESS = 2000
# Forms that go into the record as they were sent; others may hold a password.
FORMS_FOR_THE_RECORD = ("kills", "release", "reason", "acknowledge", "drills", "telling")


def needs(allowed: Allowed, what: str, *, role: str = "") -> Callable[[View], View]:
    """Show a view only to those who are `allowed`; `what` completes "… may not"."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if allowed(request.user):
                return view(request, *args, **kwargs)
            return refuse(request, what, role)

        return guarded

    return decorate


def fresh(view: View) -> View:
    """Show a view only to who has shown a short while ago who they are; ask others first. Never put before a kill."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if is_fresh(request):
            return view(request, *args, **kwargs)
        query = {"next": request.path} | ({"not_sent": "1"} if request.method == "POST" else {})
        address = f"{reverse('again')}?{urlencode(query)}"
        return HttpResponseClientRedirect(address) if request.headers.get("HX-Request") else redirect(address)

    return guarded


def refuse(request: HttpRequest, what: str, role: str, *, is_for_accounts: bool = False) -> HttpResponse:
    """Answer 403 and record it. A page that polls is loaded afresh instead, so that it stops polling."""
    if request.method == "GET" and request.headers.get("HX-Request"):
        return HttpResponseClientRefresh()
    record_denial(actor=actor_of(request), what=what, data=asked_for(request))
    context = {
        "what": what,
        "wanted_role": role,
        "is_for_accounts": is_for_accounts,
        "not_sent": request.method == "POST",
    }
    return render(request, "403.html", context, status=403)


def posted(request: HttpRequest) -> dict[str, list[str]]:
    """Return the fields of a posted form, an unexpected file as one of them."""
    fields = {name: [str(value) for value in values] for name, values in request.POST.lists()}
    files = {name: ["(a file)"] for name in request.FILES}
    return {name: values for name, values in (fields | files).items() if name not in SECRET_FIELDS}


def decision_in(request: HttpRequest) -> dict[str, list[str]]:
    """Return what a posted form asks to be killed: its fields but for those that say where it was pressed."""
    return {name: values for name, values in posted(request).items() if name not in (PRESSED, MADE_FOR)}


def asked_for(request: HttpRequest) -> dict[str, Any]:
    """Say what a request wanted, short enough for the record."""
    asked: dict[str, Any] = {"method": request.method, "path": request.path[:200]}
    match = request.resolver_match
    if request.method == "POST" and match is not None and match.url_name in FORMS_FOR_THE_RECORD:
        asked["fields"] = {
            name[:200]: [value[:200] for value in values[:20]] for name, values in list(posted(request).items())[:40]
        }
    return asked


def is_press(request: HttpRequest) -> bool:
    """Say whether somebody pressed: a form that engages a kill was sent."""
    match = request.resolver_match
    return request.method == "POST" and match is not None and match.url_name == "kills"


def confirmation_of(request: HttpRequest) -> str:
    """Return the address of the confirmation that a press came from, or the desk where that cannot be told."""
    fields = decision_in(request)
    if not fields.keys() <= DECISION_FIELDS:
        return reverse("desk")
    carried = {name: values for name, values in fields.items() if name not in ("reason", "idempotency_key")}
    address = f"{reverse('confirm')}?{urlencode(carried, doseq=True)}"
    return address if len(address) <= LONGEST_ADDRESS else reverse("desk")
