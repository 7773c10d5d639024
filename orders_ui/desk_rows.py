"""The desk: every account with its sums, sorted, in blocks that a poll asks for one by one.

The template engine takes too long over a thousand rows: it makes the row once, which is then filled in for each.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from killswitch.book.models import Account
from killswitch.kills.decision import FILTER_FIELDS, FILTER_NAMES, LARGEST_ACCOUNT, InvalidDecision, read_filter
from killswitch.words import counted

from .account_row import AccountRow
from .roster import Roster, roster
from .sorting import Column, Sorting

ROWS_IN_A_BLOCK = 20


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


class Block:
    """Some rows that stand together, and how to tell whether they have changed."""

    def __init__(self, number: int, rows: list[AccountRow], desk: "Desk") -> None:
        self.number = number
        self._rows = rows
        self._desk = desk

    @cached_property
    def digest(self) -> str:
        text = "\n".join([*(row.state for row in self._rows), str(self._desk.may_kill)])
        return blake2b(text.encode(), digest_size=6).hexdigest()

    @property
    def html(self) -> SafeString:
        form, sought = _form(self._desk.may_kill, self._desk.is_choice), self._desk.sought
        return SafeString("".join(row.html(form, is_hidden=not row.is_sought(sought)) for row in self._rows))


@lru_cache
def _form(may_kill: bool, is_choice: bool) -> str:
    """Return a row of the desk with {names} where its cells go."""
    account = reverse("account", args=[LARGEST_ACCOUNT]).replace(str(LARGEST_ACCOUNT), "{id}")
    context = {"may_kill": may_kill, "is_choice": is_choice, "account": account}
    return render_to_string("_desk_row.html", context)


class Desk:
    """A roster as its reader asked for it: sorted, searched, in blocks."""

    def __init__(self, roster: Roster, asked: QueryDict, *, may_kill: bool, is_choice: bool = False) -> None:
        self.roster = roster
        self.address = reverse("choose" if is_choice else "desk")
        self.sorting = Sorting(COLUMNS, asked, address=self.address)
        self.rows = self.sorting.sort(roster.rows)
        self.listed = roster.listed
        self.may_kill = may_kill
        self.is_choice = is_choice
        self.query = asked.get("q", "").strip()[:200]
        self.sought = self.query.lower().split()
        self._seen = asked.get("has", "")

    @property
    def most_arrivals_first(self) -> str:
        return self.sorting.by("-arrivals")

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


class Choice:
    """The accounts on which a filter may be used; the filter goes with whatever is chosen."""

    def __init__(self, request: HttpRequest) -> None:
        """Read the filter. Raises InvalidDecision."""
        asked = request.GET
        values = {name: [str(value) for value in found] for name, found in asked.lists()}
        unknown = values.keys() - FILTER_FIELDS - {"q", "sort"}
        if unknown:
            raise InvalidDecision(dict.fromkeys(unknown, "is not a field of this filter"))
        self.filter = read_filter(values)
        self.carried = [(name, value) for name in FILTER_NAMES for value in values.get(name, []) if value]
        self.desk = Desk(roster(request), asked, may_kill=True, is_choice=True)

    @property
    def sentence(self) -> str:
        return self.filter.sentence()

    @property
    def all_address(self) -> str:
        return f"{reverse('confirm')}?{urlencode([('all_accounts', 'on'), *self.carried])}"
