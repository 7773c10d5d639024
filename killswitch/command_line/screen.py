"""What the operator sees. Nothing that happens to a terminal or a pipe may stop a kill."""

import contextlib
import logging
import os
import shutil
import threading
from typing import TextIO

from killswitch.redaction import Formatter

CLEAR_LINE = "\r\x1b[K"


class Screen:
    """Writes lines, and one line of progress: rewritten on a terminal, a line per change elsewhere."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream  # None where the shell closed it
        self._is_terminal = stream is not None and stream.isatty()
        self._shown = ""
        self._lock = threading.Lock()  # the log writes from other threads

    def say(self, text: str = "") -> None:
        """Write a line (or several)."""
        with self._lock:
            self._clear()
            self._write(printable(text) + "\n")

    def progress(self, what: str, clock: str) -> None:
        """Show `what` with a clock beside it. Off a terminal only where `what` is news."""
        with self._lock:
            if self._is_terminal:
                width = shutil.get_terminal_size().columns - 1
                self._write(CLEAR_LINE + printable(f"{clock}  {what}")[:width])
            elif what != self._shown:
                self._write(printable(f"{clock}  {what}") + "\n")
            self._shown = what

    def record(self, data: bytes) -> None:
        """Write `data`, or raise OSError: for what must not get lost without a word."""
        if self.stream is None:
            raise OSError("it is closed")
        with self._lock:
            self._clear()
            self.stream.flush()
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self.stream.fileno(), rest) :]

    def take_the_log(self) -> None:
        """Let warnings of the log through here, where they do not tear the line of progress."""
        root = logging.getLogger()
        root.handlers[:] = [_LogHandler(self)]
        root.setLevel(logging.WARNING)

    def _clear(self) -> None:
        if self._is_terminal and self._shown:
            self._write(CLEAR_LINE)
        if self._is_terminal:
            self._shown = ""

    def _write(self, text: str) -> None:
        if self.stream is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(text)
            self.stream.flush()


class _LogHandler(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen
        self.setFormatter(Formatter("{levelname}: {message}", style="{"))

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.say(self.format(record))


def printable(text: str) -> str:
    """Write control characters visibly: a broker's words must not steer a terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "␀" for character in text)


def leave_quietly(*streams: TextIO | None) -> None:
    """Flush, and where the reader is gone keep the interpreter from ending with a status of its own for it."""
    for stream in filter(None, streams):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
