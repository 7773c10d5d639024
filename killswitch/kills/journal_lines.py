"""The lines of a break-glass journal: what is written, and how it is read again.

Each line is a JSON object with its number `n`. The first one names the format and holds the kill as it began; every
other one holds an `entry` of the audit trail, or what became of an `order`, a `sweep` or the `kill`.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import DateTimeField, Model

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft

from .decision import LARGEST_ACCOUNT
from .ledger import Lines
from .models import Kill, KilledOrder, Outcome, State, Sweep

FORMAT = "killswitch break-glass journal"
VERSION = 1
OF_THE_DATABASE = {"id", "kill", "sweep", "lease_token", "lease_until", "committed_at"}
KILL_FIELDS = [f.name for f in Kill._meta.concrete_fields if f.name not in OF_THE_DATABASE]
SWEEP_FIELDS = [f.name for f in Sweep._meta.concrete_fields if f.name not in OF_THE_DATABASE]
ORDER_FIELDS = [f.name for f in KilledOrder._meta.concrete_fields if f.name not in OF_THE_DATABASE]
DRAFT_FIELDS = [f.name for f in fields(Draft)]
# What a kill may say of itself. A journal is a file, and a file can be written by anybody.
KINDS = {
    *(Kind.KILL_ENGAGED, Kind.KILL_WIDENED, Kind.KILL_RELEASED, Kind.KILL_ENDED),
    *(Kind.SWEEP_ENDED, Kind.SWEEP_HOLDS, Kind.SWEEP_TAKEN_OVER, Kind.SWEEP_HANDED_OVER),
    *(Kind.ATTEMPT_ANNOUNCED, Kind.ATTEMPT_REHEARSED, Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED),
    *(Kind.ORDER_ARRIVED, Kind.ORDER_SUCCESSOR, Kind.ORDER_ACCEPTED, Kind.ORDER_ENDED),
}


class Unreadable(ValueError):
    """A line that is not what the format says; the message says why."""


# --- writing


def header(kill: Kill, **about: Any) -> dict[str, Any]:
    """Return the first line: the kill as it begins, and where it was written."""
    values = {name: getattr(kill, name) for name in KILL_FIELDS}
    return {"journal": FORMAT, "version": VERSION, "kill": {"id": kill.id, **values}, **about}


def objects(lines: Lines, accounts: Mapping[int, int]) -> Iterator[dict[str, Any]]:
    """Return what is written for `lines`; `accounts` are those of the sweeps by number."""
    for account_id, given in lines.sweeps.items():
        yield {"sweep": {"account_id": account_id, **given}}
    for draft in lines.entries:
        yield {"entry": _entry(draft)}
    for row in lines.orders:
        values = {name: getattr(row, name) for name in ORDER_FIELDS}
        yield {"order": {"account_id": accounts[row.sweep_id], **_without_nothing(values)}}
    if lines.kill:
        yield {"kill": lines.kill}


def encode(number: int, value: dict[str, Any]) -> bytes:
    """Return one line, its end included."""
    text = json.dumps({"n": number, **value}, default=_plain, ensure_ascii=False)
    # A lone surrogate is legal as a JSON escape and in no other way.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _entry(draft: Draft) -> dict[str, Any]:
    values = {name: getattr(draft, name) for name in DRAFT_FIELDS if name != "actor"}
    actor = {"id": draft.actor.id, "name": draft.actor.name, "source": draft.actor.source}
    return _without_nothing(values) | {"actor": actor}


def _without_nothing(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"a journal has no place for {type(value).__name__}")


# --- reading


def decode(line: bytes) -> tuple[int, dict[str, Any]]:
    """Return the number of a line and what it holds. Raises Unreadable."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise Unreadable("is not JSON") from None
    if not isinstance(value, dict) or type(number := value.pop("n", None)) is not int:
        raise Unreadable("is not a line of a journal")
    return number, value


def read_header(value: dict[str, Any]) -> Kill:
    """Return the kill as it began. Raises Unreadable."""
    if value.get("journal") != FORMAT:
        raise Unreadable("is not the beginning of a break-glass journal")
    if value.get("version") != VERSION:
        raise Unreadable(f"is of version {value.get('version')}: this program knows version {VERSION}")
    given = _object(value.get("kill"))
    kill = Kill(**_values(Kill, given, {"id", *KILL_FIELDS}))
    try:
        nothing = {f.name for f in Kill._meta.concrete_fields if f.null and getattr(kill, f.name) is None}
        kill.clean_fields(exclude={*nothing, "filter_data"})
        kill.filter.sentence()
    except (ValidationError, TypeError, AttributeError) as error:
        raise Unreadable(f"holds no kill: {_words(error)}") from None
    if not given.get("id") or kill.ended_at is not None:
        raise Unreadable("holds no kill as it begins")
    return kill


def read_account(given: dict[str, Any]) -> int:
    account_id = given.pop("account_id", None)
    if type(account_id) is not int or not 0 < account_id <= LARGEST_ACCOUNT:
        raise Unreadable("names no account")
    return account_id


def read_sweep(given: dict[str, Any]) -> dict[str, Any]:
    values = _values(Sweep, given, set(SWEEP_FIELDS))
    _one_of(values.get("state", State.RUNNING), State.values)
    return values


def read_kill_fields(given: dict[str, Any]) -> dict[str, Any]:
    values = _values(Kill, given, {*KILL_FIELDS} - {"idempotency_key", "engaged_at", "filter_data", "scope"})
    _one_of(values.get("state", State.RUNNING), State.values)
    return values


def read_order(given: dict[str, Any], sweep: Sweep) -> KilledOrder:
    values = _values(KilledOrder, given, set(ORDER_FIELDS))
    _one_of(values.get("outcome", Outcome.PENDING), Outcome.values)
    if not values.get("order_id") or not values.get("updated_at"):
        raise Unreadable("names no order")
    return KilledOrder(sweep_id=sweep.id, **values)


def read_entry(given: dict[str, Any], kill: Kill) -> Draft:
    actor = _object(given.pop("actor", {}))
    values = _values(Entry, given, set(DRAFT_FIELDS) - {"actor"})
    if values.get("kind") not in KINDS or values.get("kill_id") != kill.id or not values.get("at"):
        raise Unreadable("is no entry of this kill")
    if not isinstance(values.get("data", {}), dict):
        raise Unreadable("has data that are no object")
    who = Actor(
        id=actor["id"] if isinstance(actor.get("id"), int) else None,
        name=str(actor.get("name", "")),
        source=str(actor.get("source", "")),
    )
    return Draft(**values, actor=who)


def read_object(value: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what kind of line it is, and what it holds."""
    if len(value) != 1:
        raise Unreadable("holds not exactly one thing")
    [(kind, given)] = value.items()
    return kind, _object(given)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable("holds no object where one is due")
    return value


def _values(model: type[Model], given: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """Return the fields of a row, read as the columns' types."""
    odd = given.keys() - known
    if odd:
        raise Unreadable(f"has a field that nobody knows: {sorted(odd)[0][:40]}")
    try:
        return {name: _read(model._meta.get_field(name), value) for name, value in given.items()}
    except (ValidationError, FieldDoesNotExist, ArithmeticError, TypeError, ValueError) as error:
        raise Unreadable(f"has a value that cannot be read: {_words(error)}") from None


def _read(column: Any, value: Any) -> Any:
    """Read a value as its column's type. A time without a zone is none."""
    if value is None or not isinstance(column, DateTimeField):
        return column.to_python(value)
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at


def _one_of(value: Any, known: list[str]) -> None:
    if value not in known:
        raise Unreadable(f"has a word that nobody knows: {str(value)[:40]}")


def _words(error: Exception) -> str:
    return "; ".join(error.messages)[:200] if isinstance(error, ValidationError) else type(error).__name__
