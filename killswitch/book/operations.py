"""Keep the open book fresh: in the background within a budget, and at once for whoever looks at an account."""

import asyncio
import zlib
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from killswitch import broker
from killswitch.broker import BrokerError, Listing, Order, Side

from .models import Account, AccountList, Snapshot
from .pace import Pace

ACCOUNTS_EVERY = timedelta(seconds=30)
WATCHED_FOR = timedelta(seconds=60)  # after the last look
WATCHED_EVERY = timedelta(seconds=2)
FRESH_FOR = timedelta(seconds=1)  # two people who look at once cost one request
LET_REST = timedelta(seconds=5)  # after a failure, so that pages do not wait for a broker that is down
LOOK_SECONDS = 3.0
LEASE = timedelta(seconds=30)

pack = msgspec.json.Encoder()


def refresh(*, requests_per_second: float, now: datetime) -> int:
    """Do about a second's worth of refreshing, unless somebody else is at it. Return how many lists were fetched."""
    if not _claim(now):
        return 0
    fetched = 0
    if _accounts_are_due(now):
        refresh_accounts()
        fetched += 1
    due = _due(now)[: max(1, int(requests_per_second) - fetched)]
    if due:
        pace = Pace(requests_per_second)
        for account_id, listing in broker.run(_list_paced(due, pace)):
            save(account_id, listing, now)
            fetched += 1
    AccountList.objects.update(lease_until=None)
    return fetched


async def _list_paced(account_ids: list[int], pace: Pace) -> list[tuple[int, Listing[Order]]]:
    client = broker.client()
    listings = await asyncio.gather(*(client.orders(account_id, before_page=pace) for account_id in account_ids))
    return list(zip(account_ids, listings, strict=True))


def _claim(now: datetime) -> bool:
    AccountList.objects.get_or_create(id=1)
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    return AccountList.objects.filter(free, id=1).update(lease_until=now + LEASE) == 1


def _accounts_are_due(now: datetime) -> bool:
    tried_at = AccountList.objects.get(id=1).tried_at
    return tried_at is None or now - tried_at > ACCOUNTS_EVERY


def _due(now: datetime) -> list[int]:
    """Return accounts in the order in which they should be listed: watched ones first, then the oldest."""
    known = Account.objects.filter(is_listed=True).order_by(F("tried_at").asc(nulls_first=True), "account_id")
    watched = known.filter(looked_at__gt=now - WATCHED_FOR).filter(
        Q(tried_at=None) | Q(tried_at__lt=now - WATCHED_EVERY)
    )
    ids = [*watched.values_list("account_id", flat=True), *known.values_list("account_id", flat=True)]
    return list(dict.fromkeys(ids))


def refresh_accounts() -> None:
    """Ask the broker which accounts there are. A list that is not whole removes nothing."""
    now = timezone.now()
    listing = broker.run(_list_accounts())
    rows = [
        Account(
            account_id=account.id, short_name=account.short_name, full_name=account.full_name, status=account.status
        )
        for account in listing.items
    ]
    with transaction.atomic():
        Account.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["account_id"],
            update_fields=["short_name", "full_name", "status", "is_listed"],
        )
        if listing.whole:
            # One by one: a long list of numbers does not fit into one question to SQLite.
            before = set(Account.objects.filter(is_listed=True).values_list("account_id", flat=True))
            for account_id in before - {row.account_id for row in rows}:
                Account.objects.filter(account_id=account_id).update(is_listed=False)
        AccountList.objects.update_or_create(
            id=1,
            defaults={
                "tried_at": now,
                "error": _words(listing.error),
                **({"listed_at": now} if listing.whole else {}),
            },
        )


async def _list_accounts() -> Listing[broker.Account]:
    return await broker.client().accounts()


def look_at(account_id: int, *, now: datetime) -> None:
    """Note that somebody looks at an account, and ask the broker afresh unless the list is new or it just failed."""
    account = Account.objects.filter(account_id=account_id).first()
    if account is not None:
        Account.objects.filter(account_id=account_id).update(looked_at=now)
        if account.tried_at and now - account.tried_at < (LET_REST if account.error else FRESH_FOR):
            return
    try:
        listing = broker.run(_list(account_id), timeout=LOOK_SECONDS)
    except TimeoutError:
        listing = Listing(items=[], whole=False, error=BrokerError(f"no answer within {LOOK_SECONDS:g} s"))
    if account is None and not listing.whole:
        return  # nothing is known of it, and nothing was learnt
    save(account_id, listing, now)


async def _list(account_id: int) -> Listing[Order]:
    return await broker.client().orders(account_id)


def save(account_id: int, listing: Listing[Order], asked_at: datetime) -> None:
    """Keep what was listed, unless something newer is there. A list that is not whole never replaces one that is."""
    Account.objects.get_or_create(account_id=account_id)
    orders = [order for order in listing.items if order.is_open]
    tried = {"tried_at": asked_at, "error": _words(listing.error)}
    with transaction.atomic():
        older = Account.objects.filter(Q(tried_at=None) | Q(tried_at__lte=asked_at), account_id=account_id)
        keeps = listing.whole or not older.filter(is_whole=True).exists()
        if not keeps or (not listing.whole and not orders):
            older.update(**tried)
        elif older.update(**tried, listed_at=asked_at, is_whole=listing.whole, **sums(orders)):
            Snapshot.objects.update_or_create(
                account_id=account_id, defaults={"orders": zlib.compress(pack.encode(orders), 1)}
            )


def sums(orders: list[Order]) -> dict[str, object]:
    """Add up what the desk shows of one account's open orders."""
    notionals = [order.open_notional for order in orders]
    created = [order.created for order in orders if order.created]
    return {
        "open_orders": len(orders),
        "buys": sum(order.side == Side.BUY for order in orders),
        "sells": sum(order.side in (Side.SELL, Side.SELL_SHORT) for order in orders),
        "stops": sum(order.is_stop for order in orders),
        "notional": sum((value for value in notionals if value is not None), Decimal(0)),
        "unpriced": sum(value is None for value in notionals),
        "oldest_at": min(created, default=None),
    }


def _words(error: BrokerError | None) -> str:
    return error.message if error else ""
