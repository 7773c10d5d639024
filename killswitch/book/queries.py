"""Read the open book."""

import uuid
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.db.models import Count, Min, Q, QuerySet

from killswitch.broker import Order
from killswitch.kept import Kept

from .models import Account, AccountList, Snapshot

__all__ = [
    "UNREADABLE",
    "Freshness",
    "OpenBook",
    "Order",
    "account_list",
    "accounts",
    "accounts_with_orders_that_are_missing",
    "freshness",
    "known_account_ids",
    "open_book",
]

ORDERS_KEPT = 60_000  # in each process, of the accounts that were looked at last

# What comes of a list that was kept and is damaged.
UNREADABLE = (zlib.error, msgspec.DecodeError)


class _Listed(Order, kw_only=True, frozen=True, gc=False):
    """An order as it was kept: what the broker wrote was judged when it was listed."""

    def __post_init__(self) -> None:
        pass


_unpack = msgspec.json.Decoder(list[_Listed])


@dataclass(frozen=True)
class OpenBook:
    """The open orders of one account as last listed. `account` is None where nothing is known of it.

    `listing` names the list: it is another one after every refresh. The orders are shared: leave them as they are.
    """

    account: Account | None
    orders: list[Order]
    listing: uuid.UUID | None = None


_kept: Kept[OpenBook] = Kept(ORDERS_KEPT, lambda book: len(book.orders))


def accounts(among: Collection[int] | None = None) -> QuerySet[Account]:
    """Return the accounts that the broker named when last asked, and those that still show open orders.

    Where `among` is given, those of them.
    """
    found = Account.objects.filter(is_listed=True) | Account.objects.filter(open_orders__gt=0)
    return found if among is None else found.filter(account_id__in=among)


def known_account_ids() -> list[int]:
    """Return the accounts that a kill of all takes at once; it asks the broker for the rest."""
    return list(accounts().values_list("account_id", flat=True))


def account_list() -> AccountList:
    """Return when the accounts were last listed, and what went wrong."""
    return AccountList.objects.filter(id=1).first() or AccountList()


def open_book(account_id: int) -> OpenBook:
    """Return the orders of an account as last listed; unpacked once for each list."""
    found = Account.objects.filter(account_id=account_id).select_related("snapshot")
    account = found.defer("snapshot__orders").first()
    kept = _kept.get(account_id)
    if kept is not None and kept.listing == _listing(account):
        return OpenBook(account, kept.orders, kept.listing)
    account = found.first()  # with the orders: both in one look, so that they belong together
    snapshot: Snapshot | None = getattr(account, "snapshot", None)
    if snapshot is None:
        return OpenBook(account, [])
    return _kept.put(account_id, OpenBook(account, _unpacked(snapshot), snapshot.listing))


def _unpacked(snapshot: Snapshot) -> list[Order]:
    return list(_unpack.decode(zlib.decompress(snapshot.orders)))


def _listing(account: Account | None) -> uuid.UUID | None:
    snapshot: Snapshot | None = getattr(account, "snapshot", None)
    return snapshot.listing if snapshot else None


def accounts_with_orders_that_are_missing(named: set[int]) -> list[int]:
    """Return the accounts that had open orders when last listed and are not among those that the broker names."""
    had = Account.objects.filter(open_orders__gt=0).values_list("account_id", flat=True)
    return sorted(set(had) - named)


@dataclass(frozen=True)
class Freshness:
    """How many of the accounts' lists are not what they should be, and when the accounts themselves were listed."""

    accounts: int
    never: int
    old: int
    not_whole: int
    failed: int
    oldest_at: datetime | None
    accounts_at: datetime | None
    accounts_error: str


def freshness(*, old_before: datetime) -> Freshness:
    counted = Account.objects.filter(is_listed=True).aggregate(
        accounts=Count("pk"),
        never=Count("pk", filter=Q(listed_at=None)),
        old=Count("pk", filter=Q(listed_at__lt=old_before)),
        not_whole=Count("pk", filter=Q(listed_at__isnull=False, is_whole=False)),
        failed=Count("pk", filter=Q(error__gt="")),
        oldest_at=Min("listed_at"),
    )
    named = account_list()
    return Freshness(**counted, accounts_at=named.listed_at, accounts_error=named.error)
