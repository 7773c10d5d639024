"""Where typed words lead: by script as proposals, without one by a redirect or a list to choose from."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.views.decorators.http import require_safe

from ..context import Page
from ..palette import EXAMPLES, Palette
from ..shown import show

LONGEST = 200


@require_safe
def go(request: HttpRequest) -> HttpResponse:
    """Go where the words lead, or ask which of several pages is meant."""
    palette = _palette(request)
    if palette.sure is not None:
        return HttpResponseRedirect(palette.sure.address)
    return show(request, "go.html", {"palette": palette, "examples": EXAMPLES})


@require_safe
def go_json(request: HttpRequest) -> JsonResponse:
    palette = _palette(request)
    choices = [{"words": each.words, "address": each.address, "hint": each.hint} for each in palette.choices]
    return JsonResponse({"choices": choices, "told": palette.told}, headers={"Cache-Control": "no-store"})


def _palette(request: HttpRequest) -> Palette:
    return Palette(request.GET.get("q", "")[:LONGEST], Page(request))
