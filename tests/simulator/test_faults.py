"""Each fault does what it says, to the requests that it is for, as often as it was asked to."""

import http.client
import subprocess
import sys
import time
from typing import Any

import pytest

from killswitch.simulator.process import Control, Refused, SimulatorProcess
from tests.nothing_secret import API_KEY

from .conftest import FIRST
from .wire import ENDS, Wire, wait_for

VERSION = "/v1/version"


@pytest.fixture
def order(control: Control, account: int) -> dict[str, Any]:
    return control.add_orders(account, order={"quantity": "10"})[0]


@pytest.fixture
def path(account: int, order: dict[str, Any]) -> str:
    return f"/v1/accounts/{account}/orders/{order['id']}"


class TestWhichRequests:
    def test_the_call_and_the_number_of_times(self, wire: Wire, control: Control) -> None:
        fault = control.add_fault(match={"call": "version"}, do={"status": 503}, times=2)
        statuses = [wire.get(p).status for p in (VERSION, "/v1/accounts", VERSION, VERSION)]
        assert statuses == [503, 200, 503, 200]
        assert [r["fault"] for r in control.log()] == [fault, None, fault, None]
        assert [(f["applied"], f["times"]) for f in control.faults()] == [(2, 0)]

    def test_the_first_ones_can_be_let_through(self, wire: Wire, control: Control) -> None:
        control.add_fault(match={"call": ["version", "account"]}, do={"status": 503}, times=1, skip=2)
        assert [wire.get(VERSION).status for _ in range(4)] == [200, 200, 503, 200]

    def test_the_account_and_the_order(self, wire: Wire, control: Control, order: dict[str, Any], path: str) -> None:
        [other] = control.add_orders(order["account_id"], order={})
        control.add_fault(match={"account_id": order["account_id"], "order_id": order["id"]}, do={"status": 500})
        assert wire.get(path).status == 500
        assert wire.get(path.replace(order["id"], other["id"])).status == 200
        control.clear_faults()
        control.add_fault(match={"account_id": [FIRST, order["account_id"]]}, do={"status": 500})
        assert wire.get(path).status == wire.get(f"/v1/accounts/{FIRST}").status == 500
        assert wire.get(f"/v1/accounts/{FIRST + 1}").status == 200

    def test_the_method(self, wire: Wire, control: Control, path: str) -> None:
        control.add_fault(match={"method": "DELETE"}, do={"status": 500})
        assert (wire.get(path).status, wire.delete(path).status) == (200, 500)

    def test_the_page(self, wire: Wire, control: Control) -> None:
        control.add_fault(match={"call": "list_orders", "page": 2}, do={"status": 500})
        path = f"/v1/accounts/{FIRST}/orders"
        first = wire.get(path, page_size=10)
        assert wire.get(path, page_token=first.metadata["next_page_token"]).status == 500
        assert wire.get(VERSION).status == 200

    def test_the_key(self, wire: Wire, control: Control) -> None:
        control.add_fault(match={"key": API_KEY}, do={"status": 401})
        assert wire.get(VERSION).status == 401
        assert wire.call("GET", VERSION, headers={"Authorization": "Bearer other"}).status == 200

    def test_the_first_of_two_faults_wins_until_it_is_used_up(self, wire: Wire, control: Control) -> None:
        control.add_fault(do={"status": 503}, times=1)
        second = control.add_fault(do={"status": 500})
        assert [wire.get(VERSION).status for _ in range(2)] == [503, 500]
        control.remove_fault(second)
        assert wire.get(VERSION).status == 200


class TestAnswers:
    def test_a_status_with_message_headers_and_time_to_wait_has_no_effect(
        self, wire: Wire, control: Control, account: int, order: dict[str, Any], path: str
    ) -> None:
        do = {"status": 429, "message": "slow down", "retry_after": 3600, "headers": {"X-Limit": "10"}}
        control.add_fault(do=do, times=1)
        reply = wire.delete(path)
        assert (reply.status, reply.message) == (429, "slow down")
        assert (reply.headers["Retry-After"], reply.headers["X-Limit"]) == ("3600", "10")
        assert wire.order(account, order["id"])["status"] == "NEW"

    def test_a_status_can_come_although_the_call_took_effect(
        self, wire: Wire, control: Control, account: int, order: dict[str, Any], path: str
    ) -> None:
        control.add_fault(match={"call": "cancel_one"}, do={"status": 503, "act": True})
        assert wire.delete(path).status == 503
        assert wire.order(account, order["id"])["status"] != "NEW"

    def test_a_success_can_hold_an_error(self, wire: Wire, control: Control) -> None:
        control.add_fault(do={"error_in_200": {"code": "RISK", "message": "no"}})
        reply = wire.get(VERSION)
        assert (reply.status, reply.body["data"], reply.body["error"]) == (200, None, {"code": "RISK", "message": "no"})

    def test_a_body_can_be_something_else(self, wire: Wire, control: Control) -> None:
        for body, raw in (("empty", b""), ({"raw": "[1]"}, b"[1]")):
            control.add_fault(do={"body": body}, times=1)
            assert wire.get(VERSION).raw == raw
        control.add_fault(do={"body": "not_json"}, times=1)
        assert wire.get(VERSION).body is None
        control.add_fault(do={"body": "html", "status": 502}, times=1)
        reply = wire.get(VERSION)
        assert (reply.status, reply.headers["Content-Type"].split(";")[0]) == (502, "text/html")
        assert reply.raw.startswith(b"<!doctype html>")

    def test_half_a_body_breaks_off(self, wire: Wire, control: Control) -> None:
        control.add_fault(match={"call": "list_orders"}, do={"body": "half"})
        with pytest.raises(http.client.IncompleteRead) as caught:
            wire.get(f"/v1/accounts/{FIRST}/orders")
        assert len(caught.value.partial) > 100
        assert abs(len(caught.value.partial) - (caught.value.expected or 0)) <= 1

    def test_an_answer_can_be_late(self, wire: Wire, control: Control) -> None:
        control.add_fault(do={"delay_ms": 150})
        before = time.monotonic()
        assert wire.get(VERSION).status == 200
        assert 0.15 <= time.monotonic() - before < 2


class TestConnections:
    def test_dropped_before_the_call_acts(
        self, wire: Wire, control: Control, account: int, order: dict[str, Any], path: str
    ) -> None:
        control.add_fault(do={"drop": "before"}, times=1)
        with pytest.raises(http.client.RemoteDisconnected):
            wire.delete(path)
        assert wire.order(account, order["id"])["status"] == "NEW"
        assert (control.log()[0]["status"], control.log()[0]["orders_matched"]) == (None, None)

    def test_dropped_after_the_call_acted(
        self, wire: Wire, control: Control, account: int, order: dict[str, Any], path: str
    ) -> None:
        control.add_fault(do={"drop": "after"}, times=1)
        with pytest.raises(http.client.RemoteDisconnected):
            wire.delete(path)
        assert wire.order(account, order["id"])["status"] != "NEW"
        assert (control.log()[0]["status"], control.log()[0]["orders_matched"]) == (None, [order["id"]])

    @pytest.mark.parametrize("act", [False, True])
    def test_a_black_hole_never_answers(
        self, wire: Wire, control: Control, account: int, order: dict[str, Any], path: str, act: bool
    ) -> None:
        control.add_fault(do={"silent": True, "act": act}, times=1)
        connection = wire.connect(timeout=0.3)
        with pytest.raises(TimeoutError):
            wire.call("DELETE", path, on=connection)
        connection.close()
        assert (wire.order(account, order["id"])["status"] != "NEW") is act
        assert control.log()[0]["answered_at"] is None

    def test_an_idle_connection_is_closed_after_a_good_answer_that_does_not_say_so(
        self, wire: Wire, control: Control
    ) -> None:
        connection = wire.connect()
        assert wire.call("GET", VERSION, on=connection).status == 200
        assert wire.call("GET", VERSION, on=connection).status == 200
        control.add_fault(do={"close_idle": True}, times=1)
        reply = wire.call("GET", VERSION, on=connection)
        assert (reply.status, reply.headers.get("Connection")) == (200, None)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            wire.call("GET", VERSION, on=connection)
        connection.close()


class TestCancels:
    def test_stuck_stays_pending_for_ever(self, wire: Wire, control: Control, account: int, path: str) -> None:
        [other] = control.add_orders(account, order={})
        control.add_fault(match={"call": "cancel_one"}, do={"cancel": "stuck"}, times=1)
        assert wire.delete(path).data["status"] == "PENDING_CANCEL"
        wire.delete(path.rsplit("/", 1)[0] + "/" + other["id"])
        wait_for(lambda: wire.order(account, other["id"])["status"] == "CANCELED", "the other cancel")
        assert wire.delete(path).data["status"] == "PENDING_CANCEL", "another cancel does not help"
        [third] = control.add_orders(account, order={})
        wire.delete(path.rsplit("/", 1)[0] + "/" + third["id"])
        wait_for(lambda: wire.order(account, third["id"])["status"] == "CANCELED", "as long as a cancel takes")
        assert wire.get(path).data["status"] == "PENDING_CANCEL"

    @pytest.mark.parametrize("word", ["refuse", "revert"])
    @pytest.mark.parametrize(("before", "after"), [("NEW", "NEW"), ("PENDING_NEW", "NEW"), ("SUSPENDED", "SUSPENDED")])
    def test_refused_goes_back_and_can_be_tried_again(
        self, wire: Wire, control: Control, account: int, word: str, before: str, after: str
    ) -> None:
        [order] = control.add_orders(account, order={"status": before})
        path = f"/v1/accounts/{account}/orders/{order['id']}"
        control.add_fault(match={"call": "cancel_one"}, do={"cancel": word}, times=1)
        assert wire.delete(path).data["status"] == "PENDING_CANCEL"
        wait_for(lambda: wire.get(path).data["status"] == after, "the refusal")
        assert wire.get(path).data["details"] == ["Cancel request rejected by the venue"]
        wire.delete(path)
        wait_for(lambda: wire.get(path).data["status"] == "CANCELED", "the second cancel")

    def test_a_fill_wins_against_the_cancel(self, wire: Wire, control: Control, account: int, path: str) -> None:
        control.add_fault(match={"call": "cancel_one"}, do={"cancel": "fill"})
        assert wire.delete(path).data["status"] == "PENDING_CANCEL"
        filled = wait_for(lambda: ended(wire, path), "the end")
        assert (filled["status"], filled["filled_quantity"], filled["leaves_quantity"]) == ("FILLED", "10", "0")
        assert [f["quantity"] for f in wire.get(f"/v1/accounts/{account}/executions").data] == ["10"]

    def test_a_part_fills_on_the_way(self, wire: Wire, control: Control, path: str) -> None:
        control.add_fault(match={"call": "cancel_one"}, do={"cancel": "fill", "fill_quantity": "4"})
        wire.delete(path)
        canceled = wait_for(lambda: ended(wire, path), "the end")
        assert (canceled["status"], canceled["filled_quantity"], canceled["leaves_quantity"]) == ("CANCELED", "4", "0")

    def test_all_of_a_mass_cancel_share_the_fault(self, wire: Wire, control: Control, account: int) -> None:
        control.add_orders(account, count=3)
        control.add_fault(match={"call": "cancel_all"}, do={"cancel": "fill"})
        wire.delete(f"/v1/accounts/{account}/orders")
        wait_for(lambda: not control.book(account, open=True), "the end")
        assert {o["status"] for o in control.book(account)} == {"FILLED"}

    def test_a_mass_cancel_can_pass_orders_over(self, wire: Wire, control: Control, account: int) -> None:
        [held] = control.add_orders(account, order={"queue_state": "AWAITING_RELEASE"})
        [short] = control.add_orders(account, order={"side": "SELL_SHORT"})
        [plain] = control.add_orders(account, order={})
        control.add_fault(match={"call": "cancel_all"}, do={"spare": ["AWAITING_RELEASE", short["id"]]})
        assert [o["id"] for o in wire.delete(f"/v1/accounts/{account}/orders").data] == [plain["id"]]
        assert wire.order(account, held["id"])["status"] == wire.order(account, short["id"])["status"] == "NEW"


class TestSideEffects:
    def test_new_orders_arrive_after_the_call_has_looked(self, wire: Wire, control: Control, account: int) -> None:
        control.add_orders(account, count=2)
        control.add_fault(match={"call": "cancel_all"}, do={"arrive": 3}, times=1)
        assert len(wire.delete(f"/v1/accounts/{account}/orders").data) == 2
        wait_for(lambda: len(control.book(account, open=True)) == 3, "the cancels of the first two")
        assert len(control.book(account)) == 5

    def test_a_process_is_killed_after_the_call_acted_and_before_the_answer(
        self, wire: Wire, control: Control, account: int, order: dict[str, Any], path: str
    ) -> None:
        victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        control.add_fault(match={"call": "cancel_one"}, do={"kill_pid": victim.pid}, times=1)
        assert wire.delete(path).status == 200
        assert victim.wait(5) == -9
        assert victim.stdin is not None
        victim.stdin.close()
        assert wire.order(account, order["id"])["status"] != "NEW"


class TestWhatIsNotAFault:
    @pytest.mark.parametrize(
        ("fault", "complaint"),
        [
            ({"do": {"stauts": 500}}, "unknown field `stauts`"),
            ({"do": {"status": 500}, "math": {}}, "unknown field `math`"),
            ({"do": {"status": 500}, "match": {"acount_id": 1}}, "unknown field `acount_id`"),
            ({"do": {"status": 500}, "match": {"call": "cancel_everything"}}, "no such call: cancel_everything"),
            ({"do": {}}, "'do' is empty"),
            ({"match": {}}, "missing required field `do`"),
            ({"do": {"status": "500"}}, "Expected `int | null`"),
            ({"do": {"status": 99}}, "from 200 to 599"),
            ({"do": {"drop": "later"}}, "Invalid enum value 'later'"),
            ({"do": {"body": "jpeg"}}, "Invalid enum value 'jpeg'"),
            ({"do": {"cancel": "lose"}}, "Invalid enum value 'lose'"),
            ({"do": {"drop": "before", "silent": True}}, "exclude each other"),
            ({"do": {"drop": "after", "status": 500}}, "these do nothing: status"),
            ({"do": {"status": 500, "cancel": "stuck"}}, "need the call to take effect"),
            ({"do": {"fill_quantity": "1"}}, "needs 'cancel': 'fill'"),
            ({"do": {"message": "no"}}, "'message' needs 'status'"),
            ({"do": {"status": 500}, "times": 0}, "'times' must be 1 or more"),
            ({"do": {"cancel": "stuck"}, "match": {"call": "list_orders"}}, "'cancel' is for cancel_all, cancel_one"),
            ({"do": {"spare": ["BUY"]}, "match": {"call": "cancel_one"}}, "'spare' is for cancel_all, not for"),
            ({"do": {"arrive": 1}, "match": {"call": ["version", "accounts"]}}, "'arrive' is for"),
            ({"do": {"status": 500}, "match": {"call": "account", "page": 2}}, "'page' is for"),
            ({"do": {"silent": True, "retry_after": 1}}, "these do nothing: retry_after"),
            ({"do": {"kill_pid": 1}}, "must be the process of a test"),
            ([], "JSON object"),
        ],
    )
    def test_is_refused_with_what_is_wrong(self, control: Control, fault: object, complaint: str) -> None:
        with pytest.raises(Refused) as caught:
            control.call("POST", "faults", fault)
        assert caught.value.status == 400
        assert complaint in caught.value.message
        assert control.faults() == []

    def test_the_simulator_does_not_kill_itself(self, simulator: SimulatorProcess, control: Control) -> None:
        with pytest.raises(Refused, match="not the simulator's"):
            control.add_fault(do={"kill_pid": simulator.pid})

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "orders", {"account_id": FIRST}),
            ("POST", "orders", {"account_id": "x", "count": 1}),
            ("POST", "orders", {"account_id": FIRST, "count": 1, "order": {}}),
            ("POST", "orders", {"account_id": FIRST, "order": {"symbol": "NOPE"}}),
            ("POST", "flow", {"arrivals": 3}),
            ("POST", "flow", {"arrivals_per_second": "3"}),
            ("POST", "accounts", {}),
            ("PATCH", f"accounts/{FIRST}", {"name": "x"}),
            ("POST", "faults", b"{"),
        ],
    )
    def test_other_wrong_bodies_are_refused_too(self, wire: Wire, method: str, path: str, body: object) -> None:
        reply = wire.call(method, f"/_sim/{path}", body=body)
        assert reply.status == 400
        assert reply.body["error"]

    def test_unknown_control_paths_are_named(self, control: Control) -> None:
        with pytest.raises(Refused, match="404: no GET /_sim/nope; there are GET /_sim/log"):
            control.call("GET", "nope")
        with pytest.raises(Refused, match="404: no fault fault-0"):
            control.remove_fault("fault-0")
        with pytest.raises(Refused, match="404: no order nope"):
            control.set_order("nope", status="NEW")

    def test_control_calls_are_not_in_the_log(self, control: Control) -> None:
        control.summary()
        assert control.log() == []


def ended(wire: Wire, path: str) -> dict[str, Any] | None:
    order: dict[str, Any] = wire.get(path).data
    return order if order["status"] in ENDS else None
