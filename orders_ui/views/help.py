from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from ..helpview import Help
from ..palette import EXAMPLES
from ..shown import show


@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    return show(request, "help.html", {"help": Help(), "examples": EXAMPLES})
