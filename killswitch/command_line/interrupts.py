"""Ctrl-C and SIGTERM, counted and never raised in the middle of something."""

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

STEP = 0.05  # seconds


class Interrupts:
    """Counts how often the process was asked to end. A hang-up of the terminal is not such an ask."""

    def __init__(self) -> None:
        self.count = 0
        self.name = ""

    @contextlib.contextmanager
    def caught(self) -> Iterator["Interrupts"]:
        """Catch signals while the block runs."""
        wanted: dict[signal.Signals, Any] = {
            signal.SIGINT: self._note,
            signal.SIGTERM: self._note,
            signal.SIGHUP: signal.SIG_IGN,
        }
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def wait(self, seconds: float, heard: int) -> bool:
        """Wait, but no longer than until an ask after those that were `heard`. Return whether there is one."""
        until = time.monotonic() + seconds
        while self.count == heard and (left := until - time.monotonic()) > 0:
            time.sleep(min(STEP, left))
        return self.count != heard

    def _note(self, number: int, _frame: Any) -> None:
        self.count += 1
        self.name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
