"""How long a log-in lasts, and what ends it sooner. Sessions stand in the database: they outlive Redis."""

import time
from collections.abc import Callable, Collection

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

Answer = Callable[[HttpRequest], HttpResponseBase]

LOGGED_IN_AT, RENEWED_AT = "logged_in_at", "renewed_at"


def begin(request: HttpRequest) -> None:
    """Note in a session when it began."""
    request.session[LOGGED_IN_AT] = request.session[RENEWED_AT] = time.time()


def renew_sessions(get_response: Answer) -> Answer:
    """Let a session go on while its person opens pages, to twice its age at most.

    A page that polls by itself renews nothing: it may have been left open. A form neither: after a press there is
    nothing more that may fail.
    """

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        is_opened = request.method == "GET" and not request.headers.get("HX-Request")
        # Not asked for by the page itself: it did not need the session, which may not be readable.
        if is_opened and request.session.accessed and SESSION_KEY in request.session:
            _renew(request)
        return response

    return answer


def _renew(request: HttpRequest) -> None:
    age, now, session = settings.SESSION_COOKIE_AGE, time.time(), request.session
    left = session.get(LOGGED_IN_AT, now) + 2 * age - now
    if now - session.get(RENEWED_AT, now) > age / 2 and left > 0:
        session[RENEWED_AT] = now
        session.set_expiry(int(min(age, left)))


def end_sessions_of(user_ids: Collection[int]) -> None:
    """Log users out everywhere. Called when what they may do has changed: whoever was let in was somebody else."""
    wanted = {str(user_id) for user_id in user_ids}
    if not wanted:
        return
    for session in Session.objects.filter(expire_date__gt=timezone.now()):
        if session.get_decoded().get(SESSION_KEY) in wanted:
            session.delete()
