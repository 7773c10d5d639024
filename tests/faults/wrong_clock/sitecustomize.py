"""Set the wall clock of a Python process WRONG_BY_SECONDS off: run first where this folder stands on PYTHONPATH.

The monotonic clock, which measures durations, goes on as it was.
"""

import datetime
import os
import time

_seconds = float(os.environ["WRONG_BY_SECONDS"])
_right_time, _right_time_ns, _right = time.time, time.time_ns, datetime.datetime


class _Meta(type):
    # What everybody else makes are datetimes of the right class, and they must pass for this one.
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _right)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _right)


class _Wrong(_right, metaclass=_Meta):
    def __new__(cls, *arguments, **keywords):  # type: ignore[no-untyped-def]
        return _right(*arguments, **keywords)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return _right.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> datetime.datetime:  # type: ignore[override]
        return _right.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> datetime.datetime:  # type: ignore[override]
        return cls.now()


time.time = lambda: _right_time() + _seconds
time.time_ns = lambda: _right_time_ns() + int(_seconds * 1e9)
datetime.datetime = _Wrong  # type: ignore[misc]
