from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from killswitch.access.roles import may_see
from killswitch.book.operations import look_at
from killswitch.book.queries import open_book
from killswitch.kills.decision import FILTER_FIELDS, InvalidDecision, read_filter
from killswitch.kills.filter import OrderFilter

from ..filterbar import FilterBar
from ..guard import needs
from ..rows import AccountOrders
from ..shown import show


@require_safe
@needs(may_see, "see an account")
def account(request: HttpRequest, account_id: int) -> HttpResponse:
    values = dict(request.GET.lists())
    try:
        orders = _read(values)
    except InvalidDecision as error:
        context = {"account_id": account_id, "bar": FilterBar(values, error.errors)}
        return show(request, "account.html", context, status=400)
    look_at(account_id, now=timezone.now())
    matching = AccountOrders(account_id, open_book(account_id), orders)
    context = {"account_id": account_id, "bar": FilterBar(values, {}), "book": matching}
    return show(request, "account.html", context, part="_orders.html")


def _read(values: dict[str, list[str]]) -> OrderFilter:
    # A misspelled name that is left out would show, and then cancel, more than was asked for.
    unknown = dict.fromkeys(values.keys() - FILTER_FIELDS, "is not a field of this filter: nothing was filtered")
    if unknown:
        raise InvalidDecision(unknown)
    return read_filter(values)
