from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from killswitch.access.accounts import accounts_in
from killswitch.access.roles import RISK_DESK, may_kill, may_see
from killswitch.book.operations import look_at
from killswitch.book.queries import open_book
from killswitch.kills.decision import InvalidDecision

from ..account_orders import AccountOrders, Asked
from ..desk_rows import Choice
from ..filterbar import FilterBar
from ..guard import needs
from ..limits import sees_account
from ..saved import saved_filters_of
from ..shown import show


@require_safe
@needs(may_see, "see an account")
@sees_account
def account(request: HttpRequest, account_id: int) -> HttpResponse:
    """Show the first orders that match; tell a poll that says what it has only what is new."""
    try:
        asked = Asked(account_id, request.GET)
    except InvalidDecision as error:
        return _not_understood(request, account_id, error)
    look_at(account_id, now=timezone.now())
    book = _orders(request, asked)
    context = {
        "account_id": account_id,
        "bar": _bar(request, {}),
        "book": book,
        "saved": saved_filters_of(request.user),
    }
    if book.is_known_in_part:
        response = show(request, "account.html", context, part="_orders_news.html")
        response["HX-Reswap"] = "none"
        return response
    response = show(request, "account.html", context, part="_orders.html")
    if request.headers.get("HX-Trigger") == "filter":
        response["HX-Replace-Url"] = book.address
    return response


@require_safe
@needs(may_see, "see an account")
@sees_account
def more(request: HttpRequest, account_id: int) -> HttpResponse:
    """Give the next rows of a list that is scrolled through."""
    try:
        asked = Asked(account_id, request.GET)
    except InvalidDecision as error:
        return _not_understood(request, account_id, error)
    return show(request, "_orders_more.html", {"book": _orders(request, asked)})


@require_safe
@needs(may_see, "see an account")
@sees_account
def text(request: HttpRequest, account_id: int) -> HttpResponseBase:
    """Give every order that matches as text, for a chat or a spreadsheet."""
    try:
        asked = Asked(account_id, request.GET)
    except InvalidDecision as error:
        return HttpResponse(f"NOT LISTED: {error}\n", status=400, content_type="text/plain; charset=utf-8")
    book = _orders(request, asked)
    lines: Iterator[str] = (f"{line}\n" for line in book.lines())
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return StreamingHttpResponse(lines, content_type="text/plain; charset=utf-8", headers=headers)


@require_safe
@needs(may_kill, "choose accounts for a kill", role=RISK_DESK)
def choose(request: HttpRequest) -> HttpResponse:
    """Show the accounts that a filter may be used on."""
    try:
        choice = Choice(request)
    except InvalidDecision as error:
        return show(request, "choose.html", {"bar": _bar(request, error.errors)}, status=400)
    return show(request, "choose.html", {"choice": choice, "desk": choice.desk, "carried": choice.carried})


def _orders(request: HttpRequest, asked: Asked) -> AccountOrders:
    may = may_kill(request.user) and accounts_in(request).may_kill(asked.account_id)
    return AccountOrders(open_book(asked.account_id), asked, may_kill=may)


def _bar(request: HttpRequest, errors: dict[str, str]) -> FilterBar:
    return FilterBar(dict(request.GET.lists()), errors)


def _not_understood(request: HttpRequest, account_id: int, error: InvalidDecision) -> HttpResponse:
    """Say what is wrong with a filter. To a page that is there already it is an answer like any other."""
    context = {"account_id": account_id, "bar": _bar(request, error.errors), "saved": saved_filters_of(request.user)}
    is_part = bool(request.headers.get("HX-Request"))
    return show(request, "account.html", context, part="_not_understood.html", status=200 if is_part else 400)
