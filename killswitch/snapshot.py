"""Read many things as they stood at one moment, while others go on writing."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def one_moment() -> Iterator[None]:
    """Show the database as it is when the first question is asked. For reading only; keeps nobody from writing.

    Inside a transaction that has begun already it changes nothing.
    """
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
