"""Check again and again, in a thread of its own: what hangs here keeps nothing else from being told."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from django.db import connections

from .found import Found
from .verdict import Fault, Part

logger = logging.getLogger(__name__)

# What fails every other time is as wrong as what fails in a row.
LAST_LOOKS = 6

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
    # How often in a row something has to be wrong before it is believed: one lost packet is nothing. Once more than
    # that among the last looks counts as much.
    strikes: int = 1
    # What can be told while the check is under way, at once and until it ends.
    meanwhile: Check = tuple


class Checker:
    """Makes one check for as long as it is wanted, and tells what was found last and how old that is."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._began: float | None = None
        self._told: dict[Part, Found] = {}
        self._told_at = 0.0
        self._last: dict[Part, deque[Fault | None]] = {}
        self._told_meanwhile = False

    def start(self) -> None:
        """Run in a thread of its own, which ends with the process."""
        threading.Thread(target=self._run, name=f"light-{self.line.name}", daemon=True).start()

    def resume(self) -> None:
        self._wanted.set()

    def pause(self) -> None:
        """Stop after what is under way, and forget what was found: somebody else looks."""
        self._wanted.clear()
        with self._lock:
            self._told, self._last = {}, {}

    def told(self) -> tuple[Sequence[Found], float] | None:
        """Return what was found and its age in seconds; None where nothing is known yet."""
        now = time.monotonic()
        with self._lock:
            if self._began is not None and now - self._began > self.line.limit:
                return self._silence(f"no answer for {now - self._began:.0f} s"), 0.0
            if not self._told.keys() >= self.line.silence.keys():
                return None
            meanwhile = self._meanwhile()
            self._told_meanwhile = self._told_meanwhile or bool(meanwhile)
            return list({**self._told, **meanwhile}.values()), now - self._told_at

    def has_news(self) -> bool:
        """Say whether something can be told of what is under way that was not told yet."""
        with self._lock:
            return not self._told_meanwhile and bool(self._meanwhile())

    def _meanwhile(self) -> dict[Part, Found]:
        """Return what is under way and worse than what was found last."""
        if self._began is None or not self._wanted.is_set():
            return {}
        return {new.part: new for new in self.line.meanwhile() if self._is_worse(new)}

    def _is_worse(self, new: Found) -> bool:
        old = self._told.get(new.part)
        if old is None or new.fault is None:
            return False
        return old.fault is None or old.fault.verdict.badness < new.fault.verdict.badness

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
            self._told_meanwhile = False

    def _believe(self, new: Found) -> Found:
        """Return what is to be told: at the first strikes of something worse still what was told before."""
        old = self._told.get(new.part)
        last = self._last.setdefault(new.part, deque(maxlen=LAST_LOOKS))
        last.append(new.fault)
        if new.fault is None or old is None or old.fault == new.fault:
            return new
        known = (None, old.fault)
        in_a_row = len(list(takewhile(lambda fault: fault not in known, reversed(last))))
        among_the_last = sum(fault not in known for fault in last)
        # What was told while it was under way cannot be taken back now as if it had been one lost packet.
        if self._told_meanwhile or in_a_row >= self.line.strikes or among_the_last > self.line.strikes:
            return new
        return replace(old, says=f"{old.says}; once since then: {new.says}")

    def _silence(self, says: str) -> list[Found]:
        return [Found(part, fault, says) for part, fault in self.line.silence.items()]

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self.once()
            time.sleep(self.line.every)
