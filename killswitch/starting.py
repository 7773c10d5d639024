"""That a process has started, told once. Whoever keeps the record listens to `process_started` (the health room does).

Every long-lived process calls `starts`. The web process calls `begins` before it forks, and each child `goes_on`: the
first that can write it down does so for all of them.
"""

import multiprocessing
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime

from django.dispatch import Signal

process_started = Signal()  # with `start`


class Start:
    """One start of one process, which its children share."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = datetime.now(UTC)
        self.source = f"{name} {socket.gethostname()} {os.getpid()}"
        self._is_told = multiprocessing.get_context("fork").Value("b", False)

    def tell_once(self, tell: Callable[[], None]) -> None:
        """Call `tell` unless it has been called before without an error, here or in another child."""
        with self._is_told.get_lock():
            if not self._is_told.value:
                tell()
                self._is_told.value = True


_start: Start | None = None


def starts(name: str) -> None:
    """Say that this process, which never forks, starts."""
    begins(name)
    goes_on()


def begins(name: str) -> None:
    """Remember that this process starts; its children say so."""
    global _start
    _start = Start(name)


def goes_on() -> None:
    """Tell of the start that `begins` remembered. Nothing that goes wrong with it stops anybody."""
    if _start is not None:
        process_started.send_robust(sender=Start, start=_start)
