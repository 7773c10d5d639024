"""The open orders of one account: those that match a filter, sorted, a part at a time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cached_property
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

import msgspec
from django.http import QueryDict
from django.urls import reverse

from killswitch.book.queries import OpenBook, Order  # type: ignore[attr-defined]
from killswitch.kept import Kept
from killswitch.kills.decision import FILTER_FIELDS, InvalidDecision, read_filter
from killswitch.kills.filter import OrderFilter
from killswitch.words import exact_time

from .order_rows import AGE, COLUMNS, TEXT_COLUMNS, OrderColumn, OrderRow, text_line
from .reach import Tally
from .rows import age_words, is_old
from .sorting import Sorting

ROWS_AT_ONCE = 100
MOST_IN_A_CHUNK = 300
MOST_CHUNKS = 20
ORDERS_KEPT = 200_000  # sorted and matched, in each process
PAGE_FIELDS = frozenset({"sort", "after", "chunk"})

Place = tuple[bool, Any, str]
_cursor = msgspec.json.Decoder(tuple[str | float | None, str])
_chunk = msgspec.json.Decoder(tuple[str, str | None, str | None])
_encode = msgspec.json.encode


@dataclass(frozen=True)
class Span:
    """A part of a page that it already has: what it shows, and between which orders."""

    digest: str
    after: Place | None
    upto: Place | None


class Asked:
    """What an address asks of an account's orders."""

    def __init__(self, account_id: int, query: QueryDict) -> None:
        """Read it. Raises InvalidDecision with every field that is wrong."""
        values: dict[str, list[str]] = {name: [str(value) for value in found] for name, found in query.lists()}
        # A misspelled name that is left out would show, and then cancel, more than was asked for.
        unknown = dict.fromkeys(
            values.keys() - FILTER_FIELDS - PAGE_FIELDS, "is not a field of this filter: nothing was filtered"
        )
        if unknown:
            raise InvalidDecision(unknown)
        self.account_id = account_id
        self.filter = read_filter(values)
        clean = QueryDict(query_of(self.filter), mutable=True)
        clean.update({"sort": name} if (name := query.get("sort")) else {})
        address = reverse("account", args=[account_id])
        self.sorting = Sorting(COLUMNS, clean, address=address, default=AGE)
        try:
            self.after = self._place(query.get("after") or None)
            self.spans = [self._span(text) for text in query.getlist("chunk")[:MOST_CHUNKS]]
        except (ValueError, InvalidOperation, msgspec.MsgspecError):
            raise InvalidDecision({"after": "names no place in this list: begin at its start"}) from None

    @property
    def column(self) -> OrderColumn:
        column = self.sorting.column
        assert isinstance(column, OrderColumn)  # noqa: S101
        return column

    def _span(self, text: str) -> Span:
        digest, after, upto = _chunk.decode(text)
        return Span(digest, self._place(after), self._place(upto))

    def _place(self, text: str | None) -> Place | None:
        if text is None:
            return None
        value, order_id = _cursor.decode(text)
        return (True, 0, order_id) if value is None else (False, self.column.read(value), order_id)


def query_of(orders: OrderFilter) -> str:
    """Write a filter as a part of an address."""
    fields = {**orders.as_data()}
    fields["order_id"] = fields.pop("order_ids", [])
    if "instruments" in fields:
        fields["instruments"] = ",".join(fields["instruments"])
    return urlencode(fields, doseq=True)


@dataclass(frozen=True)
class Matching:
    """The orders of one list that match a filter."""

    orders: list[Order]
    tally: Tally


@dataclass(frozen=True)
class Sorted:
    """Orders by a column, the smallest first, with the place of each."""

    orders: list[Order]
    places: list[Place] = field(repr=False)


_matching: Kept[Matching] = Kept(ORDERS_KEPT, lambda found: len(found.orders))
_sorted: Kept[Sorted] = Kept(ORDERS_KEPT, lambda found: len(found.orders))


def matching(book: OpenBook, orders: OrderFilter) -> Matching:
    """Return what matches, and its sums; worked out once for each list."""
    key = (book.listing, orders)
    return _matching.get(key) or _matching.put(key, _match(book.orders, orders))


def _match(listed: list[Order], orders: OrderFilter) -> Matching:
    found = listed if orders.is_empty else [order for order in listed if orders.matches(order)]
    worth = [order.open_notional for order in found]
    priced = [notional for notional in worth if notional is not None]
    stops = sum(order.is_stop for order in found)
    return Matching(found, Tally(len(found), stops, len(worth) - len(priced), sum(priced, Decimal(0))))


def in_order(book: OpenBook, orders: OrderFilter, column: OrderColumn) -> Sorted:
    key = (book.listing, orders, column.name)
    return _sorted.get(key) or _sorted.put(key, _sort(matching(book, orders).orders, column))


def _sort(orders: list[Order], column: OrderColumn) -> Sorted:
    places = [column.place(order) for order in orders]
    numbers = sorted(range(len(orders)), key=places.__getitem__)
    return Sorted([orders[number] for number in numbers], [places[number] for number in numbers])


class Chunk:
    """Orders that stand together, from just after one place up to another; no end where the list ends."""

    def __init__(
        self, orders: Sequence[Order], *, after: str | None, upto: str | None, next_after: str | None, goes_on: str
    ) -> None:
        self._orders = orders
        self._after = after
        self._upto = upto
        self.next_after = next_after  # the last of them, where there is more
        self.goes_on = goes_on  # what the address of the rest ends with

    @property
    def id(self) -> str:
        return "chunk-" + blake2b((self._after or "").encode(), digest_size=6).hexdigest()

    @property
    def rows(self) -> list[OrderRow]:
        return [OrderRow(order) for order in self._orders]

    @property
    def has_gap(self) -> bool:
        """Say whether so many came between two places that they do not fit."""
        return len(self._orders) == MOST_IN_A_CHUNK and self.next_after is not None

    @cached_property
    def digest(self) -> str:
        return blake2b(_encode([self._orders, self.has_gap]), digest_size=6).hexdigest()

    @property
    def text(self) -> str:
        """Return what a page that shows it says of it in its next poll."""
        return _encode([self.digest, self._after, self._upto]).decode()


class AccountOrders:
    """The orders of one account that match a filter, and how far the list can be trusted."""

    def __init__(self, book: OpenBook, asked: Asked, *, may_kill: bool = False) -> None:
        self.may_kill = may_kill  # the reader, on this account
        self.account_id = asked.account_id
        self.account = book.account
        self.total = len(book.orders)
        self.filter = asked.filter
        self.sorting = asked.sorting
        self._asked = asked
        self._book = book
        self.tally = matching(book, asked.filter).tally

    @cached_property
    def _sorted(self) -> Sorted:
        return in_order(self._book, self.filter, self._asked.column)

    def _orders(self, start: int, end: int) -> list[Order]:
        """Return orders as they are shown, by their number in the list."""
        orders = self._sorted.orders
        if not self.sorting.is_falling:
            return orders[start:end]
        count = len(orders)
        return orders[count - end : count - start][::-1]

    def _passed(self, place: Place) -> int:
        """Count the orders that are shown up to a place, whether there is an order at it or not any more."""
        places = self._sorted.places
        return len(places) - bisect_left(places, place) if self.sorting.is_falling else bisect_right(places, place)

    def _cursor(self, order: Order) -> str:
        value = self._asked.column.key(order)
        return _encode([str(value) if isinstance(value, Decimal) else value, order.id]).decode()

    def _chunk(self, after: Place | None, upto: Place | None, at_most: int) -> Chunk:
        start = self._passed(after) if after else 0
        end = self._passed(upto) if upto else len(self._sorted.orders)
        orders = self._orders(start, min(end, start + at_most))
        is_cut = end > start + at_most
        last = self._cursor(orders[-1]) if orders and (is_cut or upto) else None
        return Chunk(
            orders,
            after=_text(after),
            upto=_text(upto) if upto else last,
            next_after=last if is_cut else None,
            goes_on=self._after(last) if last else "",
        )

    def _after(self, cursor: str) -> str:
        query = self._applied.copy()
        query["after"] = cursor
        return query.urlencode()

    @cached_property
    def chunk(self) -> Chunk:
        """Return the next orders after where the address stands."""
        return self._chunk(self._asked.after, None, ROWS_AT_ONCE)

    @property
    def rows(self) -> list[OrderRow]:
        return self.chunk.rows

    @property
    def news(self) -> list[Chunk]:
        """Return the parts that are not as the page has them."""
        chunks = [(span, self._chunk(span.after, span.upto, MOST_IN_A_CHUNK)) for span in self._asked.spans]
        return [chunk for span, chunk in chunks if chunk.digest != span.digest]

    @property
    def is_known_in_part(self) -> bool:
        """Say whether a page tells what it has, so that it needs only what is new."""
        return bool(self._asked.spans) and bool(self.tally.orders)

    @property
    def is_from_the_start(self) -> bool:
        return self._asked.after is None

    @property
    def applied(self) -> list[tuple[str, str]]:
        """Return the filter and the order of the rows as fields of a form."""
        return [(name, value) for name, values in self._applied.lists() for value in map(str, values)]

    @cached_property
    def _applied(self) -> QueryDict:
        query = QueryDict(query_of(self.filter), mutable=True)
        if self.sorting.value:
            query["sort"] = self.sorting.value
        return query

    @property
    def address(self) -> str:
        return self._with_query(reverse("account", args=[self.account_id]), self._applied.urlencode())

    @property
    def text_address(self) -> str:
        return self._with_query(reverse("orders_text", args=[self.account_id]), self._applied.urlencode())

    @property
    def kill_address(self) -> str:
        query = query_of(self.filter)
        return f"{reverse('confirm')}?account={self.account_id}" + (f"&{query}" if query else "")

    @property
    def elsewhere_address(self) -> str:
        """Return where to choose other accounts for the same filter; none for single orders, which are of one."""
        return "" if self.filter.order_ids else self._with_query(reverse("choose"), query_of(self.filter))

    @staticmethod
    def _with_query(address: str, query: str) -> str:
        return f"{address}?{query}" if query else address

    def lines(self) -> Iterator[str]:
        """Write every matching order as text, under a line that says what it is a list of and how old."""
        account = self.account
        listed = f"listed {exact_time(account.listed_at)} UTC" if account and account.listed_at else "never listed"
        doubt = f", {self.doubt}" if self.doubt else ""
        count = f"{self.tally.orders} of {self.total}"
        yield f"account {self.account_id}, {self.filter.sentence()}: {count}, {listed}{doubt}"
        yield "\t".join(label for label, _ in TEXT_COLUMNS)
        yield from map(text_line, self._orders(0, len(self._sorted.orders)))

    @property
    def kill_words(self) -> str:
        if self.doubt:
            return f"Cancel everything that matches ({self.doubt})"
        count = self.tally.orders
        if not count:
            return "Cancel everything that matches (none is listed)"
        return f"Cancel the {count:,} that match" + "es" * (count == 1)

    @property
    def doubt(self) -> str:
        """Say why the count cannot be relied on; empty where it can."""
        account = self.account
        if account is None or account.listed_at is None:
            return "the list could not be fetched" if account and account.error else "there is no list yet"
        reasons = []
        if is_old(account.listed_at) or account.error:
            reasons.append(f"list is {age_words(account.listed_at)} old")
        if not account.is_whole:
            reasons.append("incomplete")
        if account.error:
            reasons.append("could not be fetched afresh")
        return ", ".join(reasons)


def _text(place: Place | None) -> str | None:
    if place is None:
        return None
    is_unknown, value, order_id = place
    return _encode([None if is_unknown else str(value) if isinstance(value, Decimal) else value, order_id]).decode()
