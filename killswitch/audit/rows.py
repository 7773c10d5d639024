"""Read entries as they were sealed: straight from the table into the form that their hashes were taken over."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet, TextField
from django.db.models.expressions import RawSQL

from . import chain
from .models import Entry

BATCH = 5000
NUMBERS = ("account_id", "actor_id", "http_status", "latency_us")
UUIDS = ("attempt_id", "kill_id")

_NAMES = chain.Content.__struct_fields__
_NUMBERS = tuple(_NAMES.index(name) for name in NUMBERS)
_UUIDS = tuple(_NAMES.index(name) for name in UUIDS)
_DATA = _NAMES.index("data")


class Sealed(NamedTuple):
    """One entry: what it tells in its canonical form, and the two hashes that stand beside it in the table."""

    sequence: int
    content: bytes
    hash: str
    previous_hash: str

    @property
    def line(self) -> bytes:
        return chain.line(self.content, self.hash, self.previous_hash)

    @property
    def skeleton(self) -> bytes:
        content_hash = chain.hash_of(self.content)
        return chain.skeleton(self.sequence, content_hash, self.hash, self.previous_hash)


def sealed(entries: QuerySet[Entry], *, after: int | None = 0, up_to: int | None = None) -> Iterator[Sealed]:
    """Yield `entries` in their order, those numbered above `after` and at most `up_to`; a few thousand in memory.

    Since nothing is ever changed, the pieces that it reads fit together whatever is appended meanwhile.
    """
    columns = [RawSQL(sql, [], TextField()) for sql in _columns()]  # noqa: S611  (no part of it comes from outside)
    wanted = entries.order_by("id") if up_to is None else entries.order_by("id").filter(id__lte=up_to)
    content_of = _content_of_sqlite if connection.vendor == "sqlite" else _content
    while True:
        these = wanted if after is None else wanted.filter(id__gt=after)
        rows = _fetched(these.values_list(*columns, "hash", "previous_hash")[:BATCH])
        for row in rows:
            yield Sealed(row[_SEQUENCE], content_of(row), row[-2], row[-1])
        if len(rows) < BATCH:
            return
        after = rows[-1][_SEQUENCE]


def _fetched(wanted: QuerySet[Entry, Any]) -> list[tuple[Any, ...]]:
    """Ask for rows as the driver gives them: Django would look at each value of each again."""
    try:
        query = wanted.query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(*query)
        return list(cursor.fetchall())


_SEQUENCE = _NAMES.index("sequence")


def _content(row: Sequence[Any]) -> bytes:
    values = list(row[:-2])
    try:
        values[_DATA] = msgspec.Raw(values[_DATA].encode())
        for index in _NUMBERS:
            number = values[index]
            if number is not None and not -(2**53) < number < 2**53:
                values[index] = chain.number(number)
        return chain.seal(chain.Content(*values))
    except (AttributeError, TypeError, ValueError):
        # Somebody put something into the table that no entry holds: it must not stop whoever looks for it.
        return repr(row).encode()


def _content_of_sqlite(row: Sequence[Any]) -> bytes:
    values = list(row)
    try:
        for index in _UUIDS:
            text = values[index]
            if text is not None:
                values[index] = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    except TypeError:
        return repr(row).encode()
    return _content(values)


def _columns() -> list[str]:
    """Return the SQL of each part of the form, in its order."""
    write = {"sqlite": _of_sqlite, "postgresql": _of_postgresql}[connection.vendor]
    return [write("id" if name == "sequence" else name) for name in _NAMES]


def _of_sqlite(name: str) -> str:
    column = f'"audit_entry"."{name}"'
    if name == "at":
        text = f"substr({column}, 1, 10) || 'T' || substr({column}, 12)"
        return f"CASE length({column}) WHEN 26 THEN {text} || 'Z' WHEN 19 THEN {text} || '.000000Z' ELSE {column} END"
    return column


def _of_postgresql(name: str) -> str:
    column = f'"audit_entry"."{name}"'
    if name == "at":
        return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return f"{column}::text" if name in UUIDS else column
