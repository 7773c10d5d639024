"""Make and write rows of orders, thousands at a time: what is written of each stands between a cancel and the next."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, models

from killswitch import many_rows

from .models import KilledOrder

# Set once, when a sweep first sees the order.
KEPT = ("sweep_id", "order_id", "filled_before")
_FIELDS = [field for field in KilledOrder._meta.concrete_fields if field.name != "id"]
_DEFAULTS = {field.attname: field.get_default() for field in KilledOrder._meta.concrete_fields}


def new_row(sweep_id: int, order_id: str, now: datetime) -> KilledOrder:
    """Return the row of an order of which nothing is known yet.

    As if it came from the database: Django takes four times as long to make one of fields by name.
    """
    values = {**_DEFAULTS, "sweep_id": sweep_id, "order_id": order_id, "updated_at": now}
    return KilledOrder.from_db(DEFAULT_DB_ALIAS, list(values), list(values.values()))


def write_rows(rows: Collection[KilledOrder]) -> None:
    """Insert `rows`, or change those that are there already of the same sweep and order.

    By hand, since Django's `bulk_create` spends a third of a large kill on it.
    """
    if not rows:
        return
    values = [[write(getattr(row, name)) for name, write in _writers(connection.vendor)] for row in rows]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # One statement: after executemany, which is a pipeline, the server never takes a transaction for idle.
            columns = [list(column) for column in zip(*values, strict=True)]
            cursor.execute(f"{_insert()} {_arrays()} {_or_change()}", columns)
        else:
            many_rows.insert(cursor, _insert(), values, _or_change())


@cache
def _insert() -> str:
    names = ", ".join(f'"{field.column}"' for field in _FIELDS)
    return f"INSERT INTO {KilledOrder._meta.db_table} ({names})"


@cache
def _or_change() -> str:
    columns = [field.column for field in _FIELDS if field.column not in KEPT]
    changed = ", ".join(f'"{column}" = excluded."{column}"' for column in columns)
    return f"ON CONFLICT (sweep_id, order_id) DO UPDATE SET {changed}"


@cache
def _arrays() -> str:
    arrays = ", ".join(f"%s::{field.db_type(connection)}[]" for field in _FIELDS)
    return f"SELECT * FROM unnest({arrays})"  # noqa: S608  (no part of it comes from outside)


@cache
def _writers(vendor: str) -> list[tuple[str, Callable[[Any], Any]]]:
    return [(field.attname, _writer(field, vendor)) for field in _FIELDS]


def _writer(field: "models.Field[Any, Any]", vendor: str) -> Callable[[Any], Any]:
    """Return what turns a value of this field into one that the driver takes."""
    if isinstance(field, models.DateTimeField) and vendor == "sqlite":
        # Of a thousand orders most are asked, accepted and ended at the same time.
        return lru_cache(maxsize=1000)(_sqlite_time)
    if isinstance(field, models.DateTimeField | models.BooleanField | models.IntegerField | models.ForeignKey):
        return lambda value: value
    return lambda value: None if value is None else field.get_prep_value(value)


def _sqlite_time(value: datetime | None) -> str | None:
    """Write a time as Django does for SQLite: in UTC, and without saying so."""
    return None if value is None else str(value.astimezone(UTC).replace(tzinfo=None))
