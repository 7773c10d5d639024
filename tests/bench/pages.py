"""How long the server takes over the pages that are full in an incident, and how much it sends.

Measured in this process, from the request to the last byte of the answer, against a page that shows nothing.
"""

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from html import unescape
from statistics import median
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from killswitch.access.role_names import RISK_DESK
from killswitch.access.roles import give_role
from killswitch.book import queries
from killswitch.book.models import Account, AccountList
from killswitch.book.operations import save
from killswitch.broker import Listing, Order
from orders_ui import account_orders

FIRST = 19816
ORDERS = 10_000
ACCOUNTS = (500, 1_000)
RUNS = 15
HTMX = {"HX-Request": "true"}


@dataclass(frozen=True)
class Timed:
    """One page: the time of its middle run and of its worst, the processor's time of its middle run, its bytes."""

    name: str
    median: float
    worst: float
    cpu: float
    size: int


def measure() -> Iterator[Timed]:
    """Fill the scratch database, and time each page."""
    settings.ALLOWED_HOSTS = ["testserver"]
    client = _client()
    yield _time("an empty page (/kills/)", lambda: _get(client, "/kills/"))
    for count in ACCOUNTS:
        _fill(count)
        yield from _desk(client, count)
    yield from _account(client)


def show(found: Iterator[Timed]) -> None:
    print(f"{'milliseconds':50} {'median':>8} {'worst':>8} {'CPU':>8} {'CPU over empty':>15} {'bytes':>11}")
    empty = None
    for page in found:
        empty = empty or page
        times = [1000 * value for value in (page.median, page.worst, page.cpu)]
        over = times[2] - 1000 * empty.cpu
        print(
            f"{page.name:50} {times[0]:8.1f} {times[1]:8.1f} {times[2]:8.1f} {over:+15.1f} {page.size:11,}", flush=True
        )


def _client() -> Client:
    user, is_new = User.objects.get_or_create(username="bench")
    if is_new:
        give_role(user, RISK_DESK)
    client = Client()
    client.force_login(user)
    return client


def _desk(client: Client, count: int) -> Iterator[Timed]:
    yield _time(f"desk, {count:,} accounts", lambda: _get(client, "/"))
    yield _time(f"desk, {count:,} accounts, by notional", lambda: _get(client, "/?sort=-notional"))
    has = _found(client, "/", r'name="has" value="([^"]*)"')
    yield _time("  its poll, nothing new", lambda: _get(client, f"/?has={has}", **HTMX))
    now = timezone.now()
    for account_id in range(FIRST, FIRST + 15):  # what a pace of 5 a second lists anew within three
        Account.objects.filter(account_id=account_id).update(listed_at=now)
    yield _time("  its poll, 15 accounts listed anew", lambda: _get(client, f"/?has={has}", **HTMX))


def _account(client: Client) -> Iterator[Timed]:
    address = f"/accounts/{FIRST}/"
    orders = list(map(_order, range(ORDERS)))
    _save(orders)
    account = f"{ORDERS:,} orders"
    yield _time(f"{account}, first screen, nothing kept", lambda: _get(client, address), before=_forget)
    yield _time(f"{account}, first screen", lambda: _get(client, address))
    yield _time(
        f"{account}, a filter that is new", lambda: _get(client, f"{address}?side=SELL"), before=_forget_filters
    )
    prefix = f"{address}?client_order_id_prefix=vwap-1"
    yield _time(f"{account}, another one, typed", lambda: _get(client, prefix, **HTMX), before=_forget_filters)
    by_price = f"{address}?sort=-price"
    yield _time(f"{account}, sorted anew", lambda: _get(client, by_price), before=_forget_filters)
    more = _found(client, address, rf'hx-get="({address}rows/[^"]*)"')
    yield _time("  the next 100 rows", lambda: _get(client, more, **HTMX))
    chunk = _found(client, address, r'data-chunk="([^"]*)"')
    poll = f"{address}?{urlencode({'chunk': chunk})}"
    yield _time("  its poll, nothing new", lambda: _get(client, poll, **HTMX))
    _save([_order(ORDERS), *orders])
    yield _time("  its poll, a new list with one more order", lambda: _get(client, poll, **HTMX), before=_forget)
    yield _time("  all of them as text", lambda: _get(client, f"{address}orders.txt"))


def _time(name: str, get: Callable[[], int], before: Callable[[], None] = lambda: None) -> Timed:
    get()
    times, work = [], []
    for _ in range(RUNS):
        before()
        Account.objects.filter(account_id=FIRST).update(tried_at=timezone.now())  # no broker is asked
        began, worked = time.perf_counter(), time.process_time()
        size = get()
        times.append(time.perf_counter() - began)
        work.append(time.process_time() - worked)
    return Timed(name, median(times), max(times), median(work), size)


def _found(client: Client, address: str, pattern: str) -> str:
    """Return what a page carries for its next request."""
    found = re.search(pattern, client.get(address).content.decode())
    if found is None:
        raise RuntimeError(f"{address} has no {pattern}")
    return unescape(found[1])


def _get(client: Client, address: str, **headers: str) -> int:
    response = client.get(address, headers=headers)
    if response.status_code != 200:
        raise RuntimeError(f"{address} answered {response.status_code}")
    return sum(map(len, response))


def _forget() -> None:
    """Leave the process as it is just after its start, or when there is a new list."""
    queries._kept.clear()
    _forget_filters()


def _forget_filters() -> None:
    account_orders._matching.clear()
    account_orders._sorted.clear()


def _fill(count: int) -> None:
    now = timezone.now()
    Account.objects.all().delete()
    Account.objects.bulk_create(_account_row(FIRST + number, now) for number in range(count))
    AccountList.objects.update_or_create(id=1, defaults={"listed_at": now, "tried_at": now})


def _account_row(account_id: int, now: datetime) -> Account:
    chance = random.Random(account_id)
    buys, sells = chance.randrange(5000), chance.randrange(5000)
    return Account(
        account_id=account_id,
        short_name=f"VWAP {account_id}",
        full_name=f"Agency VWAP {account_id}",
        status="ACTIVE",
        listed_at=now - timedelta(seconds=chance.randrange(200)),
        tried_at=now,
        is_whole=True,
        open_orders=buys + sells,
        buys=buys,
        sells=sells,
        stops=chance.randrange(100),
        notional=Decimal(chance.randrange(10**10)) / 100,
        unpriced=chance.choice((0, 0, 7)),
        oldest_at=now - timedelta(seconds=chance.randrange(100_000)),
        arrivals=[chance.randrange(20) for _ in range(12)],
    )


def _order(number: int) -> Order:
    chance = random.Random(number)
    quantity = Decimal(chance.randrange(1, 100) * 100)
    return Order(
        id=f"order-{number:08}",
        account_id=FIRST,
        client_order_id=f"{chance.choice(('vwap', 'mm', 'arb'))}-{number:08}",
        symbol=chance.choice(("AAPL", "TSLA", "MSFT", "NVDA", "BRK.B")),
        instrument_type="COMMON_STOCK",
        side=chance.choice(("BUY", "SELL", "SELL_SHORT")),
        order_type=chance.choice(("LIMIT", "LIMIT", "LIMIT", "STOP")),
        time_in_force=chance.choice(("DAY", "GOOD_TILL_CANCEL")),
        status=chance.choice(("NEW", "PARTIALLY_FILLED")),
        quantity=quantity,
        leaves_quantity=quantity,
        filled_quantity=Decimal(0),
        limit_price=Decimal(chance.randrange(1000, 100_000)) / 100,
        venue=chance.choice(("XNAS", "ARCX")),
        created_at=(datetime(2026, 1, 2, 14, 30, tzinfo=timezone.get_current_timezone()) + timedelta(seconds=number))
        .isoformat()
        .replace("+00:00", ".000000000Z"),
    )


def _save(orders: list[Order]) -> None:
    save(FIRST, Listing(items=orders, whole=True), timezone.now())
