"""People with a page open: they look at the desk, and within a second of the press follow that kill as browsers do."""

import html
import re
import threading
import time

import httpx

from .firm import Firm

HTMX = {"HX-Request": "true"}
MARKS = re.compile(r'data-marks="([^"]*)"')
DESK_EVERY, KILL_EVERY = 3.0, 1.0  # seconds


class Person(threading.Thread):
    """Looks until `end`. `delay`: seconds, so that not everybody asks at the same moment."""

    def __init__(self, running: Firm, delay: float) -> None:
        super().__init__(daemon=True)
        self.has_looked = threading.Event()
        self._http = httpx.Client(base_url=running.address, cookies=running.http.cookies, timeout=60)
        self._delay = delay
        self._kill_id = ""
        self._is_pressed = threading.Event()
        self._is_over = threading.Event()

    def follow(self, kill_id: str) -> None:
        self._kill_id = kill_id
        self._is_pressed.set()

    def end(self) -> None:
        self._is_over.set()
        self._is_pressed.set()
        self.join()
        self._http.close()

    def run(self) -> None:
        self._http.get("/")
        self.has_looked.set()
        self._is_pressed.wait(self._delay * DESK_EVERY)
        while not self._is_pressed.is_set():
            self._ask("/", DESK_EVERY, self._is_pressed)
        if self._is_over.is_set():
            return
        address = f"/kills/{self._kill_id}/"
        # Not all at one moment: each page asks in its own time, and so do those who look at it.
        self._is_over.wait(self._delay * KILL_EVERY)
        seen = _marks(self._http.get(address).text)
        self._is_over.wait(KILL_EVERY)
        while not self._is_over.is_set():
            seen = _marks(self._ask(address, KILL_EVERY, self._is_over, seen)) or seen

    def _ask(self, address: str, every: float, until: threading.Event, seen: str = "") -> str:
        began = time.monotonic()
        text = self._http.get(address, headers={**HTMX, "X-Seen": seen}).text
        until.wait(max(0.0, every - (time.monotonic() - began)))
        return text


def _marks(page: str) -> str:
    found = MARKS.search(page)
    return html.unescape(found[1]) if found else ""
