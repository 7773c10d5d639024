"""Keep the open book fresh: in the background within a budget, and at once for whoever looks at an account."""

import asyncio
import logging
import uuid
import zlib
from collections.abc import Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from killswitch import broker
from killswitch.broker import BrokerError, Listing, Order, Side
from killswitch.database_clock import is_free, lease

from .models import Account, AccountList, Snapshot
from .pace import Pace

logger = logging.getLogger(__name__)

ACCOUNTS_EVERY = timedelta(seconds=30)
WATCHED_FOR = timedelta(seconds=60)  # after the last look
WATCHED_EVERY = timedelta(seconds=2)
WATCHED_AT_ONCE = 20  # for whoever looks at several accounts: more would take the turns of the others
FRESH_FOR = timedelta(seconds=1)  # two people who look at once cost one request
LET_REST = timedelta(seconds=5)  # after a failure, so that pages do not wait for a broker that is down
KEPT_FRESH_FOR = timedelta(seconds=3)  # while somebody looks: whoever refreshes the book lists such an account first
NOTED_EVERY = timedelta(seconds=10)  # that somebody looks
CALM_SECONDS = 5.0
LOOK_SECONDS = 3.0
GLANCE_SECONDS = 0.05  # a page waits no longer where there is a list to show meanwhile
LEASE = timedelta(seconds=30)
ARRIVALS_IN = timedelta(seconds=5)
ARRIVALS_PARTS = 12

pack = msgspec.json.Encoder()
# Lists that came too late for the page that asked for them. Looked for by account, so that one is asked for once.
_under_way: set[int] = set()
_late = ThreadPoolExecutor(2, "late-list")


def refresh(*, requests_per_second: float, now: datetime) -> int:
    """Do about a second's worth of refreshing, unless somebody else is at it. Return how many lists were fetched."""
    token = uuid.uuid4()
    if not _claim(token):
        return 0
    try:
        is_due = _accounts_are_due(now)
        if is_due:
            refresh_accounts()
        due = _due(now)[: max(1, int(requests_per_second) - is_due)]
        _refresh_orders(due, Pace(requests_per_second), token, now)
        return len(due) + is_due
    finally:
        AccountList.objects.filter(lease_token=token).update(lease_token=None, lease_until=None)


def _refresh_orders(account_ids: list[int], pace: Pace, token: uuid.UUID, now: datetime) -> None:
    """List accounts at the given pace and save each as it comes. One that cannot be saved takes no other with it."""
    under_way = {broker.start(_list(account_id, pace)): account_id for account_id in account_ids}
    while under_way:
        done, _ = wait(under_way, timeout=LEASE.total_seconds() / 3, return_when=FIRST_COMPLETED)
        AccountList.objects.filter(lease_token=token).update(lease_until=lease(LEASE))
        for future in done:
            account_id = under_way.pop(future)
            try:
                save(account_id, future.result(), now)
            except Exception:
                logger.exception("the orders of account %s could not be saved", account_id)
                Account.objects.filter(account_id=account_id).update(
                    tried_at=now, error="could not be saved: see the log"
                )


def _claim(token: uuid.UUID) -> bool:
    AccountList.objects.get_or_create(id=1)
    return AccountList.objects.filter(is_free(), id=1).update(lease_token=token, lease_until=lease(LEASE)) == 1


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
    """Note that somebody looks at an account, and ask the broker afresh unless the list is new or it just failed.

    Waits for the answer only where there is no list yet; one that comes later is saved when it comes.
    """
    account = Account.objects.filter(account_id=account_id).first()
    if account is not None:
        is_watched = account.looked_at is not None and now - account.looked_at < NOTED_EVERY
        if not is_watched:
            Account.objects.filter(account_id=account_id).update(looked_at=now)
        if account.tried_at and now - account.tried_at < _rest(account, is_watched):
            return
    if account_id in _under_way:
        return
    asked = broker.start(_list_in_time(account_id))
    _under_way.add(account_id)
    try:
        listing = asked.result(GLANCE_SECONDS if account and account.listed_at else None)
    except TimeoutError:
        asked.add_done_callback(lambda answer: _late.submit(_save_late, account_id, answer, now))
        return
    except BaseException:
        _under_way.discard(account_id)
        raise
    _under_way.discard(account_id)
    if account is None and not listing.whole:
        return  # nothing is known of it, and nothing was learnt
    save(account_id, listing, now)


def keep_watched(account_ids: Collection[int], *, now: datetime) -> None:
    """Note that somebody looks at some accounts, so that their lists are kept fresh; the broker is not asked here."""
    few = list(account_ids)[:WATCHED_AT_ONCE]
    due = Q(looked_at=None) | Q(looked_at__lt=now - WATCHED_FOR / 2)
    watched = Account.objects.filter(due, account_id__in=few)
    # Looked for first: a page that asks every two seconds takes SQLite's lock once in a while only.
    if watched.exists():
        watched.update(looked_at=now)


def _rest(account: Account, is_watched: bool) -> timedelta:
    if account.error:
        return LET_REST
    return KEPT_FRESH_FOR if is_watched else FRESH_FOR


def _save_late(account_id: int, answer: "Future[Listing[Order]]", asked_at: datetime) -> None:
    try:
        save(account_id, answer.result(), asked_at)
    except Exception:
        logger.exception("the orders of account %s could not be saved", account_id)
    finally:
        _under_way.discard(account_id)
        connection.close()


async def _list_in_time(account_id: int) -> Listing[Order]:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await _list(account_id)
    except TimeoutError:
        return Listing(items=[], whole=False, error=BrokerError(f"no answer within {LOOK_SECONDS:g} s"))


async def _list(account_id: int, pace: Pace | None = None) -> Listing[Order]:
    async def wait() -> None:
        if pace is not None:
            await pace()
        # To decode a page takes as long as to send many a cancel.
        await broker.client().calm(CALM_SECONDS)

    return await broker.client().orders(account_id, before_page=wait)


def save(account_id: int, listing: Listing[Order], asked_at: datetime) -> None:
    """Keep what was listed, unless something newer is there. A list that is not whole never replaces one that is."""
    Account.objects.get_or_create(account_id=account_id)
    orders = [order for order in listing.items if order.is_open]
    arrived = arrivals(listing.items, asked_at)
    tried = {"tried_at": asked_at, "error": _words(listing.error)}
    with transaction.atomic():
        older = Account.objects.filter(Q(tried_at=None) | Q(tried_at__lte=asked_at), account_id=account_id)
        keeps = listing.whole or not older.filter(is_whole=True).exists()
        if not keeps or (not listing.whole and not orders):
            older.update(**tried)
        elif older.update(**tried, listed_at=asked_at, is_whole=listing.whole, **sums(orders), arrivals=arrived):
            Snapshot.objects.update_or_create(
                account_id=account_id,
                defaults={"listing": uuid.uuid4(), "orders": zlib.compress(pack.encode(orders), 1)},
            )


def arrivals(orders: Iterable[Order], until: datetime) -> list[int]:
    """Count the orders that came in each twelfth of the minute before `until`, those that came since in the last."""
    parts = [0] * ARRIVALS_PARTS
    for order in orders:
        created = order.created
        if created is not None:
            ago = max(0, (until - created) // ARRIVALS_IN)
            if ago < ARRIVALS_PARTS:
                parts[-1 - ago] += 1
    return parts


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
