"""Read many things as they stood at one moment, while others go on writing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Protocol, TypeVar

from django.db import connection, transaction

T = TypeVar("T")


class Row(Protocol):
    pk: Any


R = TypeVar("R", bound=Row)

_answers: ContextVar[dict[Any, Any] | None] = ContextVar("answers", default=None)
_began_at: ContextVar[float | None] = ContextVar("began_at", default=None)


def read_as_of() -> float:
    """Return by the monotonic clock how old what is read now may be: as the moment that one stands in, or as now."""
    began_at = _began_at.get()
    return time.monotonic() if began_at is None else began_at


def read_once(ask: Callable[[R], T]) -> Callable[[R], T]:
    """Ask the database only once about a row within one moment: it would say the same again."""

    @wraps(ask)
    def asked(row: R) -> T:
        answers = _answers.get()
        if answers is None:
            return ask(row)
        key = (ask, row.pk)
        if key not in answers:
            answers[key] = ask(row)
        found: T = answers[key]
        return found

    return asked


@contextmanager
def one_moment() -> Iterator[None]:
    """Show the database as it is when the first question is asked. For reading only; keeps nobody from writing.

    Inside a moment it is that one. Inside a transaction that has begun already it changes nothing: what is read there
    need not be of one moment.
    """
    if _began_at.get() is not None:
        yield
        return
    began, answers = _began_at.set(time.monotonic()), _answers.set(None if connection.in_atomic_block else {})
    try:
        with _one_moment():
            yield
    finally:
        _answers.reset(answers)
        _began_at.reset(began)


@contextmanager
def _one_moment() -> Iterator[None]:
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "sqlite":
        yield from _deferred()
    else:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # It holds nothing that anybody waits for, and may think for longer between two questions than who writes.
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'")
            yield


def _deferred() -> Iterator[None]:
    # Django would begin it as IMMEDIATE, and whoever presses the button would have to wait for its end.
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")
