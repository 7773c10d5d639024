"""Every answer of the simulator against the broker's own document, and the checker against known wrongs."""

from collections.abc import Callable
from typing import Any

import pytest

from killswitch.simulator.process import Control, SimulatorProcess

from .conftest import FIRST
from .document import Document
from .wire import Reply, Wire

Checked = Callable[..., Reply]
ORDERS = f"/v1/accounts/{FIRST}/orders"


@pytest.fixture
def checked(wire: Wire, document: Document) -> Checked:
    """Make a call and hold the request and the answer against the document."""

    def call(method: str, path: str, query: dict[str, Any] | None = None, **rest: Any) -> Reply:
        reply = wire.call(method, path, query, **rest)
        assert document.check_answer(method, path, reply.status, reply.raw) == []
        return reply

    return call


class TestAnswers:
    def test_accounts(self, checked: Checked) -> None:
        assert len(checked("GET", "/v1/accounts").data) >= 4
        assert checked("GET", "/v1/accounts", {"page_size": 2}).metadata["next_page_token"]
        assert checked("GET", f"/v1/accounts/{FIRST}").data["id"] == FIRST

    def test_a_closed_account(self, checked: Checked, control: Control, account: int) -> None:
        control.set_account(account, status="CLOSED", close_date="2026-01-15")
        assert checked("GET", f"/v1/accounts/{account}").data["mailing_address"] is None

    def test_risk_settings(self, checked: Checked, account: int) -> None:
        changed = checked("PATCH", f"/v1/accounts/{account}", body={"risk": {"max_notional": "5000000.00"}})
        assert changed.data == {"risk": {"max_notional": "5000000.00"}}

    def test_every_kind_of_order_and_execution(self, checked: Checked) -> None:
        for account_id in range(FIRST, FIRST + 4):
            assert checked("GET", f"/v1/accounts/{account_id}/orders").data
            assert checked("GET", f"/v1/accounts/{account_id}/executions").data

    def test_one_order_and_its_cancel(self, checked: Checked, control: Control, account: int) -> None:
        [order] = control.add_orders(account, order={})
        path = f"/v1/accounts/{account}/orders/{order['id']}"
        assert checked("GET", path).data["status"] == "NEW"
        assert checked("DELETE", path).data["status"] == "PENDING_CANCEL"

    def test_mass_cancel(self, checked: Checked, control: Control, account: int) -> None:
        control.add_orders(account, count=30)
        assert len(checked("DELETE", f"/v1/accounts/{account}/orders").data) == 30

    def test_submitted_orders(self, checked: Checked, document: Document, account: int) -> None:
        path = f"/v1/accounts/{account}/orders"
        examples = document.content["paths"]["/v1/accounts/{account_id}/orders"]["post"]["requestBody"]["content"]
        for example in examples["application/json"]["examples"].values():
            assert checked("POST", path, body=example["value"]).data[0]["status"] == "PENDING_NEW"

    def test_version(self, checked: Checked) -> None:
        assert checked("GET", "/v1/version").data == {"version": "2025-10-31"}

    @pytest.mark.parametrize(
        ("method", "path", "query", "status", "message"),
        [
            ("GET", "/v1/accounts/7", {}, 404, "Some requested entity was not found"),
            ("GET", "/v1/accounts/7/orders", {}, 404, "Account 7 not found"),
            ("DELETE", "/v1/accounts/7/orders", {}, 404, "Account 7 not found"),
            ("GET", f"{ORDERS}/nope", {}, 404, f"Order nope not found for account {FIRST}"),
            ("DELETE", f"{ORDERS}/nope%2Fnope", {}, 404, f"Order nope/nope not found for account {FIRST}"),
            ("DELETE", ORDERS, {"type": "OTHER"}, 404, "No orders match the specified filters"),
            ("DELETE", ORDERS, {"status": "NEW"}, 400, "Unknown query parameter: status"),
            ("DELETE", ORDERS, {"instrument_ids": ""}, 400, "instrument_ids must not be empty or have empty parts"),
            ("GET", "/v1/accounts/abc/orders", {}, 400, "account_id must be an integer, not 'abc'"),
            ("GET", "/v1/positions", {}, 404, "No such path: /v1/positions"),
            ("PUT", "/v1/version", {}, 405, "PUT is not allowed on /v1/version; allowed: GET"),
        ],
    )
    def test_an_error_has_the_shape_of_the_examples(
        self, checked: Checked, method: str, path: str, query: dict[str, str], status: int, message: str
    ) -> None:
        reply = checked(method, path, query)
        assert (reply.status, reply.body["error"]) == (status, {"code": status, "message": message})
        assert set(reply.body) == {"error", "metadata"}

    def test_an_error_of_a_fault_has_that_shape_too(self, checked: Checked, control: Control) -> None:
        for status in (400, 401, 403, 404, 429, 500, 503):
            control.add_fault(match={"call": "accounts"}, do={"status": status}, times=1)
            assert checked("GET", "/v1/accounts").status == status


class TestRequests:
    """Our own client's requests, from the simulator's log, are to be held against the document in the same way."""

    def test_what_the_simulator_logged_can_be_checked(self, wire: Wire, control: Control, document: Document) -> None:
        wire.get(ORDERS, status="NEW,QUEUED", page_size=5, **{"from": "2025-04-24T14:30:00.000000000Z"})
        wire.delete(ORDERS, side="SELL", type="STOP", instrument_type="OPTION", instrument_ids="TSLA,AAPL")
        requests = control.log()
        assert len(requests) == 2
        assert [document.check_request(r["method"], r["path"], r["query"]) for r in requests] == [[], []]

    @pytest.mark.parametrize(
        ("method", "path", "query", "complaint"),
        [
            ("DELETE", ORDERS, {"status": "NEW"}, "query parameter status is not documented"),
            ("DELETE", ORDERS, {"side": "SHORT"}, "query parameter side: $: 'SHORT' is not one of"),
            ("GET", ORDERS, {"status": "NEW,MARTIAN"}, "query parameter status: $[1]: 'MARTIAN' is not one of"),
            ("GET", ORDERS, {"page_size": "1001"}, "1001 is greater than the maximum of 1000"),
            ("GET", ORDERS, {"page_size": "many"}, "'many' is not of type 'integer'"),
            ("GET", ORDERS, {"from": "yesterday"}, "'yesterday' is not a 'date-time'"),
            ("GET", ORDERS, {"page_token": "??"}, "'??' is not a 'byte'"),
            (
                "GET",
                ORDERS,
                {"instrument_ids": "TSLA,"},
                "parameter instrument_ids: $[1]: '' should be non-empty",
            ),
            ("GET", "/v1/accounts/abc/orders", {}, "path parameter account_id: $: 'abc' is not of type 'integer'"),
            ("GET", "/v1/accounts//orders", {}, "/v1/accounts//orders: no such path"),
            ("PUT", ORDERS, {}, "PUT is not documented"),
            ("POST", ORDERS, {}, "the body is missing"),
        ],
    )
    def test_a_request_that_is_wrong_is_found(
        self, document: Document, method: str, path: str, query: dict[str, str], complaint: str
    ) -> None:
        [found] = document.check_request(method, path, query)
        assert complaint in found

    def test_a_body_is_held_against_the_document(self, document: Document) -> None:
        path = f"/v1/accounts/{FIRST}"
        assert document.check_request("PATCH", path, body='{"risk": {"max_notional": "0"}}') == []
        assert document.check_request("PATCH", path, body='{"risk": {"max_notional": 0}}') != []
        assert document.check_request("PATCH", path, body='{"blocked": true}') != []


class TestTheChecker:
    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"status": "MARTIAN"}, "'MARTIAN' is not one of"),
            ({"omit": ["venue"]}, "'venue' is a required property"),
            ({"quantity": 10}, "10 is not of type 'string'"),
            ({"created_at": "2025-10-31 13:30"}, "is not a 'date-time'"),
            ({"instrument_id": "TSLA"}, "is not a 'uuid'"),
            ({"side": None}, "None is not one of"),
        ],
    )
    def test_an_order_that_breaks_the_document_is_found(
        self,
        wire: Wire,
        control: Control,
        account: int,
        document: Document,
        fields: dict[str, Any],
        complaint: str,
    ) -> None:
        [order] = control.add_orders(account, order={})
        control.set_order(order["id"], **fields)
        path = f"/v1/accounts/{account}/orders"
        found = document.check_answer("GET", path, 200, wire.get(path).raw)
        assert any(complaint in each for each in found), found

    def test_a_field_that_nobody_knows_breaks_nothing(
        self, wire: Wire, control: Control, account: int, document: Document
    ) -> None:
        [order] = control.add_orders(account, order={})
        control.set_order(order["id"], extra={"moon_phase": "waxing"})
        path = f"/v1/accounts/{account}/orders"
        reply = wire.get(path)
        assert reply.data[0]["moon_phase"] == "waxing"
        assert document.check_answer("GET", path, 200, reply.raw) == []

    def test_an_error_without_its_envelope_is_found(self, document: Document) -> None:
        assert document.check_answer("GET", "/v1/version", 500, b'{"code": 500, "message": "x"}') != []
        assert document.check_answer("GET", "/v1/version", 500, b"<html>") != []
        assert document.check_answer("GET", "/v1/version", 204, b"{}") != []

    def test_both_newer_statuses_are_let_through_and_no_other(
        self, shared: SimulatorProcess, document: Document
    ) -> None:
        assert document.check_request("GET", ORDERS, {"status": "QUEUED,PENDING_TRIGGER"}) == []
        assert {o["status"] for o in shared.control.book()} >= {"QUEUED", "PENDING_TRIGGER"}
