"""Walk along one index of the trail, in the order of the entries, whatever else a search asks for."""

from collections.abc import Iterator
from datetime import datetime
from heapq import merge
from itertools import chain, pairwise

from django.db.models import Max, Q, QuerySet

from .models import Entry, Span
from .names import named
from .rows import BATCH, Sealed, sealed
from .search import Search
from .slices import LARGEST, Stretch, any_of, covered, slice_of

# How far values are counted to tell which of them is the rarest.
COUNTED = 10_000
# More stretches of the trail than these are not looked into one by one.
STRETCHES = 16


class Walk:
    """The entries of one search, up to one that was the last when it began."""

    def __init__(self, search: Search, *, up_to: int = LARGEST) -> None:
        self.search = search
        self._stretches = [part for s in stretches(search) if not (part := s.within(1, up_to)).is_empty]
        self._named = named(search)
        self._along = self._rarest() if len(self._named) > 1 else 0

    def numbers(
        self, *, first: int = 1, last: int = LARGEST, newest_first: bool = False, at_most: int = BATCH
    ) -> list[int]:
        """Return the numbers of the matching entries that come first, from there to there."""
        found: list[int] = []
        for stretch in reversed(self._stretches) if newest_first else self._stretches:
            part = stretch.within(first, last)
            if not part.is_empty and len(found) < at_most:
                found += self._in(part, newest_first, at_most - len(found))
        return found

    def first_and_last(self) -> tuple[int, int] | None:
        """Return the numbers of the first and of the last entry that match."""
        first = self.numbers(at_most=1)
        return (first[0], self.numbers(newest_first=True, at_most=1)[0]) if first else None

    def sealed(self) -> Iterator[Sealed]:
        """Yield all matching entries in their order, a few thousand in memory."""
        if self._named:
            for numbers in self._batches():
                yield from sealed(Entry.objects.filter(id__in=numbers))
            return
        for stretch in self._stretches:
            yield from sealed(self._besides(Entry.objects.all()), after=stretch.first - 1, up_to=stretch.last)

    def each_number(self) -> Iterator[int]:
        """Yield the numbers of all matching entries in their order."""
        return chain.from_iterable(self._batches())

    def _batches(self) -> Iterator[list[int]]:
        first = 1
        while numbers := self.numbers(first=first):
            yield numbers
            first = numbers[-1] + 1

    def _in(self, stretch: Stretch, newest_first: bool, at_most: int) -> list[int]:
        if not self._named:
            entries = Entry.objects.filter(id__gte=stretch.first, id__lte=stretch.last)
            ways = [entries.order_by("-id" if newest_first else "id")]
        else:
            ways = [slice_of(name, stretch, newest_first) for name in self._named[self._along]]
        lists = [list(self._besides(way).values_list("id", flat=True)[:at_most]) for way in ways]
        # An order that is called like an account is found by both.
        found = dict.fromkeys(merge(*lists, reverse=newest_first))
        return list(found)[:at_most]

    def _besides(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        """Narrow `entries` by all that the walk does not go along, in such a way that no other index is taken."""
        for index, names in enumerate(self._named):
            if index != self._along:
                entries = entries.filter(any_of(names))
        if self.search.only is not None:
            entries = entries.filter(covered(self.search.only))
        if self.search.since is not None:
            entries = entries.filter(at__gte=self.search.since)
        if self.search.until is not None:
            entries = entries.filter(at__lte=self.search.until)
        return entries

    def _rarest(self) -> int:
        if not self._stretches:
            return 0
        whole = Stretch(self._stretches[0].first, self._stretches[-1].last)
        counts = [
            sum(slice_of(name, whole, False).values("id")[:COUNTED].count() for name in names) for names in self._named
        ]
        return counts.index(min(counts))


def stretches(search: Search) -> list[Stretch]:
    """Return where in the trail the entries of a time can be, in their order. What is there may still be of another.

    Whole stretches are known by their times (see `Span`). The rest of the trail, and all of it should one be missing or
    be there of a stretch that is not whole, is looked into in any case.
    """
    if search.since is None and search.until is None:
        return [Stretch(1, LARGEST)]
    known = Span.objects.aggregate(last=Max("id"))["last"] or 0
    if Span.objects.count() != known or known * Span.SIZE > (Entry.objects.aggregate(last=Max("id"))["last"] or 0):
        return [Stretch(1, LARGEST)]
    spans = Span.objects.filter(_overlaps(search.since, search.until)).order_by("id").values_list("id", flat=True)
    return _joined([*spans, known + 1], known)


def _overlaps(since: datetime | None, until: datetime | None) -> Q:
    return (Q() if since is None else Q(last_at__gte=since)) & (Q() if until is None else Q(first_at__lte=until))


def _joined(spans: list[int], known: int) -> list[Stretch]:
    """Join neighbours, and what lies close enough together that not too many stretches are left."""
    gaps = sorted((after - before for before, after in pairwise(spans)), reverse=True)
    least = max(2, gaps[STRETCHES - 1] + 1 if len(gaps) >= STRETCHES else 2)
    begins = [spans[0], *(after for before, after in pairwise(spans) if after - before >= least)]
    ends = [*(before for before, after in pairwise(spans) if after - before >= least), spans[-1]]
    return [
        Stretch((begin - 1) * Span.SIZE + 1, LARGEST if end > known else end * Span.SIZE)
        for begin, end in zip(begins, ends, strict=True)
    ]
