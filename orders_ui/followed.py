"""A kill as all who follow it see it: one reading of the database for everybody, and each of its tables drawn once."""

import re
import uuid
from threading import Lock
from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from killswitch.kills.models import Kill
from killswitch.snapshot import one_moment

from .killview import KillView
from .marks import digest_of_page
from .together import fresh_since, keep, together

ALWAYS = "_kill.html"
TABLES = {
    "kill-figures": "_kill_figures.html",
    "kill-open": "_kill_open.html",
    "kill-waiting": "_kill_waiting.html",
    "kill-accounts": "_kill_accounts.html",
    "kill-gone": "_kill_gone.html",
}
BETWEEN_TAGS = re.compile(r">\n\s*<")
KEPT = 40  # kills: one with its tables drawn takes some megabytes
# What makes it a part of an answer to a poll; on a page that is loaded it stands without.
AS_PART = ' hx-swap-oob="morph"'

_kept = keep(KEPT)


class Followed:
    """Everything as it stood at one moment: a late arrival must not stand beside an older LATCHED."""

    def __init__(self, kill_id: uuid.UUID, request: HttpRequest) -> None:
        self._tables: dict[str, str] = {}
        self._drawing = Lock()
        with one_moment():
            self.view = view = KillView(get_object_or_404(Kill, pk=kill_id))
            self.marks = {"kill-figures": digest_of_page(self.table("kill-figures", request)), **view.marks}
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
                drawn = render_to_string(TABLES[name], {"kill": self.view}, request)
                # The ends of lines between tags are a sixth of it.
                self._tables[name] = BETWEEN_TAGS.sub("><", drawn)
            return self._tables[name]

    def on_page(self, request: HttpRequest) -> dict[str, SafeString]:
        """Return all of the tables as they stand on the page from its beginning."""
        return {
            name.replace("-", "_"): SafeString(self.table(name, request).replace(AS_PART, "", 1)) for name in TABLES
        }


def followed(kill_id: uuid.UUID, request: HttpRequest) -> Followed:
    """Return a kill as it is; for who follows, as it was within the last second. Raises Http404."""
    return together(kill_id, lambda: Followed(kill_id, request), since=fresh_since(request), kept=_kept)
