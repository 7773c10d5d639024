"""What a decision matches in the open book, what that has in common, and what has changed since somebody looked."""

import logging
import math
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from django.utils import timezone

from killswitch.book.models import Account
from killswitch.book.queries import UNREADABLE, Order, known_account_ids, open_book
from killswitch.kills.decision import Decision
from killswitch.kills.filter import OrderFilter
from killswitch.kills.meanings import wire
from killswitch.words import change, counted

logger = logging.getLogger(__name__)

# Counting the orders of many accounts takes time, and the person who is about to press has none.
COUNT_FOR_SECONDS = 1.0
# More than it takes to unpack and add up one order.
SECONDS_AN_ORDER = 15e-6
OLD_AFTER = timedelta(seconds=10)
KINDS_NAMED = 3
SYMBOLS_NAMED = 5
MULTI_LEG = "multi-leg orders"
POLL_SECONDS = 2
OPENING_FIELDS = ("opened_orders", "opened_notional", "opened_newest", "opened_at", "opened_ids")
# Of so many orders the address of a poll carries marks: what came and what went is counted one by one.
MARKED_ORDERS = 120
MARK_LETTERS = 8
MARKS = re.compile(rf"(?:[0-9a-f]{{{MARK_LETTERS}}})*")


@dataclass
class Tally:
    """Sums over open orders that match."""

    orders: int = 0
    stops: int = 0
    unpriced: int = 0
    notional: Decimal = Decimal(0)

    def add(self, *, orders: int, stops: int, unpriced: int, notional: Decimal) -> None:
        self.orders += orders
        self.stops += stops
        self.unpriced += unpriced
        self.notional += notional

    def add_order(self, order: Order) -> None:
        worth = order.open_notional
        self.add(orders=1, stops=order.is_stop, unpriced=worth is None, notional=worth or Decimal(0))


@dataclass
class Common:
    """What open orders have in common, and how many of them are newer than a moment."""

    since: datetime | None = None
    sides: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    symbols: Counter[str] = field(default_factory=Counter)
    newest: datetime | None = None
    newer: int = 0
    marks: set[str] = field(default_factory=set)

    def add_order(self, order: Order) -> None:
        if len(self.marks) <= MARKED_ORDERS:
            self.marks.add(f"{zlib.crc32(f'{order.account_id} {order.id}'.encode()):0{MARK_LETTERS}x}")
        self.sides[order.side] += 1
        self.types[order.order_type] += 1
        self.symbols[order.symbol or (MULTI_LEG if order.legs else "")] += 1
        if (created := order.created) is not None:
            self.newest = created if self.newest is None else max(self.newest, created)
            self.newer += self.since is not None and created > self.since

    def __str__(self) -> str:
        """Read as words: "all SELL LIMIT in TSLA, AAPL"."""
        sides, types = (_kinds(kinds) for kinds in (self.sides, self.types))
        if len(self.sides) == len(self.types) == 1:
            kinds = f"all {sides} {types}"
        else:
            kinds = f"{'all ' * (len(self.sides) == 1)}{sides}, {'all ' * (len(self.types) == 1)}{types},"
        return f"{kinds} in {_symbols(self.symbols)}"


def _kinds(kinds: Counter[str]) -> str:
    """Name the only kind there is, or the most frequent ones with their counts."""
    if len(kinds) == 1:
        return wire(next(iter(kinds)))
    named = [f"{count:,} {wire(kind)}" for kind, count in kinds.most_common(KINDS_NAMED)]
    if others := kinds.total() - sum(count for _, count in kinds.most_common(KINDS_NAMED)):
        named.append(f"{others:,} of other kinds")
    return f"{', '.join(named[:-1])} and {named[-1]}"


def _symbols(symbols: Counter[str]) -> str:
    named = ", ".join(symbol or "symbols not known" for symbol, _ in symbols.most_common(SYMBOLS_NAMED))
    more = len(symbols) - SYMBOLS_NAMED
    return f"{named} and {more:,} more" if more > 0 else named


class InvalidOpening(ValueError):
    """The address of a poll does not say what matched when the page was opened."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What matched when a confirmation was opened. The address of its poll carries it."""

    orders: int
    notional: Decimal
    newest: datetime | None
    at: datetime
    marks: frozenset[str] | None = None  # of each order; None where there are too many

    @classmethod
    def read(cls, values: Mapping[str, Sequence[str]]) -> "Opening | None":
        """Read it from an address; None where nothing was known then. Raises InvalidOpening."""
        given = {name: values[name][0] for name in OPENING_FIELDS if values.get(name)}
        if not given:
            return None
        try:
            newest = given.get("opened_newest")
            orders, marks = int(given["opened_orders"]), _marks(given.get("opened_ids", ""))
            opening = cls(
                orders=orders,
                notional=Decimal(given["opened_notional"]),
                newest=_aware(newest) if newest else None,
                at=_aware(given["opened_at"]),
                marks=marks if len(marks) == orders else None,
            )
        except (KeyError, ValueError, InvalidOperation):
            raise InvalidOpening from None
        if not opening.notional.is_finite():
            raise InvalidOpening
        return opening

    def fields(self) -> dict[str, str]:
        values = (str(self.orders), f"{self.notional:f}", self.newest.isoformat() if self.newest else "")
        marks = "".join(sorted(self.marks or ()))
        return dict(zip(OPENING_FIELDS, (*values, self.at.isoformat(), marks), strict=True))


def _marks(text: str) -> frozenset[str]:
    if not MARKS.fullmatch(text) or len(text) > MARKED_ORDERS * MARK_LETTERS:
        raise ValueError("no marks of orders")
    return frozenset(text[at : at + MARK_LETTERS] for at in range(0, len(text), MARK_LETTERS))


def _aware(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return time.astimezone(UTC)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What has changed in the book since a confirmation was opened."""

    since: datetime
    arrived: int
    gone: int
    notional: Decimal
    is_net: bool = False  # too many to be told apart: what came and what went may be more

    @property
    def words(self) -> str:
        """Say it: "+3 orders, 1 gone, notional +$120,000"; empty where nothing has changed."""
        words = [
            f"{'in all ' * self.is_net}+{counted(self.arrived, 'order')}" if self.arrived else "",
            f"{'in all ' * self.is_net}{self.gone:,} {'fewer' if self.is_net else 'gone'}" if self.gone else "",
            f"notional {change(self.notional)}" if self.notional else "",
        ]
        return ", ".join(filter(None, words))


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a decision matches in the book, on how many accounts, and how far those lists can be trusted."""

    tally: Tally
    common: Common | None  # None where not every order could be looked at in time
    accounts: int
    accounts_with_orders: int
    never_listed: int
    incomplete: int
    failed: int
    oldest_at: datetime | None
    is_counted: bool
    took: float

    @classmethod
    def of(cls, decision: Decision, opening: Opening | None = None) -> "Reach":
        account_ids = known_account_ids() if decision.all_accounts else list(decision.account_ids)
        rows = Account.objects.in_bulk(account_ids)
        count = _Count(decision.filter, opening.newest if opening else None)
        count.take(rows.values())
        listed = [row.listed_at for row in rows.values() if row.listed_at]
        return cls(
            tally=count.tally,
            common=count.common if count.looked_at_all else None,
            accounts=len(account_ids),
            accounts_with_orders=count.accounts,
            never_listed=len(account_ids) - len(listed),
            incomplete=sum(row.listed_at is not None and not row.is_whole for row in rows.values()),
            failed=sum(bool(row.error) for row in rows.values()),
            oldest_at=min(listed, default=None),
            is_counted=count.is_whole,
            took=count.seconds,
        )

    @property
    def is_unknown(self) -> bool:
        """Say whether nothing was ever listed: none is not the same as not known."""
        return self.never_listed == self.accounts

    @property
    def is_old(self) -> bool:
        return self.oldest_at is not None and timezone.now() - self.oldest_at > OLD_AFTER

    @property
    def is_sure(self) -> bool:
        return self.is_counted and not (self.never_listed or self.incomplete or self.failed or self.is_old)

    @property
    def poll_seconds(self) -> int:
        """Say how often to look again, so that looking takes a tenth of the time at most."""
        return max(POLL_SECONDS, math.ceil(10 * self.took))

    def opening(self, now: datetime) -> Opening | None:
        """Return what later looks are held against; None where it is not known now."""
        if self.is_unknown or not self.is_counted:
            return None
        newest = self.common.newest if self.common else None
        return Opening(orders=self.tally.orders, notional=self.tally.notional, newest=newest, at=now, marks=self._marks)

    @property
    def _marks(self) -> frozenset[str] | None:
        common = self.common
        return frozenset(common.marks) if common and self.tally.orders <= MARKED_ORDERS else None

    def changes(self, opening: Opening | None) -> Changes | None:
        """Say what has changed; None where it cannot be known."""
        if opening is None or not self.is_counted:
            return None
        notional = self.tally.notional - opening.notional
        now, then = self.common.marks if self.common else None, opening.marks
        # Marks that stop short are of more orders than those of then: what of those is not among them is not known.
        if now is not None and then is not None and len(now) <= MARKED_ORDERS:
            return Changes(since=opening.at, arrived=len(now - then), gone=len(then - now), notional=notional)
        more = self.tally.orders - opening.orders
        arrived = max(self.common.newer if self.common else 0, more, 0)
        return Changes(
            since=opening.at, arrived=arrived, gone=arrived - more, notional=notional, is_net=self.common is None
        )


class _Count:
    """Adds up what matches, for as long as there is time."""

    def __init__(self, orders: OrderFilter, since: datetime | None) -> None:
        self._filter = orders
        self._began = time.monotonic()
        self.tally = Tally()
        self.common = Common(since)
        self.accounts = 0
        self.is_whole = True
        self.looked_at_all = True

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def take(self, rows: Iterable[Account]) -> None:
        for row in rows:
            before = self.tally.orders
            self._take(row)
            self.accounts += self.tally.orders > before

    def _take(self, row: Account) -> None:
        if self._has_time_for(row) and self._look_at(row):
            return
        self.looked_at_all = False
        if self._filter.is_empty:
            worth = row.notional or Decimal(0)
            self.tally.add(orders=row.open_orders, stops=row.stops, unpriced=row.unpriced, notional=worth)
        else:
            self.is_whole = False

    def _has_time_for(self, row: Account) -> bool:
        # The sums of an account are known without looking, those of a filter are not.
        needs = row.open_orders * SECONDS_AN_ORDER if self._filter.is_empty else 0
        return self.seconds + needs < COUNT_FOR_SECONDS

    def _look_at(self, row: Account) -> bool:
        """Count what matches on an account. Returns whether its list could be read: a press does not need it."""
        try:
            orders = open_book(row.account_id).orders
        except UNREADABLE:
            logger.exception("the list that is kept of account %s cannot be read", row.account_id)
            return False
        for order in orders:
            if self._filter.matches(order):
                self.tally.add_order(order)
                self.common.add_order(order)
        return True
