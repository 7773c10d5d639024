"""How a view answers: the whole page, or the part of it that htmx swaps."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers


def show(
    request: HttpRequest, page: str, context: dict[str, Any], *, part: str = "", status: int = 200
) -> HttpResponse:
    """Render `page`, or only its `part` for a poll. Nothing is kept by the browser: an old book must not come back."""
    wants_part = bool(part and request.headers.get("HX-Request"))
    response = render(request, part if wants_part else page, {**context, "is_part": wants_part}, status=status)
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["HX-Request"])
    return response
