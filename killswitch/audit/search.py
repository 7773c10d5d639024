"""What a reader looks for in the trail."""

import uuid
from dataclasses import dataclass, fields
from datetime import datetime, time
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from .chain import plainly
from .models import Entry


@dataclass(frozen=True, kw_only=True)
class Only:
    """What a reader gets to see who may not see all: entries of some accounts, and what they did themselves."""

    account_ids: tuple[int, ...]
    actor_id: int
    actor_name: str

    def covers(self, entry: Entry) -> bool:
        if entry.account_id is not None:
            return entry.account_id in self.account_ids
        return entry.actor_id == self.actor_id and entry.actor_name == self.actor_name


@dataclass(frozen=True, kw_only=True)
class Search:
    """All that is given has to match; an empty field matches everything. Times are included."""

    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    actor_name: str = ""
    account_id: int | None = None
    symbol: str = ""
    order_id: str = ""
    replacements: bool = False
    client_order_id: str = ""
    request_id: str = ""
    kill_id: uuid.UUID | None = None
    attempt_id: uuid.UUID | None = None
    kind: str = ""
    outcome: str = ""
    only: Only | None = None

    def given(self) -> dict[str, Any]:
        """Return what is given, by field."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value not in ("", None, False)}

    def told(self) -> dict[str, Any]:
        """Return what is given as an entry keeps it."""
        given = self.given()
        only = given.pop("only", None)
        limited = {"only": {"accounts": list(only.account_ids), "person": only.actor_name}} if only else {}
        told: dict[str, Any] = plainly({**given, **limited})
        return told

    def __str__(self) -> str:
        told = self.told()
        only = told.pop("only", None)
        words = [f"{WORDS[name]} {value}".replace(" True", "") for name, value in told.items()]
        return ", ".join([*words, _limited(only)] if only else words)


def _limited(only: dict[str, Any]) -> str:
    accounts = only["accounts"]
    named = ", ".join(map(str, accounts[:NAMED_AT_MOST])) or "none"
    more = f" and {len(accounts) - NAMED_AT_MOST} more" if len(accounts) > NAMED_AT_MOST else ""
    return f"limited to accounts {named}{more} and to what {only['person']} did"


NAMED_AT_MOST = 10
WORDS = {
    "text": "find",
    "since": "since",
    "until": "until",
    "actor_name": "person",
    "account_id": "account",
    "symbol": "symbol",
    "order_id": "order",
    "replacements": "with what replaces it",
    "client_order_id": "client order id",
    "request_id": "request id",
    "kill_id": "kill",
    "attempt_id": "attempt",
    "kind": "kind",
    "outcome": "outcome",
}


def moment(text: str, *, is_end: bool = False) -> datetime:
    """Read a day or a time, UTC where it does not say otherwise. A day as an end is the whole of it.

    Raises ValueError.
    """
    day = parse_date(text)
    at = parse_datetime(text) if day is None else datetime.combine(day, time.max if is_end else time.min)
    if at is None:
        raise ValueError(text)
    try:
        return timezone.make_aware(at, timezone.get_default_timezone()) if timezone.is_naive(at) else _utc(at)
    except OverflowError:
        raise ValueError(text) from None


def _utc(at: datetime) -> datetime:
    return at.astimezone(timezone.get_default_timezone())
