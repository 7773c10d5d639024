"""Read the audit trail."""

import contextlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from .models import Entry, Kind


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a reader looks for. Empty fields match everything."""

    text: str = ""
    kind: str = ""
    account_id: int | None = None
    kill_id: uuid.UUID | None = None
    actor: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of entries, newest first."""

    entries: list[Entry]
    older: int | None = None  # pass as `before` for the next page
    newer: int | None = None  # pass as `after` for the page before


def find(search: Search, *, before: int | None = None, after: int | None = None, size: int = 100) -> Page:
    """Return a page of what matches, by keyset: `before` and `after` are entry numbers."""
    matching = _matching(search)
    if after is not None:
        entries = list(matching.filter(id__gt=after).order_by("id")[: size + 1])
        more_newer, entries = len(entries) > size, list(reversed(entries[:size]))
        more_older = bool(entries)
    else:
        older = matching if before is None else matching.filter(id__lt=before)
        entries = list(older.order_by("-id")[: size + 1])
        more_older, entries = len(entries) > size, entries[:size]
        more_newer = before is not None and bool(entries)
    return Page(
        entries=entries,
        older=entries[-1].id if entries and more_older else None,
        newer=entries[0].id if entries and more_newer else None,
    )


def _matching(search: Search) -> QuerySet[Entry]:
    exact = {
        "kind": search.kind,
        "account_id": search.account_id,
        "kill_id": search.kill_id,
        "actor_name": search.actor,
        "outcome": search.outcome,
        "at__gte": search.since,
        "at__lte": search.until,
    }
    entries = Entry.objects.filter(**{name: value for name, value in exact.items() if value not in ("", None)})
    return entries.filter(_names(search.text)) if search.text else entries


def _names(text: str) -> Q:
    """Match a name that stands in an entry exactly: an order, a symbol, a person, an account, a kill."""
    names = (
        Q(order_id=text) | Q(client_order_id=text) | Q(request_id=text) | Q(actor_name=text) | Q(symbol=text.upper())
    )
    if text.isascii() and text.isdigit() and len(text) < 19:
        names |= Q(account_id=int(text))
    with contextlib.suppress(ValueError):
        names |= Q(kill_id=uuid.UUID(text)) | Q(attempt_id=uuid.UUID(text))
    return names


def of_kill(kill_id: uuid.UUID) -> QuerySet[Entry]:
    """Return the entries of one kill in their order."""
    return Entry.objects.filter(kill_id=kill_id).order_by("id")


def unanswered(kill_id: uuid.UUID, account_ids: Iterable[int]) -> list[Entry]:
    """Return the announced attempts of a kill on some accounts that have neither an answer nor the note of none."""
    ends = Entry.objects.filter(
        attempt_id=OuterRef("attempt_id"), kind__in=[Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED]
    )
    announced = Entry.objects.filter(kill_id=kill_id, kind=Kind.ATTEMPT_ANNOUNCED, account_id__in=list(account_ids))
    return list(announced.filter(~Exists(ends)).order_by("id"))
