"""Read the audit trail."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet, TextField, Value
from django.db.models.functions import Concat

from .chain import GENESIS, hash_of, link
from .models import Entry, Kind
from .rows import sealed
from .search import Search
from .slices import LARGEST
from .walk import Walk


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of entries."""

    entries: list[Entry]
    older: int | None = None  # pass as `before` for the page of older ones
    newer: int | None = None  # pass as `after` for the page of newer ones


def find(
    search: Search,
    *,
    before: int | None = None,
    after: int | None = None,
    oldest_first: bool = False,
    size: int = 100,
) -> Page:
    """Return a page of what matches, by keyset: `before` and `after` are entry numbers."""
    upwards = after is not None or (oldest_first and before is None)
    first = 1 if after is None else after + 1
    last = LARGEST if before is None else before - 1
    numbers = Walk(search).numbers(first=first, last=last, newest_first=not upwards, at_most=size + 1)
    is_more, numbers = len(numbers) > size, sorted(numbers[:size])
    # There is something on the side that one comes from.
    has_newer = is_more if upwards else before is not None
    has_older = after is not None if upwards else is_more
    entries = Entry.objects.defer("data").in_bulk(numbers)
    return Page(
        entries=[entries[number] for number in (numbers if oldest_first else reversed(numbers))],
        older=numbers[0] if numbers and has_older else None,
        newer=numbers[-1] if numbers and has_newer else None,
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How an entry stands in the chain, looked at just now."""

    holds: bool  # its hash is that of what it tells
    follows: bool  # it names the hash of the one before
    is_followed: bool  # the one after it names its hash
    previous: int | None
    next: int | None

    @property
    def is_good(self) -> bool:
        return self.holds and self.follows and self.is_followed


def standing_of(entry: Entry) -> Standing:
    """Take an entry's hash anew, and look at its neighbours."""
    near = {row.sequence: row for row in sealed(Entry.objects.all(), after=entry.id - 2, up_to=entry.id + 1)}
    before, own, after = (near.get(entry.id + step) for step in (-1, 0, 1))
    holds = own is not None and link(hash_of(own.content), own.previous_hash) == own.hash
    expected = before.hash if before else GENESIS if entry.id == 1 else ""
    return Standing(
        holds=holds,
        follows=entry.previous_hash == expected,
        is_followed=after is None or after.previous_hash == entry.hash,
        previous=entry.id - 1 if before else None,
        next=entry.id + 1 if after else None,
    )


def head() -> int:
    """Return the number of the last entry there is."""
    return Entry.objects.order_by("-id").values_list("id", flat=True).first() or 0


def of_kill(kill_id: uuid.UUID) -> QuerySet[Entry]:
    """Return the entries of one kill in their order."""
    return Entry.objects.filter(kill_id=kill_id).order_by("id")


def first_answer(kill_id: uuid.UUID) -> Entry | None:
    """Return the answer to a cancel of a kill that was written first."""
    # By the kill's own entries: left to choose, a database walks from the first answer that was ever written.
    kind = Concat("kind", Value(""), output_field=TextField())
    answers = of_kill(kill_id).alias(kind_as_text=kind).filter(kind_as_text=Kind.ATTEMPT_ANSWERED)
    return answers.only("at", "latency_us").first()


def unanswered(kill_id: uuid.UUID, account_ids: Iterable[int]) -> list[Entry]:
    """Return the announced attempts of a kill on some accounts that have neither an answer nor the note of none."""
    ends = Entry.objects.filter(
        attempt_id=OuterRef("attempt_id"), kind__in=[Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED]
    )
    announced = Entry.objects.filter(kill_id=kill_id, kind=Kind.ATTEMPT_ANNOUNCED, account_id__in=list(account_ids))
    return list(announced.filter(~Exists(ends)).order_by("id"))
