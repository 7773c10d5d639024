"""What many people look at is asked for once in a process, not once for each of them: fifty may follow one kill.

What follows a page by itself (htmx) may be told of a moment ago. Whoever loads a page or asks by hand gets what was
read after they asked, for them or for somebody else; whoever has just done something, what was read after that.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from killswitch.kept import Kept
from killswitch.snapshot import read_as_of

T = TypeVar("T")

# What takes long to make is made less often: a kill of hundreds of accounts needs the processor more than those who
# watch it. But a page asks every second, and must never be told of a moment before the one that it shows.
QUICKLY_MADE = 0.05  # seconds
OLDEST = 0.9  # seconds
AT_MOST = 300  # kept at a time: kills that are followed, and what stands in the banner, for each set of accounts
# What is pressed and asks anew, by its id: the others that ask are pages by themselves.
BY_HAND = ("refresh", "sort-")


@dataclass
class Shared:
    """What was made last for one key, and how that went."""

    lock: Lock = field(default_factory=Lock)
    made_at: float = float("-inf")
    took: float = 0.0  # seconds
    value: Any = None
    failed_at: float = float("-inf")
    error: Exception | None = None


_everything: list[Kept[Shared]] = []


def keep(most: int) -> Kept[Shared]:
    """Return where the last that was made is kept, for so many keys."""
    kept: Kept[Shared] = Kept(most)
    _everything.append(kept)
    return kept


_shared = keep(AT_MOST)
_lock = Lock()


def together(key: Hashable, make: Callable[[], T], *, since: float | None, kept: Kept[Shared] = _shared) -> T:
    """Return what `make` makes: begun `since` then or later, by the monotonic clock.

    Where that is None, begun at most TOGETHER_SECONDS ago, or some times as long.

    Whoever asks while it is being made waits for it; what `make` raises is raised to all of them: one after the other
    would wait for the same failure, and the page that somebody presses on would find no free thread.
    """
    with _lock:
        shared = kept.get(key) or kept.put(key, Shared())
    asked_at = time.monotonic()
    with shared.lock:
        least = asked_at - patience(shared.took) if since is None else since
        if shared.made_at < least:
            if shared.error is not None and shared.failed_at >= asked_at:
                raise shared.error
            as_of, began = read_as_of(), time.monotonic()
            try:
                made = make()
            except Exception as error:
                shared.error, shared.failed_at = error, time.monotonic()
                raise
            if as_of < shared.made_at:  # read in an older moment: what is there is newer, and others have seen it
                return made
            shared.value, shared.made_at, shared.error, shared.took = made, as_of, None, time.monotonic() - began
        value: T = shared.value
        return value


def patience(took: float) -> float:
    """Say how old something may be that took so long to make. Both in seconds."""
    usual: float = settings.TOGETHER_SECONDS
    return max(usual, min(usual * took / QUICKLY_MADE, OLDEST))


def follows(request: HttpRequest) -> bool:
    """Say whether a request is that of a page which follows by itself, not of somebody who wants to know it now."""
    is_by_hand = request.headers.get("HX-Trigger", "").startswith(BY_HAND)
    return request.method == "GET" and bool(request.headers.get("HX-Request")) and not is_by_hand


def fresh_since(request: HttpRequest) -> float | None:
    """Return since when what is read will do for a request, by the monotonic clock; None where it only follows.

    What somebody else began to read after a page was asked for is as fresh as what would be read for it now. What a
    request has done itself must be in it.
    """
    if follows(request):
        return None
    arrived_at: float | None = getattr(request, "_arrived_at", None)
    return time.monotonic() if arrived_at is None or request.method not in ("GET", "HEAD") else arrived_at


def note_arrival(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Note when each request came: a middleware."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        request._arrived_at = time.monotonic()  # type: ignore[attr-defined]
        return get_response(request)

    return answer


def forget() -> None:
    """Let nothing of it be there: in tests, whose databases come and go."""
    for kept in _everything:
        kept.clear()
