from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from killswitch.access.roles import may_see
from killswitch.kills.drills import reminder

from ..guard import needs
from ..rows import desk_rows
from ..shown import show


@require_safe
@needs(may_see, "see the desk")
def desk(request: HttpRequest) -> HttpResponse:
    return show(request, "desk.html", {"desk": desk_rows(), "due": reminder(timezone.now())}, part="_desk.html")
