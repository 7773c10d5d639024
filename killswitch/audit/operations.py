"""Append to the audit trail: the only way an entry comes into being."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from .models import Entry


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


_COLUMNS = tuple(field for field in Entry._meta.concrete_fields if not field.primary_key)
# What a database driver cannot take as it is.
_TYPED = {"at", "kill_id", "attempt_id", "quantity", "leaves_quantity", "filled_quantity", "data"}


def append(drafts: Iterable[Draft]) -> None:
    """Write `drafts` in their order. Call it inside the transaction that changes what they tell of.

    Past Django's own bulk_create, which takes twice as long: on SQLite nobody else can write meanwhile.
    """
    writers = [(field.name, _writer(field)) for field in _COLUMNS]
    rows = [[write(value) for value, (_, write) in zip(_values(draft), writers, strict=True)] for draft in drafts]
    if not rows:
        return
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in _COLUMNS)
    marks = ", ".join(["%s"] * len(_COLUMNS))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {Entry._meta.db_table} ({columns}) VALUES ({marks})", rows)  # noqa: S608


def _writer(field: Any) -> Callable[[Any], Any]:
    """Return what turns a value into one that the driver takes."""
    return (lambda value: field.get_db_prep_save(value, connection)) if field.name in _TYPED else _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _values(draft: Draft) -> list[Any]:
    """Return the values of an entry in the order of the columns."""
    actor = {
        "actor_id": draft.actor.id,
        "actor_name": _storable(draft.actor.name)[:150],
        "source": _storable(draft.actor.source)[:200],
    }
    return [actor[field.name] if field.name in actor else _storable(getattr(draft, field.name)) for field in _COLUMNS]


def _storable(value: Any) -> Any:
    """PostgreSQL keeps no NUL and no lone surrogate in a text: write them visibly instead of losing the entry."""
    if isinstance(value, str):
        if value.isascii() and "\x00" not in value:
            return value
        return value.replace("\x00", "␀").encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
