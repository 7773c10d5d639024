"""Read entries as they were sealed: straight from the table into the form that their hashes were taken over."""

from collections.abc import Iterator
from functools import lru_cache
from types import NoneType
from typing import Any, NamedTuple

import msgspec
from django.core.exceptions import EmptyResultSet
from django.db import OperationalError, connection
from django.db.models import QuerySet, TextField
from django.db.models.expressions import RawSQL

from . import chain
from .models import Entry

BATCH = 5000
NUMBERS = ("account_id", "actor_id", "http_status", "latency_us")
UUIDS = ("attempt_id", "kill_id")
MAY_BE_NULL = ("filled_quantity", "leaves_quantity", "quantity", *UUIDS)

_NAMES = chain.Content.__struct_fields__
_NUMBERS = tuple(_NAMES.index(name) for name in NUMBERS)
_UUIDS = tuple(_NAMES.index(name) for name in UUIDS)
_AT = _NAMES.index("at")
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
    for piece in sealed_pieces(entries, after=after, up_to=up_to):
        yield from (Sealed(*row[:4]) for row in piece)


# As above, and the data of an entry; None where a column holds what the table does not declare.
Piece = list[tuple[int, bytes, str, str, str | None]]


def sealed_pieces(entries: QuerySet[Entry], *, after: int | None = 0, up_to: int | None = None) -> Iterator[Piece]:
    """Yield the same in pieces of BATCH, as plain tuples: for whoever has millions to read."""
    columns = [RawSQL(sql, [], TextField()) for sql in _columns()]  # noqa: S611  (no part of it comes from outside)
    wanted = entries.order_by("id") if up_to is None else entries.order_by("id").filter(id__lte=up_to)
    content_of = _content_of_sqlite if connection.vendor == "sqlite" else _content
    while True:
        these = wanted if after is None else wanted.filter(id__gt=after)
        rows = _fetched(these.values_list(*columns, "hash", "previous_hash")[:BATCH])
        if rows:
            yield [
                (row[_SEQUENCE], content_of(list(row)), row[-2], row[-1], row[_DATA])
                if _is_plain(row)
                # Somebody put something into the table that no entry holds, and that may read as if one did.
                else (row[_SEQUENCE], _odd(row), row[-2], row[-1], None)
                for row in rows
            ]
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
        try:
            cursor.execute(*query)
            return list(cursor.fetchall())
        except OperationalError as error:
            if "decode" not in str(error).lower():
                raise
    return _fetched_in_spite_of(query)


def _fetched_in_spite_of(query: tuple[str, Any]) -> list[tuple[Any, ...]]:
    """Read text that is none (SQLite keeps any bytes) in a way in which nobody could have sealed it."""
    raw: Any = connection.connection
    before, raw.text_factory = raw.text_factory, lambda text: text.decode("utf-8", "backslashreplace")
    try:
        with connection.cursor() as cursor:
            cursor.execute(*query)
            return list(cursor.fetchall())
    finally:
        raw.text_factory = before


_plain: set[tuple[type, ...]] = set()


def _is_plain(row: tuple[Any, ...]) -> bool:
    """Say whether every column holds what the table declares: SQLite keeps anything in any column."""
    types = tuple(map(type, row))
    if types in _plain:
        return True
    if any(kind not in kinds for kind, kinds in zip(types, _KINDS, strict=True)):
        return False
    _plain.add(types)
    return True


def _kinds(name: str) -> tuple[type, ...]:
    if name in NUMBERS:
        return int, NoneType
    if name == "sequence":
        return (int,)
    return (str, NoneType) if name in MAY_BE_NULL else (str,)


# Those of the two hashes last.
_KINDS = (*map(_kinds, _NAMES), (str,), (str,))
_SEQUENCE = _NAMES.index("sequence")
_LARGEST = chain.LARGEST_NUMBER


def _content(values: list[Any]) -> bytes:
    """Write the content of a row, which is changed by that."""
    try:
        values[_DATA] = msgspec.Raw(values[_DATA].encode())
        for index in _NUMBERS:
            number = values[index]
            if number is not None and not -_LARGEST <= number <= _LARGEST:
                values[index] = chain.number(number)
        return chain.seal(chain.Content(*values[:-2]))
    except (AttributeError, TypeError, ValueError):
        return _odd(values)


def _odd(values: Any) -> bytes:
    """Write a row that no entry can be: it must not stop whoever looks for it."""
    return repr(values).encode(errors="backslashreplace")


def _content_of_sqlite(values: list[Any]) -> bytes:
    text = values[_AT]
    if text[10:11] == " " and len(text) == 26:
        values[_AT] = f"{text[:10]}T{text[11:]}Z"
    elif text[10:11] == " " and len(text) == 19:
        values[_AT] = f"{text[:10]}T{text[11:]}.000000Z"
    else:
        # Written in a way in which no search by time finds it.
        values[_AT] = f"not a time as it is kept: {text}"
    for index in _UUIDS:
        if values[index] is not None:
            values[index] = _with_hyphens(values[index])
    return _content(values)


@lru_cache(maxsize=1000)  # the entries of a kill stand together
def _with_hyphens(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _columns() -> list[str]:
    """Return the SQL of each part of the form, in its order."""
    write = {"sqlite": _of_sqlite, "postgresql": _of_postgresql}[connection.vendor]
    return [write("id" if name == "sequence" else name) for name in _NAMES]


def _of_sqlite(name: str) -> str:
    # As part of an expression a time comes as its text: Django's converter goes by the column.
    if name == "at":
        return """CASE typeof("audit_entry"."at") WHEN 'text' THEN '' || "audit_entry"."at" END"""
    return f'"audit_entry"."{name}"'


def _of_postgresql(name: str) -> str:
    column = f'"audit_entry"."{name}"'
    if name == "at":
        return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return f"{column}::text" if name in UUIDS else column
