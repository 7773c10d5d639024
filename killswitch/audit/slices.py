"""What one index holds of one value, in the order of the entries.

Neither database is left to choose the way. With a common value that stands only far away it would read the whole trail
backwards and throw nearly all of it away; with two values it would take the index of either.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from .models import Entry
from .search import Only

# The largest number that a database keeps.
LARGEST = 2**63 - 1
# What is empty does not stand in their index; a database takes that index only where it is told so in its own words.
FILLED = dict.fromkeys(("order_id", "client_order_id", "request_id", "symbol", "outcome"), "> ''")
FILLED |= dict.fromkeys(("account_id", "kill_id", "attempt_id"), "IS NOT NULL")


class Name(NamedTuple):
    """A value that stands in one column of an entry exactly."""

    column: str
    value: Any


# Any one of several names.
Names = tuple[Name, ...]


@dataclass(frozen=True)
class Stretch:
    """Entries from one number to another, both included."""

    first: int
    last: int

    def within(self, first: int, last: int) -> "Stretch":
        return Stretch(max(self.first, first), min(self.last, last))

    @property
    def is_empty(self) -> bool:
        return self.first > self.last


EVERYWHERE = Stretch(1, LARGEST)


def slice_of(name: Name, stretch: Stretch, newest_first: bool) -> QuerySet[Entry]:
    """Return the entries of a stretch that hold one value, in their order, as they stand in that column's index."""
    column, value = f'"audit_entry"."{name.column}"', _prepared(name)
    sign = "-" if newest_first else ""
    entries = Entry.objects.all()
    if name.column in FILLED:
        entries = entries.filter(_sql(f"{column} {FILLED[name.column]}"))
    if name.column == "attempt_id" or connection.vendor != "postgresql":
        held = _sql(f"{column} = %s", value)
        return entries.filter(held, id__gte=stretch.first, id__lte=stretch.last).order_by(f"{sign}id")
    # As a range of pairs in the order of pairs: no other index can give that, the primary key's least of all.
    pair = f'({column}, "audit_entry"."id")'
    held = _sql(f"{pair} >= (%s, %s) AND {pair} <= (%s, %s)", value, stretch.first, value, stretch.last)
    return entries.filter(held).order_by(f"{sign}{name.column}", f"{sign}id")


def any_of(names: Names) -> RawSQL:
    # On SQLite a + keeps a column from being looked up in an index.
    sign = "+" if connection.vendor == "sqlite" else ""
    told = " OR ".join(f'{sign}"audit_entry"."{name.column}" = %s' for name in names)
    return _sql(told or "1 = 0", *map(_prepared, names))


def covered(only: Only) -> RawSQL:
    """Narrow to what a limited reader sees, by no index: the same as `Only.covers` says."""
    sign = "+" if connection.vendor == "sqlite" else ""
    account, actor, name = (f'{sign}"audit_entry"."{column}"' for column in ("account_id", "actor_id", "actor_name"))
    of_account = f"{account} IN ({', '.join(['%s'] * len(only.account_ids))})" if only.account_ids else "1 = 0"
    own = f"({account} IS NULL AND {actor} = %s AND {name} = %s)"
    return _sql(f"({of_account} OR {own})", *only.account_ids, only.actor_id, only.actor_name)


def _sql(told: str, *values: object) -> RawSQL:
    return RawSQL(told, values, BooleanField())  # noqa: S611  (columns are named here, values are passed)


def _prepared(name: Name) -> object:
    field: Any = Entry._meta.get_field(name.column)
    return field.get_db_prep_value(name.value, connection)
