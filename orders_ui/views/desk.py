from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from killswitch.access.roles import may_kill, may_see
from killswitch.kills.drills import reminder

from ..desk_rows import Desk
from ..guard import needs
from ..roster import roster
from ..shown import show


@require_safe
@needs(may_see, "see the desk")
def desk(request: HttpRequest) -> HttpResponse:
    """Show every account; tell a poll that says what it has only what is new."""
    rows = Desk(roster(request), request.GET, may_kill=may_kill(request.user))
    context = {"desk": rows, "due": reminder(timezone.now())}
    if rows.news is None:
        return show(request, "desk.html", context, part="_desk.html")
    response = show(request, "desk.html", context, part="_desk_news.html")
    if request.headers.get("HX-Request"):
        response["HX-Reswap"] = "none"
    return response
