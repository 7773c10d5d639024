"""Holds, in every test, that nothing is written after an audit entry in the same transaction.

Whoever appends has the end of the chain until the transaction is over. Two processes that then want a row of each
other's would wait for ever.
"""

import re
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

WRITES = re.compile(r"\s*(UPDATE|DELETE|REPLACE|INSERT)\b|.*\bFOR UPDATE\b", re.I | re.S)
# Spans are a part of it. On PostgreSQL entries go in by COPY, which no wrapper sees; the lock taken before is seen.
APPENDS = re.compile(r"\s*INSERT INTO \"?audit_(entry|span)\b|SELECT pg_advisory_xact_lock", re.I)


class Watch:
    """Sees every statement of one connection."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._appended_in: object = None

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        blocks = self._connection.atomic_blocks  # type: ignore[attr-defined]
        # A test may run in a transaction of its own, in which everything else is a part.
        block = blocks[0] if blocks and not blocks[0]._from_testcase else None
        if block is None or block is not self._appended_in:
            self._forget()
        elif WRITES.match(sql) and not APPENDS.match(sql):
            raise AssertionError(f"written after an audit entry, in the same transaction: {sql[:200]}")
        result = execute(sql, params, many, context)
        if block is not None and APPENDS.match(sql):
            self._appended_in = block
            transaction.on_commit(self._forget, using=self._connection.alias)
        return result

    def _forget(self) -> None:
        self._appended_in = None


def watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    # A connection that is opened again keeps its wrappers: a second watch would only make every statement slower, and
    # the three hundredth would end the test in a RecursionError.
    if not any(isinstance(wrapper, Watch) for wrapper in connection.execute_wrappers):
        connection.execute_wrappers.append(Watch(connection))


def install() -> None:
    connection_created.connect(watch, dispatch_uid="last-in-its-transaction")
