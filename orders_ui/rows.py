"""What the templates show, one object per thing, so that they hold no logic of their own."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from heapq import nlargest
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from killswitch.access.roles import ROLES
from killswitch.book.models import Account, AccountList
from killswitch.book.queries import (  # type: ignore[attr-defined]
    OpenBook,
    Order,
    account_list,
    accounts,
)
from killswitch.kills.filter import OrderFilter
from killswitch.kills.models import Kill
from killswitch.kills.queries import sweeping_kill_by_account

from .reach import OLD_AFTER, Tally

ROWS = 500


@dataclass(frozen=True)
class AccountRow:
    account: Account
    kill: Kill | None

    @property
    def kill_words(self) -> str:
        if self.kill is None:
            return ""
        if self.kill.is_held:
            return "latched"
        return "dry run" if self.kill.dry_run else "kill running"

    @property
    def name(self) -> str:
        return self.account.short_name or self.account.full_name

    @property
    def is_old(self) -> bool:
        return is_old(self.account.listed_at)


class Desk:
    """Every account with its sums."""

    def __init__(self, rows: list[AccountRow], listed: AccountList) -> None:
        self.rows = rows
        self.listed = listed
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

    @property
    def latched(self) -> int:
        return sum(row.kill is not None and row.kill.is_held for row in self.rows)

    @property
    def never_listed(self) -> int:
        return sum(row.account.listed_at is None for row in self.rows)

    @property
    def accounts_are_old(self) -> bool:
        return bool(self.listed.error)


def desk_rows() -> Desk:
    kills = sweeping_kill_by_account()
    return Desk([AccountRow(account, kills.get(account.account_id)) for account in accounts()], account_list())


def is_old(at: datetime | None) -> bool:
    return at is None or timezone.now() - at > OLD_AFTER


class OrderRow:
    """An order's fields as the table shows them. What nobody knows is shown as the broker wrote it."""

    def __init__(self, order: Order) -> None:
        self.order = order

    @property
    def side_class(self) -> str:
        return {"BUY": "buy", "SELL": "sell", "SELL_SHORT": "sell"}.get(self.order.side, "odd")

    @property
    def symbol(self) -> str:
        if self.order.legs:
            count = len(self.order.legs)
            return f"{count} leg" + "s" * (count != 1)
        return self.order.symbol or self.order.instrument_id or ""

    @property
    def leg_words(self) -> str:
        legs = self.order.legs or ()
        return ", ".join(" ".join(str(leg[key]) for key in ("side", "ratio", "symbol") if leg.get(key)) for leg in legs)

    @property
    def awaits_release(self) -> bool:
        return self.order.queue_state == "AWAITING_RELEASE"

    @property
    def releases_at(self) -> datetime | str:
        """Return when it is released, as the broker wrote it where that is not a time."""
        text = self.order.releases_at or ""
        try:
            return parse_datetime(text) or text
        except ValueError:
            return text

    @cached_property
    def created(self) -> datetime | None:
        return self.order.created


class AccountOrders:
    """The orders of one account that match a filter, and how far the list can be trusted."""

    def __init__(self, account_id: int, book: OpenBook, orders: OrderFilter) -> None:
        self.account_id = account_id
        self.account = book.account
        self.total = len(book.orders)
        self.matching = [order for order in book.orders if orders.matches(order)]
        self.filter = orders
        self.tally = Tally()
        for order in self.matching:
            worth = order.open_notional
            self.tally.add(orders=1, stops=order.is_stop, unpriced=worth is None, notional=worth or Decimal(0))

    @cached_property
    def rows(self) -> list[OrderRow]:
        newest = nlargest(ROWS, self.matching, key=lambda order: (order.created_at or "", order.id))
        return [OrderRow(order) for order in newest]

    @property
    def is_cut(self) -> bool:
        return len(self.matching) > ROWS

    @property
    def address(self) -> str:
        query = self._query
        address = reverse("account", args=[self.account_id])
        return f"{address}?{query}" if query else address

    @property
    def kill_address(self) -> str:
        query = self._query
        return f"{reverse('confirm')}?account={self.account_id}" + (f"&{query}" if query else "")

    @property
    def _query(self) -> str:
        fields = {**self.filter.as_data()}
        fields["order_id"] = fields.pop("order_ids", [])
        if "instruments" in fields:
            fields["instruments"] = ",".join(fields["instruments"])
        return urlencode(fields, doseq=True)

    @property
    def kill_words(self) -> str:
        if self.doubt:
            return f"Cancel everything that matches ({self.doubt})"
        count = len(self.matching)
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


def age_words(at: datetime) -> str:
    """Say how long ago, in the largest unit that says enough."""
    seconds = max(0, int((timezone.now() - at).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def user_rows() -> list[tuple[User, str]]:
    """Return every user who is managed here, with their role."""
    users = User.objects.filter(is_superuser=False).prefetch_related("groups").order_by("username")
    return [(user, _first_role(group.name for group in user.groups.all())) for user in users]


def _first_role(names: Iterable[str]) -> str:
    return next((name for name in names if name in ROLES), "")
