"""A kill as all who follow it see it: one reading of the database for everybody, and each of its tables drawn once."""

import re
import uuid
from threading import Lock
from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string

from killswitch.kills.models import Kill
from killswitch.snapshot import one_moment

from .killview import KillView
from .together import together

ALWAYS = "_kill.html"
TABLES = {
    "kill-open": "_kill_open.html",
    "kill-waiting": "_kill_waiting.html",
    "kill-accounts": "_kill_accounts.html",
    "kill-gone": "_kill_gone.html",
}
BETWEEN_TAGS = re.compile(r">\n\s*<")


class Followed:
    """Everything as it stood at one moment: a late arrival must not stand beside an older LATCHED."""

    def __init__(self, kill_id: uuid.UUID, request: HttpRequest) -> None:
        self._tables: dict[str, str] = {}
        self._drawing = Lock()
        with one_moment():
            self.view = view = KillView(get_object_or_404(Kill, pk=kill_id))
            self.marks = view.marks
            for _ in (view.not_gone, view.waiting, view.others):
                pass
            # What a view reads it reads when it is drawn.
            self.drawn(request)

    def drawn(self, request: HttpRequest, **context: Any) -> str:
        """Draw what every answer carries, for whoever asks: the alarms have forms of their own for each."""
        return render_to_string(ALWAYS, {"kill": self.view, "is_part": True, **context}, request)

    def table(self, name: str, request: HttpRequest) -> str:
        """Return one of the tables, which are the same for everybody."""
        # Many wait for the same reading: all of them would begin to draw at the moment that it is there.
        with self._drawing:
            if name not in self._tables:
                drawn = render_to_string(TABLES[name], {"kill": self.view, "is_part": True}, request)
                # The ends of lines between tags are a sixth of it.
                self._tables[name] = BETWEEN_TAGS.sub("><", drawn)
            return self._tables[name]


def followed(kill_id: uuid.UUID, request: HttpRequest, *, is_fresh: bool) -> Followed:
    """Return a kill as it is now where `is_fresh`, else as it was less than a second ago. Raises Http404."""
    return together(("kill", kill_id), lambda: Followed(kill_id, request), is_fresh=is_fresh)
