"""Nothing without a log-in; and whoever pressed after the session had ended is told that nothing was sent."""

from collections.abc import Callable
from urllib.parse import urlencode

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase, HttpResponseRedirectBase
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect

from killswitch.access.operations import record_denial
from killswitch.access.roles import actor_of
from killswitch.access.second_factor import lacks_second_factor

from .guard import asked_for, confirmation_of, is_press

AnyView = Callable[..., HttpResponseBase]


class LogInFirst(LoginRequiredMiddleware):
    def process_view(
        self, request: HttpRequest, view_func: AnyView, view_args: object, view_kwargs: object
    ) -> HttpResponseBase | None:
        # Asked first: a page for everybody must not need the session, which may not be readable.
        if not getattr(view_func, "login_required", True) or request.user.is_authenticated:
            return None
        return self._to_the_log_in(request, view_func)

    def _to_the_log_in(self, request: HttpRequest, view_func: AnyView) -> HttpResponseRedirectBase:
        query = {"next": _way_back(request)}
        if request.method == "POST":
            record_denial(actor=actor_of(request), what="send a form without a log-in", data=asked_for(request))
            query["not_sent"] = "1"
        address = f"{resolve_url(self.get_login_url(view_func))}?{urlencode(query)}"
        if request.headers.get("HX-Request"):
            return HttpResponseClientRedirect(address)
        return HttpResponseRedirect(address)


# What somebody needs who has to stop orders, and what leads to a second factor. Everything else can wait for one.
WITHOUT_SECOND_FACTOR = frozenset(
    (
        *("desk", "choose", "account", "more_orders", "orders_text", "saved_filters", "light", "go", "go_json", "help"),
        *("kills", "confirm", "reach", "by_key", "kill", "kill_json", "reason", "acknowledge"),
        *("call_sheet", "call_sheet_text", "login", "logout", "again", "healthz", "readyz"),
    )
)
ITS_OWN_PAGES = ("mfa_", "account_")


class SecondFactorFirst:
    """Keeps whoever lacks the second factor that their role needs from everything but the way of a kill."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view_func: AnyView, *_: object) -> HttpResponseBase | None:
        name = (request.resolver_match and request.resolver_match.url_name) or ""
        if name in WITHOUT_SECOND_FACTOR or name.startswith(ITS_OWN_PAGES):
            return None
        if not getattr(view_func, "login_required", True) or not lacks_second_factor(request):
            return None
        address = resolve_url("mfa_index")
        return (
            HttpResponseClientRedirect(address) if request.headers.get("HX-Request") else HttpResponseRedirect(address)
        )


def _way_back(request: HttpRequest) -> str:
    """Return the page to show after the log-in: for a kill that was not sent, its confirmation."""
    if request.method == "POST":
        return confirmation_of(request) if is_press(request) else request.path
    shown = getattr(getattr(request, "htmx", None), "current_url_abs_path", None)
    return shown or request.get_full_path()
