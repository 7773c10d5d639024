"""Whether somebody has shown a short while ago who they are. Asked before what can wait; never before a kill."""

import time

from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.http import HttpRequest


def is_fresh(request: HttpRequest) -> bool:
    """Say so. A log-in counts, and so does every time that they were asked again."""
    at = [record.get("at", 0) for record in get_authentication_records(request, request.user)]
    return bool(at) and time.time() - max(at) < settings.FRESH_SECONDS
