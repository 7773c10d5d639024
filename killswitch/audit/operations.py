"""Append to the audit trail: the only way an entry comes into being."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from itertools import islice
from typing import Any

import msgspec
from django.db import connection, transaction

from killswitch import many_rows

from . import chain
from .models import Entry, Span

# Whoever appends on PostgreSQL holds this lock: any number that nothing else takes.
LOCK = 0x61756469
# Entries that are written in one statement: computed in a fraction of a second.
PIECE = 2000


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who did it and from where, as plain copies."""

    id: int | None = None
    name: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An entry that is not yet written. `at` is UTC."""

    kind: str
    at: datetime
    sentence: str
    actor: Actor = Actor()
    kill_id: uuid.UUID | None = None
    attempt_id: uuid.UUID | None = None
    account_id: int | None = None
    order_id: str = ""
    client_order_id: str = ""
    symbol: str = ""
    side: str = ""
    quantity: Decimal | None = None
    leaves_quantity: Decimal | None = None
    filled_quantity: Decimal | None = None
    broker_status: str = ""
    outcome: str = ""
    http_status: int | None = None
    latency_us: int | None = None
    request_id: str = ""
    data: dict[str, Any] = field(default_factory=dict)


_COLUMNS = tuple(Entry._meta.concrete_fields)
# What a database driver cannot take as it is.
_TYPED = {"at", "kill_id", "attempt_id"}


def append(drafts: Iterable[Draft]) -> None:
    """Write `drafts` in their order, at the end of the chain.

    Call it last in the transaction that changes what they tell of. Until that is over nobody else can append, and who
    waits for the end of the chain may hold what this transaction would still have to lock.
    """
    told = list(drafts)
    if told:
        with transaction.atomic(savepoint=False):
            sequence, previous_hash = _head()
            _insert(told, sequence, previous_hash)
            _end_spans(sequence, sequence + len(told))


def _head() -> tuple[int, str]:
    """Take the end of the chain for this transaction, and return the number and the hash of its last entry.

    On SQLite the transaction has had the whole database since it began. On PostgreSQL the lock is a statement of its
    own: under READ COMMITTED the one that reads sees only what was committed before it began. Both go in one message,
    for a DELETE waits for each.
    """
    last = f"SELECT id, hash FROM {Entry._meta.db_table} ORDER BY id DESC LIMIT 1"  # noqa: S608
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"SELECT pg_advisory_xact_lock({LOCK}); {last}")
            cursor.nextset()
        else:
            cursor.execute(last)
        return cursor.fetchone() or (0, chain.GENESIS)


def _insert(drafts: Sequence[Draft], sequence: int, previous_hash: str) -> None:
    """Write rows in the database's fastest way, past Django's own bulk_create: nobody else can append meanwhile.

    In pieces: PostgreSQL ends a transaction that thinks for too long between two statements.
    """
    rows = _rows(drafts, sequence, previous_hash)
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in _COLUMNS)
    while piece := list(islice(rows, PIECE)):
        _insert_piece(piece, columns)


def _insert_piece(rows: Sequence[Sequence[Any]], columns: str) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Not executemany, which is a pipeline: after one the server never takes a transaction for idle, and whoever
            # froze here would hold the end of the chain for ever. What a COPY raises is not of Django's kind by itself.
            copied = f"COPY {Entry._meta.db_table} ({columns}) FROM STDIN"
            with connection.wrap_database_errors, cursor.copy(copied) as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            many_rows.insert(cursor, f"INSERT INTO {Entry._meta.db_table} ({columns})", rows)


def _end_spans(before: int, last: int) -> None:
    """Note the times of each stretch that these entries made whole. In SQL: no odd value may stop what appends.

    Where there is a note already, somebody cut the trail off and it has grown again: nothing may stop what appends.
    """
    for number in range(before // Span.SIZE + 1, last // Span.SIZE + 1):
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {Span._meta.db_table} (id, first_at, last_at) "  # noqa: S608
                f"SELECT %s, first_at, last_at FROM (SELECT min(at) AS first_at, max(at) AS last_at "
                f"FROM {Entry._meta.db_table} WHERE id > %s AND id <= %s) AS told "
                f"WHERE NOT EXISTS (SELECT 1 FROM {Span._meta.db_table} WHERE id = %s)",
                [number, (number - 1) * Span.SIZE, number * Span.SIZE, number],
            )


def _rows(drafts: Sequence[Draft], sequence: int, previous_hash: str) -> Iterator[list[Any]]:
    writers = [
        (field.name, _writer(field.name, connection.vendor) if field.name in _TYPED else None) for field in _COLUMNS
    ]
    for draft in drafts:
        sequence += 1
        values = _values(draft)
        content = chain.seal(_content(values, sequence))
        own_hash = chain.link(chain.hash_of(content), previous_hash)
        values |= {"id": sequence, "previous_hash": previous_hash, "hash": own_hash}
        yield [write(values[name]) if write else values[name] for name, write in writers]
        previous_hash = own_hash


@cache
def _writer(name: str, vendor: str) -> Callable[[Any], Any]:
    """Return what turns a value of a field into one that the driver of a database takes."""
    field: Any = Entry._meta.get_field(name)
    # Of a thousand entries most are of one kill, and many of one time.
    return lru_cache(maxsize=1000)(lambda value: field.get_db_prep_save(value, connection))


def _values(draft: Draft) -> dict[str, Any]:
    """Return what an entry keeps of a draft, by column."""
    return {
        "at": draft.at,
        "kind": draft.kind,
        "actor_id": draft.actor.id,
        "actor_name": _storable(draft.actor.name)[:150],
        "source": _storable(draft.actor.source)[:200],
        "kill_id": draft.kill_id,
        "attempt_id": draft.attempt_id,
        "account_id": draft.account_id,
        "order_id": _storable(draft.order_id),
        "client_order_id": _storable(draft.client_order_id),
        "symbol": _storable(draft.symbol),
        "side": _storable(draft.side),
        "quantity": _text(draft.quantity),
        "leaves_quantity": _text(draft.leaves_quantity),
        "filled_quantity": _text(draft.filled_quantity),
        "broker_status": _storable(draft.broker_status),
        "outcome": _storable(draft.outcome),
        "http_status": draft.http_status,
        "latency_us": draft.latency_us,
        "request_id": _storable(draft.request_id),
        "sentence": _storable(draft.sentence),
        "data": chain.canonical(_storable(draft.data)).decode() if draft.data else "{}",
    }


def _content(values: dict[str, Any], sequence: int) -> chain.Content:
    return chain.Content(
        **values
        | {
            "sequence": sequence,
            "at": chain.time_text(values["at"]),
            "kill_id": _name(values["kill_id"]),
            "attempt_id": _name(values["attempt_id"]),
            "account_id": chain.number(values["account_id"]),
            "actor_id": chain.number(values["actor_id"]),
            "http_status": chain.number(values["http_status"]),
            "latency_us": chain.number(values["latency_us"]),
            "data": msgspec.Raw(values["data"].encode()),
        }
    )


def _name(value: uuid.UUID | None) -> str | None:
    return None if value is None else str(value)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def _storable(value: Any) -> Any:
    """PostgreSQL keeps no NUL and no lone surrogate in a text: write them visibly instead of losing the entry."""
    if isinstance(value, str):
        if value.isascii() and "\x00" not in value:
            return value
        return value.replace("\x00", "␀").encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
