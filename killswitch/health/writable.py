"""Whether the database would refuse to be written to, found out without writing."""

from django.db import DatabaseError, connection


def refuses_writes() -> bool:
    """Say whether the database refuses writes. One that is only busy does not. Raises django.db.Error."""
    return _is_read_only_postgresql() if connection.vendor == "postgresql" else _is_read_only_sqlite()


def _is_read_only_postgresql() -> bool:
    """A server that stands by, or that was told to take nothing in."""
    with connection.cursor() as cursor:
        # Not of this transaction: a page that only reads may have made its own read-only.
        cursor.execute("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean")
        return bool(cursor.fetchone() == (True,))


def _is_read_only_sqlite() -> bool:
    """Begin to write, and do not: a file that cannot be written refuses at once."""
    with connection.cursor() as cursor:
        if connection.in_atomic_block or connection.connection.in_transaction:
            return False  # somebody writes or reads right here
        cursor.execute("PRAGMA busy_timeout")
        patience = int(cursor.fetchone()[0])
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
        except DatabaseError as error:
            return "locked" not in str(error)
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {patience}")
    return False
