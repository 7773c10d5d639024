"""What every answer tells the browser to refuse, static files and error pages included: first in MIDDLEWARE."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

GetResponse = Callable[[HttpRequest], HttpResponse]


def policy() -> str:
    return "; ".join(f"{name} {value}" for name, value in settings.CONTENT_SECURITY_POLICY.items())


def browser_rules(get_response: GetResponse) -> GetResponse:
    rules = {
        "Content-Security-Policy": policy(),
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        for name, value in rules.items():
            response[name] = value
        return response

    return answer
