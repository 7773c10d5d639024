"""From where a request comes when proxies stand before the web process: the record and the lock-out go by it."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Answer = Callable[[HttpRequest], HttpResponseBase]


def address_behind_proxies(get_response: Answer) -> Answer:
    """Take the address that the outermost of our own proxies saw. What stands before it anybody can have written."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        told = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
        if settings.PROXIES and len(told) >= settings.PROXIES:
            request.META["REMOTE_ADDR"] = told[-settings.PROXIES][:64]
        return get_response(request)

    return answer
