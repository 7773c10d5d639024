"""Check again and again, in a thread of its own: what hangs here keeps nothing else from being told."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import connections

from .found import Found
from .verdict import Fault, Part

logger = logging.getLogger(__name__)

Check = Callable[[], Sequence[Found]]


@dataclass(frozen=True)
class Line:
    """A check and how it is made."""

    name: str
    check: Check
    # What its parts come to when it does not end in time, or breaks off.
    silence: Mapping[Part, Fault]
    limit: float  # seconds
    every: float
    # How often in a row something has to be wrong before it is believed: one lost packet is nothing.
    strikes: int = 1


class Checker:
    """Makes one check for as long as it is wanted, and tells what was found last and how old that is."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._began: float | None = None
        self._told: dict[Part, Found] = {}
        self._told_at = 0.0
        self._strikes: dict[Part, int] = {}

    def start(self) -> None:
        """Run in a thread of its own, which ends with the process."""
        threading.Thread(target=self._run, name=f"light-{self.line.name}", daemon=True).start()

    def resume(self) -> None:
        self._wanted.set()

    def pause(self) -> None:
        """Stop after what is under way, and forget what was found: somebody else looks."""
        self._wanted.clear()
        with self._lock:
            self._told, self._strikes = {}, {}

    def told(self) -> tuple[Sequence[Found], float] | None:
        """Return what was found and its age in seconds; None where nothing is known yet."""
        now = time.monotonic()
        with self._lock:
            if self._began is not None and now - self._began > self.line.limit:
                return self._silence(f"no answer for {now - self._began:.0f} s"), 0.0
            if not self._told.keys() >= self.line.silence.keys():
                return None
            return list(self._told.values()), now - self._told_at

    def once(self) -> None:
        """Make the check, and keep what it found."""
        with self._lock:
            self._began = time.monotonic()
        try:
            found = self.line.check()
        except Exception as error:
            connections.close_all()
            logger.exception("the check of %s broke off", self.line.name)
            found = self._silence(f"the check broke off ({type(error).__name__}): see the log of the lookout")
        with self._lock:
            self._began = None
            self._told_at = time.monotonic()
            if self._wanted.is_set():
                self._told.update({each.part: self._believe(each) for each in found})

    def _believe(self, new: Found) -> Found:
        """Return what is to be told: at the first strikes of something worse still what was told before."""
        old = self._told.get(new.part)
        if new.fault is None or old is None or old.fault == new.fault:
            self._strikes[new.part] = 0
            return new
        self._strikes[new.part] = self._strikes.get(new.part, 0) + 1
        if self._strikes[new.part] < self.line.strikes:
            return replace(old, says=f"{old.says}; once since then: {new.says}")
        self._strikes[new.part] = 0
        return new

    def _silence(self, says: str) -> list[Found]:
        return [Found(part, fault, says) for part, fault in self.line.silence.items()]

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self.once()
            time.sleep(self.line.every)
