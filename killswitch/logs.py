"""How the log is written: a line of text or of JSON, without secrets, and without anybody waiting for its reader."""

import json
import logging
import os
import queue
import sys
import threading
import weakref
from datetime import UTC, datetime
from typing import Any

from .redaction import Formatter, redact
from .steps import Step

# Where nobody takes in what is written, for example because a pipe is full, so many lines wait. Then they are left out.
LINES_WAITING = 10_000
LAST_WORDS = 1.0  # seconds that the end of a process waits for its last lines

_handlers: "weakref.WeakSet[PatientHandler]" = weakref.WeakSet()


def time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class TextFormatter(Formatter):
    """A line for people; a step as key=value."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return time_of(record)


class JsonFormatter(logging.Formatter):
    """A line of JSON for programs; the fields of a step stand beside the others."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {"at": time_of(record), "level": record.levelname, "logger": record.name}
        if isinstance(record.msg, Step):
            told |= record.msg.fields
        else:
            told["message"] = record.getMessage()
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        # Value by value: what is secret must not take a part of the form with it.
        return json.dumps({name: _redacted(value) for name, value in told.items()}, ensure_ascii=False)


def _redacted(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else redact(str(value))


class PatientHandler(logging.StreamHandler[Any]):
    """Writes to stderr in a thread of its own: a log that nobody reads stops no kill."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.begin()
        _handlers.add(self)

    def begin(self) -> None:
        """Begin with nothing to write: also in a child, which has no thread but the one that forked."""
        # Of the queues the one that a signal's handler may use in the middle of a use of the same thread.
        self._waiting: queue.SimpleQueue[logging.LogRecord | threading.Event] = queue.SimpleQueue()
        self._left_out = 0
        self._starting = threading.RLock()
        self._writer: threading.Thread | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record, without waiting for the stream."""
        if not self.filter(record):
            return False
        if self._writer is None:
            self._start()
        if self._waiting.qsize() < LINES_WAITING:
            self._waiting.put(record)
        else:
            self._left_out += 1
        return True

    def flush(self) -> None:
        """Wait for what is not written yet, but not for long."""
        if self._writer is not None:
            written = threading.Event()
            self._waiting.put(written)
            written.wait(LAST_WORDS)

    def _start(self) -> None:
        with self._starting:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="log", daemon=True)
                self._writer.start()

    def _write(self) -> None:
        while True:
            waited = self._waiting.get()
            if isinstance(waited, threading.Event):
                waited.set()
                continue
            self._put_down(waited)
            left_out, self._left_out = self._left_out, 0
            if left_out:
                self._put_down(_of_those_left_out(left_out))

    def _put_down(self, record: logging.LogRecord) -> None:
        try:
            self.stream.write(self.format(record) + self.terminator)
            self.stream.flush()
        except Exception:
            self.handleError(record)


def _of_those_left_out(lines: int) -> logging.LogRecord:
    told = "%s lines were left out here: nobody took in what was written"
    return logging.LogRecord(__name__, logging.ERROR, __file__, 0, told, (lines,), None)


def _begin_anew() -> None:
    for handler in list(_handlers):
        handler.begin()


os.register_at_fork(after_in_child=_begin_anew)
