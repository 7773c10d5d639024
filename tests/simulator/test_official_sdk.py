"""The official SDK, validating strictly, takes the simulator for the broker."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import clearstreet
import pytest
from clearstreet import ClearStreet
from clearstreet.types.v1 import Order

from killswitch.simulator.instruments import BY_NAME
from killswitch.simulator.process import Control, SimulatorProcess

from .conftest import FIRST
from .wire import wait_for


def sdk(simulator: SimulatorProcess, api_key: str | None = None) -> ClearStreet:
    return ClearStreet(
        api_key=api_key or simulator.api_key,
        base_url=simulator.url,
        max_retries=0,
        _strict_response_validation=True,
    )


@pytest.fixture
def client(simulator: SimulatorProcess) -> Iterator[ClearStreet]:
    with sdk(simulator) as made:
        yield made


@pytest.fixture
def orders(control: Control, account: int) -> list[dict[str, Any]]:
    """A buy, a sell, a short sell, a stop and an option."""
    kinds: list[dict[str, Any]] = [
        {"symbol": "TSLA", "client_order_id": f"mine-{account}"},
        {"symbol": "AAPL", "side": "SELL"},
        {"symbol": "AAPL", "side": "SELL_SHORT", "time_in_force": "AT_THE_CLOSE"},
        {"symbol": "MSFT", "side": "SELL", "order_type": "STOP", "status": "PENDING_TRIGGER"},
        {"symbol": "TSLA  261218C00250000", "status": "QUEUED"},
    ]
    return [control.add_orders(account, order=kind)[0] for kind in kinds]


def ids(found: list[Order]) -> set[str]:
    return {order.id for order in found}


class TestReading:
    def test_the_version_is_the_newest_because_the_sdk_names_itself(self, client: ClearStreet) -> None:
        assert client.v1.api_version.get_version().data.version == "2026-11"

    def test_accounts_come_in_pages(self, client: ClearStreet) -> None:
        first = client.v1.accounts.get_accounts(page_size=3)
        assert [each.id for each in first.data] == [FIRST, FIRST + 1, FIRST + 2]
        token = first.metadata.next_page_token
        assert token is not None
        second = client.v1.accounts.get_accounts(page_token=token)
        assert second.data[0].id == FIRST + 3
        assert (second.metadata.page_number, second.metadata.total_items) == (2, first.metadata.total_items)

    def test_accounts_are_found_by_number_and_name(self, client: ClearStreet) -> None:
        assert [each.id for each in client.v1.accounts.get_accounts(account_id=str(FIRST)).data] == [FIRST]
        [made] = client.v1.accounts.get_accounts(account_name="market MAKING 01").data
        assert made.short_name == "TST-MM-01"

    def test_one_account_and_its_risk_settings(self, client: ClearStreet, account: int) -> None:
        assert client.v1.accounts.get_account_by_id(account).data.id == account
        patched = client.v1.accounts.patch_account_by_id(account, risk={"max_notional": "0"})
        assert patched.data.risk is not None
        assert patched.data.risk.max_notional == "0"

    def test_the_whole_book_is_valid(self, client: ClearStreet) -> None:
        statuses = set()
        for account_id in range(FIRST, FIRST + 4):
            statuses |= {order.status for order in client.v1.orders.get_orders(account_id).data}
            assert client.v1.orders.get_executions(account_id).data
        assert statuses >= {"NEW", "QUEUED", "PENDING_TRIGGER", "PARTIALLY_FILLED", "FILLED", "SUSPENDED"}

    def test_short_sells_and_closing_orders_are_shown_in_the_newer_words(
        self, client: ClearStreet, account: int, orders: list[dict[str, Any]]
    ) -> None:
        shown = client.v1.orders.get_order_by_id(orders[2]["id"], account_id=account).data
        assert (orders[2]["side"], orders[2]["time_in_force"]) == ("SELL_SHORT", "AT_THE_CLOSE")
        assert (shown.side, shown.time_in_force) == ("SELL", "AT_CLOSE")

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"status": ["NEW"]}, {0, 1, 2}),
            ({"status": ["QUEUED", "PENDING_TRIGGER"]}, {3, 4}),
            ({"symbol": "AAPL"}, {1, 2}),
            ({"instrument_ids": ["AAPL", BY_NAME["TSLA"].id]}, {0, 1, 2}),
            ({"instrument_ids": ["TSLA  261218C00250000"]}, {4}),
            ({"instrument_type": "OPTION"}, {4}),
            ({"underlying_instrument_ids": ["TSLA"]}, {4}),
            ({"from_": datetime.now(UTC) - timedelta(hours=1)}, {0, 1, 2, 3, 4}),
            ({"to": datetime.now(UTC) - timedelta(hours=1)}, set()),
            ({"updated_at": {"gte": "2100-01-01"}}, set()),
            ({"updated_at": {"lt": "2100-01-01"}}, {0, 1, 2, 3, 4}),
            ({"page_size": 2}, {0, 1}),
        ],
    )
    def test_each_filter_of_the_list(
        self,
        client: ClearStreet,
        account: int,
        orders: list[dict[str, Any]],
        filters: dict[str, Any],
        expected: set[int],
    ) -> None:
        found = client.v1.orders.get_orders(account, **filters).data
        assert ids(found) == {orders[place]["id"] for place in expected}

    def test_orders_are_found_by_either_of_their_ids(
        self, client: ClearStreet, account: int, orders: list[dict[str, Any]]
    ) -> None:
        found = client.v1.orders.get_orders(account, order_ids=[orders[3]["id"], f"mine-{account}"]).data
        assert ids(found) == {orders[0]["id"], orders[3]["id"]}

    def test_executions(
        self, client: ClearStreet, control: Control, account: int, orders: list[dict[str, Any]]
    ) -> None:
        control.fill(orders[0]["id"], "5")
        control.fill(orders[2]["id"], "7")
        fills = client.v1.orders.get_executions(account).data
        assert [(fill.order_id, fill.quantity, fill.side) for fill in fills] == [
            (orders[2]["id"], "7", "SELL"),
            (orders[0]["id"], "5", "BUY"),
        ], "newest first"
        assert len(client.v1.orders.get_executions(account, instrument_ids=["TSLA"]).data) == 1
        assert len(client.v1.orders.get_executions(account, order_ids=[orders[2]["id"]]).data) == 1
        assert client.v1.orders.get_executions(account, underlying_instrument_ids=["TSLA"]).data == []


class TestWriting:
    def test_submits_an_order_that_is_taken_in(self, client: ClearStreet, account: int) -> None:
        [order] = client.v1.orders.submit_orders(
            account,
            orders=[
                {
                    "symbol": "TSLA",
                    "side": "BUY",
                    "order_type": "LIMIT",
                    "limit_price": "48.00",
                    "quantity": "10",
                    "time_in_force": "AT_CLOSE",
                    "id": "my-ref",
                }
            ],
        ).data
        assert (order.status, order.client_order_id, order.time_in_force) == ("PENDING_NEW", "my-ref", "AT_CLOSE")

        def status() -> str:
            return client.v1.orders.get_order_by_id(order.id, account_id=account).data.status

        wait_for(lambda: status() == "NEW", "the order to be taken in")

    def test_cancels_one(self, client: ClearStreet, account: int, orders: list[dict[str, Any]]) -> None:
        accepted = client.v1.orders.cancel_open_order(orders[0]["id"], account_id=account).data
        assert accepted.status == "PENDING_CANCEL"

        def order() -> Order:
            return client.v1.orders.get_order_by_id(orders[0]["id"], account_id=account).data

        wait_for(lambda: order().status == "CANCELED", "the cancel")
        assert order().leaves_quantity == "0"

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({}, {0, 1, 2, 3, 4}),
            ({"side": "BUY"}, {0, 4}),
            ({"side": "SELL"}, {1, 2, 3}),
            ({"type": "STOP"}, {3}),
            ({"instrument_type": "OPTION"}, {4}),
            ({"instrument_ids": ["TSLA", BY_NAME["MSFT"].id]}, {0, 3}),
            ({"side": "SELL", "type": "LIMIT", "instrument_ids": ["AAPL"]}, {1, 2}),
        ],
    )
    def test_cancels_all_with_each_filter(
        self,
        client: ClearStreet,
        control: Control,
        account: int,
        orders: list[dict[str, Any]],
        filters: dict[str, Any],
        expected: set[int],
    ) -> None:
        accepted = client.v1.orders.cancel_all_open_orders(account, **filters).data
        taken = {orders[place]["id"] for place in expected}
        assert ids(accepted) == taken
        assert {order.status for order in accepted} == {"PENDING_CANCEL"}
        rest = {o["id"] for o in control.book(account) if o["status"] != "PENDING_CANCEL"}
        assert rest == {o["id"] for o in orders} - taken


class TestErrors:
    def test_401_for_a_wrong_key(self, simulator: SimulatorProcess) -> None:
        with sdk(simulator, "wrong") as stranger, pytest.raises(clearstreet.AuthenticationError):
            stranger.v1.accounts.get_accounts()

    def test_the_version_needs_no_key(self, simulator: SimulatorProcess) -> None:
        with sdk(simulator, "wrong") as stranger:
            assert stranger.v1.api_version.get_version().data.version

    def test_403(self, client: ClearStreet, control: Control) -> None:
        control.add_fault(match={"call": "cancel_all"}, do={"status": 403})
        with pytest.raises(clearstreet.PermissionDeniedError, match="caller does not have permission"):
            client.v1.orders.cancel_all_open_orders(FIRST)

    def test_404_for_a_filter_an_order_and_an_account(self, client: ClearStreet, account: int) -> None:
        with pytest.raises(clearstreet.NotFoundError, match="No orders match the specified filters"):
            client.v1.orders.cancel_all_open_orders(account)
        with pytest.raises(clearstreet.NotFoundError, match=f"Order nope not found for account {account}"):
            client.v1.orders.cancel_open_order("nope", account_id=account)
        with pytest.raises(clearstreet.NotFoundError, match="Account 7 not found"):
            client.v1.orders.cancel_all_open_orders(7)

    def test_400_for_a_side_that_the_newer_wire_does_not_have(self, client: ClearStreet) -> None:
        with pytest.raises(clearstreet.BadRequestError, match="Invalid value for side: 'SELL_SHORT'"):
            client.v1.orders.cancel_all_open_orders(FIRST, side="SELL_SHORT")  # type: ignore[arg-type]

    def test_429_with_the_time_to_wait(self, client: ClearStreet, control: Control) -> None:
        control.add_fault(match={"call": "list_orders"}, do={"status": 429, "retry_after": 7}, times=1)
        with pytest.raises(clearstreet.RateLimitError) as caught:
            client.v1.orders.get_orders(FIRST)
        assert caught.value.response.headers["Retry-After"] == "7"
        assert client.v1.orders.get_orders(FIRST).data, "the fault was for one request"

    def test_500(self, client: ClearStreet, control: Control) -> None:
        control.add_fault(do={"status": 500})
        with pytest.raises(clearstreet.InternalServerError):
            client.v1.orders.get_orders(FIRST)

    def test_strict_validation_bites(self, client: ClearStreet, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={})
        assert client.v1.orders.get_orders(account).data
        control.set_order(order["id"], status="MARTIAN")
        with pytest.raises(clearstreet.APIResponseValidationError):
            client.v1.orders.get_orders(account)
