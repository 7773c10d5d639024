"""What is in the book at the start, and what becomes of orders."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from killswitch.simulator.instruments import BY_NAME
from killswitch.simulator.process import Control, Refused, SimulatorProcess
from tests.nothing_secret import API_KEY

from .conftest import CANCEL_MS, FIRST
from .wire import ENDS, Wire, wait_for

Start = Callable[..., SimulatorProcess]
TIMES = {"created_at", "updated_at", "expires_at", "releases_at", "trailing_watermark_ts", "strategy"}


def timeless(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in order.items() if name not in TIMES} for order in orders]


class TestTheBookAtTheStart:
    def test_the_seed_decides_everything_but_the_times(self, start: Start) -> None:
        books = [start("--accounts", "2", "--seed", seed).control.book() for seed in ("7", "7", "8")]
        assert timeless(books[0]) == timeless(books[1])
        assert timeless(books[0]) != timeless(books[2])

    def test_one_order_per_account_is_a_plain_one(self, start: Start) -> None:
        orders = start("--accounts", "2", "--orders", "1", "--ended", "0").control.book()
        assert [o["symbol"] for o in orders] == ["TSLA", "AAPL"]
        plain = {"status": "NEW", "order_type": "LIMIT", "side": "BUY", "time_in_force": "DAY"}
        assert all(plain.items() <= order.items() for order in orders)

    def test_two_accounts_of_twenty_go_through_every_kind(self, start: Start) -> None:
        control = start("--accounts", "4", "--orders", "20").control
        for first in (FIRST, FIRST + 2):
            orders = [*control.book(first, open=True), *control.book(first + 1, open=True)]
            assert len(orders) == 40
            for name, expected in {
                "status": {"NEW", "PARTIALLY_FILLED", "PENDING_NEW", "QUEUED", "PENDING_TRIGGER", "SUSPENDED", "OTHER"},
                "side": {"BUY", "SELL", "SELL_SHORT"},
                "order_type": {"MARKET", "LIMIT", "STOP", "STOP_LIMIT", "TRAILING_STOP", "TRAILING_STOP_LIMIT"},
                "time_in_force": {"DAY", "GOOD_TILL_CANCEL", "GOOD_TILL_DATE", "AT_THE_CLOSE"},
                "instrument_type": {"COMMON_STOCK", "OPTION", None},
                "queue_state": {"AWAITING_RELEASE", "RELEASED"},
                "leaves_quantity": {"0.5"},
            }.items():
                assert expected <= {order.get(name) for order in orders}, name

    def test_orders_of_a_kind_are_whole(self, shared: SimulatorProcess) -> None:
        orders = shared.control.book()
        multileg = [o for o in orders if o["symbol"] is None]
        assert multileg
        assert all(o["instrument_id"] is None and o["instrument_type"] is None and o["legs"] for o in multileg)
        options = [o for o in orders if o["instrument_type"] == "OPTION"]
        assert all(len(o["symbol"]) == 21 and o["underlying_instrument_id"] for o in options)
        assert all(o["releases_at"] for o in orders if o.get("queue_state") == "AWAITING_RELEASE")
        assert all(o["expires_at"] for o in orders if o["time_in_force"] == "GOOD_TILL_DATE")
        assert all(o["stop_price"] for o in orders if o["order_type"] in {"STOP", "STOP_LIMIT"})

    def test_ended_orders_are_in_the_list_and_every_account_starts_with_a_sell_of_tsla(self, wire: Wire) -> None:
        for account_id in range(FIRST, FIRST + 4):
            orders = wire.get(f"/v1/accounts/{account_id}/orders").data
            assert len([o for o in orders if o["status"] in ENDS]) == 3
            assert any((o["side"], o["order_type"], o["symbol"]) == ("SELL", "LIMIT", "TSLA") for o in orders)

    def test_an_instrument_always_has_the_same_id(self, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={"symbol": "TSLA"})
        assert order["instrument_id"] == BY_NAME["TSLA"].id == "d4d5d6d7-e4e5-f4f5-a4a5-a6a7a8a9aaab"


class TestCancelingOne:
    def test_is_pending_at_once_and_canceled_later(self, wire: Wire, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={})
        accepted = wire.delete(f"/v1/accounts/{account}/orders/{order['id']}").data
        assert (accepted["status"], accepted["leaves_quantity"]) == ("PENDING_CANCEL", order["leaves_quantity"])
        canceled = wait_for(lambda: gone(wire, account, order["id"]), "the cancel")
        assert (canceled["status"], canceled["leaves_quantity"]) == ("CANCELED", "0")
        assert canceled["details"] == ["Canceled by request"]
        assert seconds(canceled["updated_at"]) - seconds(accepted["updated_at"]) >= CANCEL_MS / 1000
        assert canceled["created_at"] == order["created_at"]

    def test_is_a_success_without_effect_on_an_order_that_has_ended(self, wire: Wire, control: Control) -> None:
        ended = [o for o in control.book(FIRST) if o["status"] in ENDS]
        assert ended
        for order in ended:
            assert wire.delete(f"/v1/accounts/{FIRST}/orders/{order['id']}").data == order

    def test_a_second_time_is_a_success_and_does_not_begin_again(
        self, wire: Wire, control: Control, account: int
    ) -> None:
        [order] = control.add_orders(account, order={})
        path = f"/v1/accounts/{account}/orders/{order['id']}"
        assert wire.delete(path).data == wire.delete(path).data
        assert wait_for(lambda: gone(wire, account, order["id"]), "the cancel")["details"] == ["Canceled by request"]

    def test_finds_the_order_in_its_own_account_only(self, wire: Wire, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={})
        reply = wire.delete(f"/v1/accounts/{FIRST}/orders/{order['id']}")
        assert (reply.status, reply.message) == (404, f"Order {order['id']} not found for account {FIRST}")
        assert wire.order(account, order["id"])["status"] == "NEW"

    def test_a_status_that_nobody_knows_is_open_and_canceled(self, wire: Wire, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={"status": "MARTIAN"})
        assert wire.delete(f"/v1/accounts/{account}/orders").data[0]["id"] == order["id"]
        assert wait_for(lambda: gone(wire, account, order["id"]), "the cancel")["status"] == "CANCELED"


class TestMassCancel:
    def test_takes_whatever_is_open_and_nothing_else(self, start: Start) -> None:
        simulator = start("--accounts", "2", "--orders", "30", "--cancel-ms", "50")
        wire, before = Wire(simulator), simulator.control.book(FIRST)
        accepted = wire.delete(f"/v1/accounts/{FIRST}/orders").data
        assert {o["id"] for o in accepted} == {o["id"] for o in before if o["status"] not in ENDS}
        assert {o["status"] for o in accepted} == {"PENDING_CANCEL"}
        assert {o.get("queue_state") for o in before} >= {"AWAITING_RELEASE"}
        wait_for(lambda: not simulator.control.book(FIRST, open=True), "the cancels")
        assert [o for o in simulator.control.book(FIRST) if o["id"] not in {a["id"] for a in accepted}] == [
            o for o in before if o["status"] in ENDS
        ]
        assert len(simulator.control.book(FIRST + 1, open=True)) == 30

    def test_again_while_they_are_pending_returns_them_and_404_comes_after_that(
        self, wire: Wire, control: Control, account: int
    ) -> None:
        control.add_orders(account, count=3)
        path = f"/v1/accounts/{account}/orders"
        assert wire.delete(path).data == wire.delete(path).data
        wait_for(lambda: not control.book(account, open=True), "the cancels")
        reply = wire.delete(path)
        assert (reply.status, reply.message) == (404, "No orders match the specified filters")

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"side": "SELL"}, {1}),
            ({"side": "SELL_SHORT"}, {2}),
            ({"side": "BUY", "type": "LIMIT"}, {0, 3}),
            ({"instrument_ids": "TSLA,MSFT"}, {0, 2}),
            ({"instrument_type": "OPTION"}, {3}),
        ],
    )
    def test_filters_are_exact_on_the_older_wire(
        self, wire: Wire, control: Control, account: int, filters: dict[str, str], expected: set[int]
    ) -> None:
        kinds = [{}, {"side": "SELL", "symbol": "AAPL"}, {"side": "SELL_SHORT"}, {"symbol": "TSLA  261218C00250000"}]
        orders = [control.add_orders(account, order=kind)[0] for kind in kinds]
        accepted = wire.delete(f"/v1/accounts/{account}/orders", **filters).data
        assert {o["id"] for o in accepted} == {orders[place]["id"] for place in expected}

    @pytest.mark.parametrize(
        "query",
        [
            "side=",
            "side=SHORT",
            "type=limit",
            "instrument_type=BOND",
            "instrument_ids=",
            "status=NEW",
            "side=BUY&side=SELL",
        ],
    )
    def test_a_filter_that_is_not_understood_cancels_nothing(
        self, wire: Wire, control: Control, account: int, query: str
    ) -> None:
        orders = control.add_orders(account, count=2)
        assert wire.call("DELETE", f"/v1/accounts/{account}/orders?{query}").status == 400
        assert control.book(account) == orders

    def test_of_100_000_orders_takes_seconds_and_does_not_block_the_rest(self, start: Start) -> None:
        simulator = start("--accounts", "1", "--orders", "100000", "--cancel-ms", "50")
        wire, before = Wire(simulator), datetime.now().astimezone()
        accepted = wire.delete(f"/v1/accounts/{FIRST}/orders").data
        assert len(accepted) == 100_000
        wait_for(lambda: simulator.control.summary()["open"] == 0, "all the cancels", 20)
        assert (datetime.now().astimezone() - before).total_seconds() < 15


class TestFills:
    def test_a_part_then_the_rest(self, wire: Wire, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={"quantity": "10", "limit_price": "48.00"})
        part = control.fill(order["id"], "2.5")
        assert (part["status"], part["filled_quantity"], part["leaves_quantity"]) == ("PARTIALLY_FILLED", "2.5", "7.5")
        whole = control.fill(order["id"])
        assert (whole["status"], whole["filled_quantity"], whole["leaves_quantity"]) == ("FILLED", "10", "0")
        assert whole["average_fill_price"] == "48.00"
        fills = wire.get(f"/v1/accounts/{account}/executions").data
        assert [(f["quantity"], f["price"], f["order_id"]) for f in fills] == [
            ("7.5", "48.00", order["id"]),
            ("2.5", "48.00", order["id"]),
        ]

    def test_in_part_leaves_a_pending_cancel_pending(self, wire: Wire, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={"quantity": "10"})
        wire.delete(f"/v1/accounts/{account}/orders")
        assert control.fill(order["id"], "4")["status"] == "PENDING_CANCEL"
        canceled = wait_for(lambda: gone(wire, account, order["id"]), "the cancel")
        assert (canceled["status"], canceled["filled_quantity"]) == ("CANCELED", "4")

    def test_wholly_outrun_a_cancel(self, wire: Wire, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={})
        [later] = control.add_orders(account, order={})
        wire.delete(f"/v1/accounts/{account}/orders")
        assert control.fill(order["id"])["status"] == "FILLED"
        wait_for(lambda: gone(wire, account, later["id"]), "the cancel that came with it")
        assert wire.order(account, order["id"])["status"] == "FILLED"

    @pytest.mark.parametrize("quantity", ["0", "-1", "11", "NaN", "many"])
    def test_that_cannot_be_are_refused(self, control: Control, account: int, quantity: str) -> None:
        [order] = control.add_orders(account, order={"quantity": "10"})
        with pytest.raises(Refused, match="400"):
            control.fill(order["id"], quantity)

    def test_of_an_ended_order_are_refused(self, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={"status": "CANCELED"})
        with pytest.raises(Refused, match="only an open order can fill"):
            control.fill(order["id"])


class TestTheEndOfADay:
    @pytest.mark.parametrize("status", ["DONE_FOR_DAY", "CALCULATED"])
    def test_ends_a_day_order_and_not_one_that_comes_back(
        self, wire: Wire, control: Control, account: int, status: str
    ) -> None:
        control.add_orders(account, order={"status": status})
        assert wire.delete(f"/v1/accounts/{account}/orders").status == 404
        [returning] = control.add_orders(account, order={"status": status, "time_in_force": "GOOD_TILL_CANCEL"})
        assert [o["id"] for o in wire.delete(f"/v1/accounts/{account}/orders").data] == [returning["id"]]


class TestFlow:
    def test_orders_arrive_and_fill_until_told_to_stop(self, start: Start) -> None:
        simulator = start("--accounts", "3", "--orders", "5")
        control, wire = simulator.control, Wire(simulator)
        before = control.summary()
        control.flow(arrivals_per_second=200, fills_per_second=200)
        wait_for(lambda: control.summary()["orders"] > before["orders"] + 10, "new orders")
        wait_for(lambda: control.summary()["executions"] > before["executions"] + 10, "fills")
        control.flow()
        after = control.summary()
        wire.delete(f"/v1/accounts/{FIRST}/orders")
        wait_for(lambda: not control.book(FIRST, open=True), "the cancels, so that time has passed")
        assert (control.summary()["orders"], control.summary()["executions"]) == (after["orders"], after["executions"])
        assert control.summary()["orders"] == control.summary()["orders"]

    def test_there_is_none_by_itself(self, control: Control, wire: Wire) -> None:
        before = control.book(FIRST)
        for _ in range(20):
            wire.get("/v1/version")
        assert control.book(FIRST) == before

    def test_it_can_be_had_from_the_command_line(self, start: Start) -> None:
        control = start("--accounts", "1", "--orders", "0", "--arrivals-per-second", "100").control
        wait_for(lambda: control.summary()["orders"] > 5, "new orders")


class TestSubmitting:
    GOOD = {"symbol": "TSLA", "side": "SELL_SHORT", "order_type": "MARKET", "quantity": "1", "time_in_force": "DAY"}

    def test_a_risk_limit_stops_nothing(self, wire: Wire, account: int) -> None:
        assert wire.call("PATCH", f"/v1/accounts/{account}", body={"risk": {"max_notional": "0"}}).status == 200
        [order] = wire.call("POST", f"/v1/accounts/{account}/orders", body=[self.GOOD]).data
        assert (order["status"], order["side"]) == ("PENDING_NEW", "SELL_SHORT")

    @pytest.mark.parametrize(
        ("change", "status", "message"),
        [
            ({"order_type": None}, 422, "[0]: missing field `order_type`"),
            ({"colour": "red"}, 422, "unknown field"),
            ({"symbol": None}, 400, "Either symbol or instrument_id must be provided"),
            ({"symbol": "NOPE"}, 400, "Instrument NOPE not found"),
            ({"side": "SHORT"}, 400, "Invalid value for side"),
            ({"order_type": "LIMIT"}, 400, "limit_price must be given"),
            ({"quantity": "0"}, 400, "Order quantity must be greater than zero"),
            ({"quantity": "ten"}, 400, "'ten' is not a decimal number"),
            ({"time_in_force": "AT_CLOSE"}, 400, "Invalid value for time_in_force"),
        ],
    )
    def test_what_is_wrong_is_refused(
        self, wire: Wire, control: Control, account: int, change: dict[str, Any], status: int, message: str
    ) -> None:
        reply = wire.call("POST", f"/v1/accounts/{account}/orders", body=[{**self.GOOD, **change}])
        assert reply.status == status
        assert message in reply.message
        assert control.book(account) == []

    def test_an_order_id_is_taken_once(self, wire: Wire, control: Control, account: int) -> None:
        path = f"/v1/accounts/{account}/orders"
        assert wire.call("POST", path, body=[{**self.GOOD, "id": "a"}]).status == 200
        assert wire.call("POST", path, body=[{**self.GOOD, "id": "a"}]).status == 400
        assert wire.call("POST", path, body=[{**self.GOOD, "id": "b"}] * 2).status == 400
        assert len(control.book(account)) == 1

    def test_a_body_that_is_not_json_is_refused(self, wire: Wire, account: int) -> None:
        reply = wire.call("POST", f"/v1/accounts/{account}/orders", body=b"[{")
        assert reply.status == 400
        assert reply.message.startswith("Failed to parse the request body as JSON")


class TestSettingByHand:
    def test_a_field_is_set_left_out_or_invented(self, wire: Wire, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={})
        control.set_order(order["id"], symbol=None, omit=["venue", "client_order_id"], extra={"tomorrow": 1})
        shown = wire.order(account, order["id"])
        assert shown["symbol"] is None
        assert shown["tomorrow"] == 1
        assert not {"venue", "client_order_id"} & set(shown)

    def test_a_field_that_does_not_exist_is_refused(self, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={})
        with pytest.raises(Refused, match="leaves_qty"):
            control.set_order(order["id"], leaves_qty="1")
        with pytest.raises(Refused, match="stauts"):
            control.add_orders(account, order={"stauts": "NEW"})

    def test_a_status_set_by_hand_outlasts_a_cancel_on_its_way(
        self, wire: Wire, control: Control, account: int
    ) -> None:
        orders = control.add_orders(account, count=2)
        wire.delete(f"/v1/accounts/{account}/orders")
        control.set_order(orders[0]["id"], status="REJECTED")
        wait_for(lambda: gone(wire, account, orders[1]["id"]), "the other cancel")
        assert wire.order(account, orders[0]["id"])["status"] == "REJECTED"


class TestTheLog:
    def test_says_what_arrived_when_and_what_became_of_it(self, wire: Wire, control: Control, account: int) -> None:
        orders = control.add_orders(account, count=2)
        reply = wire.delete(f"/v1/accounts/{account}/orders", instrument_type="COMMON_STOCK,")
        one = wire.delete(f"/v1/accounts/{account}/orders/{orders[1]['id']}")
        every = wire.delete(f"/v1/accounts/{account}/orders")
        first, second, third = control.log()
        assert (reply.status, first["status"], first["query"]) == (400, 400, {"instrument_type": "COMMON_STOCK,"})
        assert (second["call"], second["order_id"]) == ("cancel_one", orders[1]["id"])
        assert second["orders_matched"] == [orders[1]["id"]]
        assert second["request_id"] == one.metadata["request_id"]
        assert (third["call"], third["account_id"], third["order_id"]) == ("cancel_all", account, None)
        assert third["orders_matched"] == [order["id"] for order in every.data]
        assert [first["n"] + 1, first["n"] + 2] == [second["n"], third["n"]]
        assert first["at_monotonic_ns"] < second["at_monotonic_ns"] < third["at_monotonic_ns"]
        assert datetime.fromisoformat(first["at"]) <= datetime.fromisoformat(first["answered_at"])

    def test_can_be_read_on_from_a_number_and_by_call(self, wire: Wire, control: Control) -> None:
        for path in ("/v1/version", "/v1/accounts", "/v1/version"):
            wire.get(path)
        first, second, third = control.log()
        assert control.log(after=first["n"]) == [second, third]
        assert control.log(after=third["n"]) == []
        assert control.log(call="version") == [first, third]
        control.clear_log()
        assert control.log() == []
        wire.get("/v1/version")
        assert control.log()[0]["n"] == third["n"] + 1

    def test_shows_who_had_no_key_and_never_a_key(self, wire: Wire, control: Control) -> None:
        assert wire.call("GET", "/v1/accounts", headers={"Authorization": "Bearer other-secret"}).status == 401
        assert wire.get("/v1/accounts").status == 200
        assert [(r["authorized"], r["status"]) for r in control.log()] == [(False, 401), (True, 200)]
        text = json.dumps(control.log())
        assert "other-secret" not in text
        assert API_KEY not in text


def gone(wire: Wire, account_id: int, order_id: str) -> dict[str, Any] | None:
    order = wire.order(account_id, order_id)
    return order if order["status"] in ENDS else None


def seconds(text: str) -> float:
    moment, fraction = text.rstrip("Z").split(".")
    return datetime.fromisoformat(f"{moment}+00:00").timestamp() + int(fraction) / 1e9
