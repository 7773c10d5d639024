"""The desk: every account with its sums, sorted, in blocks that a poll asks for one by one.

The template engine takes too long over a thousand rows: it makes the row once, which is then filled in here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from hashlib import blake2b
from html import escape
from statistics import median_low
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from killswitch.access.accounts import Accounts
from killswitch.book.models import Account, AccountList
from killswitch.book.queries import account_list, accounts
from killswitch.health.alive import BOOK_OLD
from killswitch.kills.alarms import is_unattended
from killswitch.kills.decision import FILTER_FIELDS, FILTER_NAMES, LARGEST_ACCOUNT, InvalidDecision, read_filter
from killswitch.kills.meanings import standing
from killswitch.kills.models import Kill
from killswitch.kills.queries import abandoned_accounts, sweeping_kill_by_account
from killswitch.words import NOTHING, counted, dollars, figure, unpriced

from .reach import OLD_AFTER, Tally
from .rows import age_words, is_old
from .sorting import Column, Sorting

ROWS_IN_A_BLOCK = 20
SPARK_HEIGHT = 12
SPARK_FULL_AT = 5  # so that one order does not look like a storm


# So many orders in a minute, and so many times what comes to the account in the middle, are unusual.
UNUSUAL_LEAST = 20
UNUSUAL_TIMES = 5


@dataclass
class AccountRow:
    account: Account
    kill: Kill | None
    is_unattended: bool = False  # nobody works on the kill here
    is_unusual: bool = False  # more orders arrived than on others
    may_kill: bool = True  # the reader, should their role allow it at all

    @property
    def kill_words(self) -> str:
        """Say how the kill stands here, never calmer than the banner does."""
        if self.kill is None:
            return ""
        if self.is_unattended:
            return standing(self.kill, is_unattended=True)
        if self.kill.is_held:
            return "latched"
        return "dry run" if self.kill.dry_run else "kill running"

    @property
    def name(self) -> str:
        return self.account.short_name or self.account.full_name

    @cached_property
    def arrived(self) -> int:
        return sum(self.account.arrivals)

    @property
    def is_old(self) -> bool:
        return is_old(self.account.listed_at)

    def is_sought(self, words: Sequence[str]) -> bool:
        """Say whether each word occurs in the number or the names, as the page's script does."""
        text = f"{self.account.account_id} {self.account.short_name} {self.account.full_name}".lower()
        return all(word in text for word in words)

    def state(self) -> str:
        """Return everything that the row shows but for what time alone changes."""
        account = self.account
        return repr(
            (
                account.account_id,
                account.short_name,
                account.full_name,
                account.status,
                account.is_listed,
                account.listed_at,
                account.is_whole,
                account.error,
                account.open_orders,
                account.buys,
                account.sells,
                account.stops,
                account.notional,
                account.unpriced,
                account.oldest_at,
                account.arrivals,
                self.is_unusual,
                self.may_kill,
                self.kill and self.kill.id,
                self.kill_words,
            )
        )

    def cells(self, now: datetime, sought: Sequence[str]) -> dict[str, str | int]:
        """Return each cell as HTML. What the broker wrote is escaped; everything else is made of figures here."""
        account, is_listed = self.account, self.account.listed_at is not None
        return {
            "id": account.account_id,
            "hidden": "" if self.is_sought(sought) else " hidden",
            "killing": f' class="killing {self._kill_class}"' if self.kill else "",
            "mark": self._mark(),
            "name": escape(self.name),
            "title": f' title="{escape(account.full_name)}"' if account.full_name != self.name else "",
            "status": escape(account.status or NOTHING),
            "gone": "" if account.is_listed else ' <span class="bad">no longer listed</span>',
            "orders": figure(account.open_orders) if is_listed else "unknown",
            "buys": figure(account.buys) if is_listed else NOTHING,
            "sells": figure(account.sells) if is_listed else NOTHING,
            "stops": figure(account.stops) if is_listed else NOTHING,
            "notional": dollars(account.notional) if is_listed else "unknown",
            "unpriced": f" <small>{unpriced(account.unpriced)}</small>" if account.unpriced else "",
            "oldest": _age(account.oldest_at, now) if account.oldest_at else NOTHING,
            "arrived": self._arrived() if is_listed else NOTHING,
            "spark": spark(account.arrivals) if self.arrived else "",
            "list": self._list(now),
            "pick": "" if self.may_kill else " disabled",
            "act": "" if self.may_kill else " hidden",
        }

    def _arrived(self) -> str:
        if not self.is_unusual:
            return figure(self.arrived)
        return f'<span class="mark">unusual</span> <strong>{figure(self.arrived)}</strong>'

    def _mark(self) -> str:
        if self.kill is None:
            return ""
        address = reverse("kill", args=[self.kill.id])
        mark = f'<a id="kill-of-{self.account.account_id}" class="mark {self._kill_class}" href="{address}">'
        return f" {mark}{self.kill_words}</a>"

    @property
    def _kill_class(self) -> str:
        if self.is_unattended and self.kill is not None and not self.kill.dry_run:
            return "kill-unattended"
        return self.kill_words.partition(":")[0].replace(" ", "-")

    def _list(self, now: datetime) -> str:
        account = self.account
        if account.listed_at is None:
            words = '<span class="warn">not listed yet</span>'
        else:
            words = f"{_age(account.listed_at, now, old_after=int(OLD_AFTER.total_seconds()))} old"
            if not account.is_whole:
                words += ', <span class="bad">incomplete</span>'
        if account.error:
            words += f', <span class="bad" title="{escape(account.error)}">last try failed</span>'
        return words


def _age(at: datetime, now: datetime, old_after: int | None = None) -> str:
    """Write an age that the page's script counts on, and marks once it is old."""
    seconds = max(0, int((now - at).total_seconds()))
    said = f'datetime="{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" data-age="{seconds}"'
    if old_after is not None:
        said += f' data-old-after="{old_after}"' + (' class="warn"' if seconds > old_after else "")
    return f"<time {said}>{age_words(at)}</time>"


def spark(parts: Sequence[int]) -> str:
    """Draw how many orders came in each part of the minute; say the most in words."""
    full = max(*parts, SPARK_FULL_AT)
    bars = ""
    for place, count in enumerate(parts):
        if count:
            bars += f"M{3 * place + 1} {SPARK_HEIGHT}v-{max(2, round(count * SPARK_HEIGHT / full))}"
    words = f"at most {max(parts):,} in {60 // len(parts)} s"
    return f'<svg class="spark" aria-hidden="true"><path d="{bars}"/></svg><span class="unseen">{words}: </span>'


def _known(read: Callable[[Account], Any], most: Any = float("inf")) -> Callable[[AccountRow], Any]:
    """Sort what was never listed as the most there can be: unknown is open."""
    return lambda row: most if row.account.listed_at is None else read(row.account)


def _since(at: datetime | None) -> float:
    return -at.timestamp() if at else float("-inf")


COLUMNS: tuple[Column[AccountRow], ...] = (
    Column("account", "Account", lambda row: row.account.account_id, is_figure=False),
    Column("name", "Name", lambda row: row.name.lower(), is_figure=False),
    Column("status", "Status", lambda row: row.account.status.lower(), is_figure=False),
    Column("orders", "Open orders", _known(lambda account: account.open_orders)),
    Column("buys", "Buys", _known(lambda account: account.buys)),
    Column("sells", "Sells", _known(lambda account: account.sells)),
    Column("stops", "Stops", _known(lambda account: account.stops)),
    Column("notional", "Open notional", _known(lambda account: account.notional or 0, Decimal("Infinity"))),
    Column("oldest", "Oldest order", _known(lambda account: _since(account.oldest_at))),
    Column("arrivals", "Arrivals, 1 min", lambda row: float("inf") if not row.account.listed_at else row.arrived),
    Column("list", "List", lambda row: _since(row.account.listed_at) if row.account.listed_at else float("inf")),
)


def mark_unattended(rows: Sequence[AccountRow]) -> None:
    """Mark the accounts on which a kill is to sweep and nobody works on it."""
    kills = {row.kill.id: row.kill for row in rows if row.kill is not None}
    if not kills:
        return
    unattended = {kill.id for kill in kills.values() if is_unattended(kill)}
    abandoned = abandoned_accounts()
    for row in rows:
        if row.kill is not None:
            row.is_unattended = row.kill.id in unattended or (row.kill.id, row.account.account_id) in abandoned


def mark_unusual(rows: Sequence[AccountRow]) -> None:
    """Mark the accounts to which far more orders came within the last minute than to the one in the middle."""
    listed = [row for row in rows if row.account.listed_at is not None]
    if not listed:
        return
    least = max(UNUSUAL_LEAST, UNUSUAL_TIMES * median_low(row.arrived for row in listed))
    for row in listed:
        row.is_unusual = row.arrived >= least


class Block:
    """Some rows that stand together, and how to tell whether they have changed."""

    def __init__(self, number: int, rows: list[AccountRow], desk: "Desk") -> None:
        self.number = number
        self._rows = rows
        self._desk = desk

    @cached_property
    def digest(self) -> str:
        text = "\n".join([*(row.state() for row in self._rows), str(self._desk.may_kill)])
        return blake2b(text.encode(), digest_size=6).hexdigest()

    @property
    def html(self) -> SafeString:
        row, now, sought = _row(self._desk.may_kill, self._desk.is_choice), timezone.now(), self._desk.sought
        return SafeString("".join(row.format_map(each.cells(now, sought)) for each in self._rows))


@lru_cache
def _row(may_kill: bool, is_choice: bool) -> str:
    """Return a row of the desk with {names} where its cells go."""
    account = reverse("account", args=[LARGEST_ACCOUNT]).replace(str(LARGEST_ACCOUNT), "{id}")
    context = {"may_kill": may_kill, "is_choice": is_choice, "account": account}
    return render_to_string("_desk_row.html", context)


class Desk:
    """Every account with its sums."""

    def __init__(
        self,
        rows: list[AccountRow],
        listed: AccountList,
        asked: QueryDict | None = None,
        *,
        may_kill: bool = False,
        is_choice: bool = False,
    ) -> None:
        asked = asked if asked is not None else QueryDict()
        self.address = reverse("choose" if is_choice else "desk")
        self.sorting = Sorting(COLUMNS, asked, address=self.address)
        mark_unusual(rows)
        self.rows = self.sorting.sort(rows)
        self.listed = listed
        self.may_kill = may_kill
        self.is_choice = is_choice
        self.query = asked.get("q", "").strip()[:200]
        self.sought = self.query.lower().split()
        self._seen = asked.get("has", "")
        self.total = Tally()
        for row in rows:
            account = row.account
            self.total.add(
                orders=account.open_orders,
                stops=account.stops,
                unpriced=account.unpriced,
                notional=account.notional or Decimal(0),
            )
        self.buys = sum(row.account.buys for row in rows)
        self.sells = sum(row.account.sells for row in rows)

        self.arrived = sum(row.arrived for row in rows)

    @property
    def unusual(self) -> int:
        return sum(row.is_unusual for row in self.rows)

    @property
    def most_arrivals_first(self) -> str:
        return self.sorting.by("-arrivals")

    @cached_property
    def newest_at(self) -> datetime | None:
        """Return when a list was made last; None where none ever was."""
        return max((row.account.listed_at for row in self.rows if row.account.listed_at), default=None)

    @property
    def are_lists_left(self) -> bool:
        """Say whether all lists are old: not one account after the other, as they always are, but none was renewed."""
        return self.newest_at is not None and timezone.now() - self.newest_at > BOOK_OLD

    @property
    def is_still_tried(self) -> bool:
        """Say whether somebody goes on asking for lists."""
        tried = (row.account.tried_at for row in self.rows)
        return any(at is not None and timezone.now() - at <= BOOK_OLD for at in tried)

    @property
    def latched(self) -> int:
        return sum(row.kill is not None and row.kill.is_held for row in self.rows)

    @property
    def never_listed(self) -> int:
        return sum(row.account.listed_at is None for row in self.rows)

    @property
    def accounts_are_old(self) -> bool:
        return bool(self.listed.error)

    @property
    def found_words(self) -> str:
        """Say how many rows the filter leaves; empty where there is none."""
        if not self.sought:
            return ""
        found = sum(row.is_sought(self.sought) for row in self.rows)
        return f"{found:,} of {counted(len(self.rows), 'account')} shown"

    @cached_property
    def blocks(self) -> list[Block]:
        starts = range(0, len(self.rows), ROWS_IN_A_BLOCK)
        return [Block(number, self.rows[start : start + ROWS_IN_A_BLOCK], self) for number, start in enumerate(starts)]

    @property
    def has(self) -> str:
        """Return what a page that shows all this has, for its next poll."""
        return ".".join(block.digest for block in self.blocks)

    @cached_property
    def news(self) -> list[Block] | None:
        """Return the blocks that are not as the page has them; None where it needs everything anew."""
        seen = self._seen.split(".")
        if not self._seen or len(seen) != len(self.blocks):
            return None
        return [block for block, digest in zip(self.blocks, seen, strict=True) if block.digest != digest]


def desk_rows(asked: QueryDict | None, theirs: Accounts, *, may_kill: bool = False, is_choice: bool = False) -> Desk:
    """Return the desk with the accounts that its reader may see: sums, counts and searches are of those."""
    kills = sweeping_kill_by_account()
    rows = [
        AccountRow(account, kills.get(account.account_id), may_kill=theirs.may_kill(account.account_id))
        for account in accounts(theirs.sees)
    ]
    mark_unattended(rows)
    return Desk(rows, account_list(), asked, may_kill=may_kill, is_choice=is_choice)


class Choice:
    """The accounts on which a filter may be used; the filter goes with whatever is chosen."""

    def __init__(self, asked: QueryDict, theirs: Accounts) -> None:
        """Read the filter. Raises InvalidDecision."""
        values = {name: [str(value) for value in found] for name, found in asked.lists()}
        unknown = values.keys() - FILTER_FIELDS - {"q", "sort"}
        if unknown:
            raise InvalidDecision(dict.fromkeys(unknown, "is not a field of this filter"))
        self.filter = read_filter(values)
        self.carried = [(name, value) for name in FILTER_NAMES for value in values.get(name, []) if value]
        self.desk = desk_rows(asked, theirs, may_kill=True, is_choice=True)

    @property
    def sentence(self) -> str:
        return self.filter.sentence()

    @property
    def all_address(self) -> str:
        return f"{reverse('confirm')}?{urlencode([('all_accounts', 'on'), *self.carried])}"
