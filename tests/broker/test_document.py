"""What the client sends, held against the broker's own OpenAPI document."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from killswitch.broker import BrokerError, ClearStreet
from killswitch.simulator.process import SimulatorProcess
from tests.simulator.document import Document

FIRST = 19816


async def make_every_call(client: ClearStreet) -> None:
    await client.version()
    await client.accounts()
    listing = await client.orders(FIRST)
    assert listing.whole
    await client.orders(FIRST, order_ids=[order.id for order in listing.items[:3]])
    await client.executions(FIRST, since=datetime(2025, 10, 31, 13, 30, tzinfo=UTC), instrument_ids=["AAPL"])
    await client.order(FIRST, listing.items[0].id)
    await client.cancel_open_order(FIRST, listing.items[0].id)
    for filters in (
        {"side": "SELL"},
        {"order_type": "STOP_LIMIT"},
        {"instrument_type": "OPTION"},
        {"instrument_ids": ["TSLA", "AAPL"]},
        {"side": "BUY", "order_type": "LIMIT", "instrument_type": "COMMON_STOCK", "instrument_ids": ["SPY"]},
        {},
    ):
        try:
            await client.cancel_all_open_orders(FIRST, **filters)  # type: ignore[arg-type]
        except BrokerError as error:
            assert error.code == "nothing_matches"


def test_no_request_of_ours_breaks_the_document(make_simulator: Callable[..., SimulatorProcess]) -> None:
    simulator = make_simulator("--accounts", "2", "--orders", "30", "--page-size-max", "10")

    async def run() -> None:
        client = ClearStreet(api_key=simulator.api_key, base_url=simulator.url)
        try:
            await make_every_call(client)
        finally:
            await client.aclose()

    asyncio.run(run())
    document, requests = Document.load(), simulator.control.log()
    assert {request["call"] for request in requests} == {
        "version",
        "accounts",
        "list_orders",
        "executions",
        "get_order",
        "cancel_one",
        "cancel_all",
    }
    assert len([r for r in requests if "page_token" in r["query"]]) >= 3
    broken = {
        (request["path"], violation)
        for request in requests
        for violation in document.check_request(request["method"], request["path"], request["query"])
    }
    assert broken == set()
    assert [r["status"] for r in requests if r["status"] not in (200, 404)] == []


def test_the_document_would_notice() -> None:
    assert Document.load().check_request("DELETE", f"/v1/accounts/{FIRST}/orders", {"status": "NEW"}) != []


@pytest.mark.parametrize("path", ["/v1/accounts/x/orders", "/v1/nothing"])
def test_the_document_would_notice_a_path(path: str) -> None:
    assert Document.load().check_request("GET", path, {}) != []
