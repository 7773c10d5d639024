"""Read the open book."""

import zlib
from dataclasses import dataclass

import msgspec
from django.db.models import QuerySet

from killswitch.broker import Order

from .models import Account, AccountList, Snapshot

__all__ = ["OpenBook", "Order", "account_list", "accounts", "known_account_ids", "open_book"]

_unpack = msgspec.json.Decoder(list[Order])


@dataclass(frozen=True)
class OpenBook:
    """The open orders of one account as last listed. `account` is None where nothing is known of it."""

    account: Account | None
    orders: list[Order]


def accounts() -> QuerySet[Account]:
    """Return the accounts that the broker named when last asked, and those that still show open orders."""
    return Account.objects.filter(is_listed=True) | Account.objects.filter(open_orders__gt=0)


def known_account_ids() -> list[int]:
    """Return the accounts that a kill of all takes at once; it asks the broker for the rest."""
    return list(accounts().values_list("account_id", flat=True))


def account_list() -> AccountList:
    """Return when the accounts were last listed, and what went wrong."""
    return AccountList.objects.filter(id=1).first() or AccountList()


def open_book(account_id: int) -> OpenBook:
    account = Account.objects.filter(account_id=account_id).first()
    snapshot = Snapshot.objects.filter(account_id=account_id).first()
    return OpenBook(account, _unpack.decode(zlib.decompress(snapshot.orders)) if snapshot else [])
