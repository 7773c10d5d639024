"""What is possible at all: the same calls without the product. `python -m tests.speed.bare WHAT URL …` prints JSON.

Each measurement is a process of its own that has imported nothing of the product. The key is in CLEAR_STREET_API_KEY.
Whatever the broker does not do ends it: a refusal is quicker than a cancel.
"""

import asyncio
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import aiohttp

KEY = os.environ["CLEAR_STREET_API_KEY"]
HEADERS = {"Authorization": f"Bearer {KEY}", "Accept": "application/json"}
KIB = 1024


def _path(account: int, order_id: str = "") -> str:
    return f"/v1/accounts/{account}/orders" + (f"/{order_id}" if order_id else "")


def _page(account: int, token: str) -> str:
    return f"{_path(account)}?page_size=1000" + (f"&page_token={token}" if token else "")


async def _session(url: str, connections: int, warm: int) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        url, headers=HEADERS, connector=aiohttp.TCPConnector(limit=connections), raise_for_status=True
    )
    await asyncio.gather(*(_get(session, "/v1/version") for _ in range(warm)))
    return session


async def _get(session: aiohttp.ClientSession, path: str) -> bytes:
    async with session.get(path) as response:
        return await response.read()


async def _delete(session: aiohttp.ClientSession, path: str) -> None:
    async with session.delete(path) as response:
        await response.read()


async def _gathered(url: str, paths: list[str], connections: int) -> float:
    """Send every DELETE at once over warm connections, and return the seconds until the last was answered."""
    session = await _session(url, connections, min(len(paths), connections or len(paths)))
    async with session:
        began = time.perf_counter()
        await asyncio.gather(*(_delete(session, path) for path in paths))
        return time.perf_counter() - began


def mass(url: str, accounts: list[int]) -> float:
    return asyncio.run(_gathered(url, [_path(account) for account in accounts], 0))


def single(url: str, account: int, prefix: str, connections: int) -> float:
    """List an account page by page, and cancel each order that begins so, as the product has to."""
    return asyncio.run(_single(url, account, prefix, connections))


async def _single(url: str, account: int, prefix: str, connections: int) -> float:
    session = await _session(url, connections, connections)
    async with session:
        began = time.perf_counter()
        token, under_way = "", []
        while True:
            page = json.loads(await _get(session, _page(account, token)))
            mine = [one["id"] for one in page["data"] if one.get("client_order_id", "").startswith(prefix)]
            under_way += [asyncio.create_task(_delete(session, _path(account, order_id))) for order_id in mine]
            token = page["metadata"].get("next_page_token")
            if not token:
                break
        await asyncio.gather(*under_way)
        return time.perf_counter() - began


def sdk_one_by_one(url: str, accounts: list[int]) -> float:
    from clearstreet import ClearStreet

    with ClearStreet(api_key=KEY, base_url=url, max_retries=0) as client:
        began = time.perf_counter()
        for account in accounts:
            client.v1.orders.cancel_all_open_orders(account)
        return time.perf_counter() - began


def sdk_threads(url: str, accounts: list[int]) -> float:
    from clearstreet import ClearStreet

    with ClearStreet(api_key=KEY, base_url=url, max_retries=0) as client, ThreadPoolExecutor(32) as threads:
        list(threads.map(lambda _: client.v1.api_version.get_version(), range(32)))
        began = time.perf_counter()
        list(threads.map(client.v1.orders.cancel_all_open_orders, accounts))
        return time.perf_counter() - began


def sdk_async(url: str, accounts: list[int]) -> float:
    return asyncio.run(_sdk_async(url, accounts))


async def _sdk_async(url: str, accounts: list[int]) -> float:
    from clearstreet import AsyncClearStreet

    async with AsyncClearStreet(api_key=KEY, base_url=url, max_retries=0) as client:
        await asyncio.gather(*(client.v1.api_version.get_version() for _ in range(len(accounts))))
        began = time.perf_counter()
        await asyncio.gather(*(client.v1.orders.cancel_all_open_orders(account) for account in accounts))
        return time.perf_counter() - began


def trips(url: str, redis_socket: str, count: int) -> list[float]:
    """One bare round trip to Redis and one HTTP request on a connection that is there, so many times, in seconds."""
    return asyncio.run(_trips(url, redis_socket, count))


async def _trips(url: str, redis_socket: str, count: int) -> list[float]:
    with socket.socket(socket.AF_UNIX) as redis:
        redis.connect(redis_socket)
        session = await _session(url, 1, 1)
        async with session:
            return [await _trip(redis, session) for _ in range(count)]


async def _trip(redis: socket.socket, session: aiohttp.ClientSession) -> float:
    began = time.perf_counter()
    redis.sendall(b"PING\r\n")
    redis.recv(100)
    await _get(session, "/v1/version")
    return time.perf_counter() - began


def listed(url: str, account: int) -> tuple[float, float]:
    """List all orders of an account into structs of the same fields: seconds, and the most memory held, in MB."""
    import msgspec

    class Order(msgspec.Struct):
        id: str
        account_id: int
        client_order_id: str | None = None
        symbol: str | None = None
        instrument_id: str | None = None
        instrument_type: str | None = None
        underlying_instrument_id: str | None = None
        side: str | None = None
        order_type: str | None = None
        time_in_force: str | None = None
        status: str | None = None
        quantity: Decimal | None = None
        leaves_quantity: Decimal | None = None
        filled_quantity: Decimal | None = None
        limit_price: Decimal | None = None
        stop_price: Decimal | None = None
        average_fill_price: Decimal | None = None
        queue_state: str | None = None
        releases_at: str | None = None
        venue: str | None = None
        created_at: str | None = None
        updated_at: str | None = None
        expires_at: str | None = None
        details: list[str] | None = None
        legs: list[dict[str, Any]] | None = None

    class Metadata(msgspec.Struct):
        next_page_token: str | None = None

    class Page(msgspec.Struct):
        data: list[Order]
        metadata: Metadata

    async def fetch() -> tuple[float, float]:
        async with await _session(url, 1, 1) as session:
            return await _timed(everything(session))

    async def everything(session: aiohttp.ClientSession) -> int:
        orders, token, decode = [], "", msgspec.json.Decoder(Page).decode
        while True:
            page = decode(await _get(session, _page(account, token)))
            orders += page.data
            token = page.metadata.next_page_token or ""
            if not token:
                return len(orders)

    return asyncio.run(fetch())


def listed_by_us(url: str, account: int) -> tuple[float, float]:
    """The same by the product's own client."""
    from killswitch.broker.client import ClearStreet

    async def fetch() -> tuple[float, float]:
        client = ClearStreet(api_key=KEY, base_url=url)
        await client.version()
        took = await _timed(everything(client))
        await client.aclose()
        return took

    async def everything(client: ClearStreet) -> int:
        return len((await client.orders(account)).items)

    return asyncio.run(fetch())


async def _timed(fetch: Awaitable[int]) -> tuple[float, float]:
    """Wait for it over a connection that is there: seconds, and how much more memory was held, in MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    if not await fetch:
        raise RuntimeError("nothing was listed")
    took = time.perf_counter() - began
    return took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / KIB


WHAT: dict[str, Callable[..., Any]] = {
    made.__name__: made for made in (mass, single, sdk_one_by_one, sdk_threads, sdk_async, trips, listed, listed_by_us)
}


if __name__ == "__main__":
    name, *given = json.loads(sys.argv[1])
    print(json.dumps(WHAT[name](*given)))
