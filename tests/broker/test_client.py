"""The client against a scripted transport: what it sends, and what it makes of every kind of answer."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from killswitch.broker import (
    BadRequest,
    BrokerError,
    BrokerFailed,
    ClearStreet,
    NoPermission,
    NoSuchAccount,
    NoSuchOrder,
    NothingMatches,
    OutcomeUnknown,
    RefusedKey,
    Throttled,
    Unreachable,
)
from killswitch.broker.client import Timeouts
from tests.over_httpx import OverHttpx

KEY = "sk-very-secret-key"
ORDER = {
    "id": "o-1",
    "account_id": 7,
    "client_order_id": "vwap-1",
    "side": "BUY",
    "order_type": "LIMIT",
    "time_in_force": "DAY",
    "status": "PENDING_CANCEL",
    "quantity": "10",
    "filled_quantity": "0.5",
    "leaves_quantity": "9.5",
    "limit_price": "48.00",
    "symbol": "TSLA",
    "instrument_type": "COMMON_STOCK",
    "created_at": "2025-10-31T13:30:00.123456789Z",
}


def call(handler: Callable[[httpx.Request], Any], use: Callable[[ClearStreet], Any], **options: Any) -> Any:
    """Run one call of a client whose transport is `handler`."""

    async def run() -> Any:
        client = ClearStreet(api_key=KEY, base_url="https://broker.example", transport=OverHttpx(handler), **options)
        try:
            return await use(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def answer(data: Any, status: int = 200, **metadata: Any) -> httpx.Response:
    return httpx.Response(status, json={"data": data, "error": None, "metadata": {"request_id": "r-1", **metadata}})


def refusal(status: int, message: str, code: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"error": {"code": code or status, "message": message}, "metadata": {"request_id": "r-2"}}
    return httpx.Response(status, json=body, headers=headers)


def cancel_one(client: ClearStreet) -> Any:
    return client.cancel_open_order(7, "o-1")


def cancel_all(client: ClearStreet) -> Any:
    return client.cancel_all_open_orders(7)


class TestWhatIsSent:
    def test_a_mass_cancel_carries_the_four_filters_and_the_key(self) -> None:
        seen: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return answer([ORDER])

        call(
            handler,
            lambda client: client.cancel_all_open_orders(
                7, side="SELL", order_type="LIMIT", instrument_type="OPTION", instrument_ids=["TSLA", "AAPL"]
            ),
        )
        [request] = seen
        assert (request.method, request.url.path) == ("DELETE", "/v1/accounts/7/orders")
        assert dict(request.url.params) == {
            "side": "SELL",
            "type": "LIMIT",
            "instrument_type": "OPTION",
            "instrument_ids": "TSLA,AAPL",
        }
        assert request.headers["Authorization"] == f"Bearer {KEY}"

    def test_an_odd_order_id_stays_one_segment_of_the_path(self) -> None:
        paths: list[bytes] = []

        def handler(request: httpx.Request) -> httpx.Response:
            paths.append(request.url.raw_path)
            return answer(ORDER)

        call(handler, lambda client: client.cancel_open_order(7, "../a b?c/d%"))
        assert paths == [b"/v1/accounts/7/orders/..%2Fa%20b%3Fc%2Fd%25"]

    @pytest.mark.parametrize("order_id", ["", ".", ".."])
    def test_an_id_that_would_name_the_account_is_never_sent(self, order_id: str) -> None:
        def handler(_: httpx.Request) -> httpx.Response:
            raise AssertionError("sent")

        with pytest.raises(BadRequest, match="nothing was sent"):
            call(handler, lambda client: client.cancel_open_order(7, order_id))

    def test_a_guard_that_raises_keeps_the_request_from_leaving(self) -> None:
        sent: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            return answer(ORDER)

        def guard() -> None:
            raise PermissionError("not ours any more")

        with pytest.raises(PermissionError):
            call(handler, lambda client: client.cancel_open_order(7, "o-1", guard=guard))
        with pytest.raises(PermissionError):
            call(handler, lambda client: client.cancel_all_open_orders(7, guard=guard))
        assert sent == []


class TestWhatAnAnswerMeans:
    def test_an_accepted_cancel_comes_with_request_id_and_latency(self) -> None:
        result = call(lambda _: answer(ORDER), cancel_one)
        assert (result.http_status, result.request_id, result.data.status) == (200, "r-1", "PENDING_CANCEL")
        assert result.latency > 0
        assert result.data.leaves_quantity == Decimal("9.5")
        assert result.data.created.microsecond == 123456

    @pytest.mark.parametrize(
        ("response", "kind"),
        [
            (refusal(401, "bad key"), RefusedKey),
            (refusal(403, "The caller does not have permission to execute the specified operation"), NoPermission),
            (refusal(404, "No orders match the specified filters"), NothingMatches),
            (refusal(404, "Order o-1 not found for account 7"), NoSuchOrder),
            (refusal(404, "Account 7 not found"), NoSuchAccount),
            (refusal(404, "words that nobody knows"), NoSuchAccount),
            (refusal(400, "side is not valid"), BadRequest),
            (refusal(422, "no"), BadRequest),
            (refusal(429, "slow down"), Throttled),
            (refusal(408, "timeout"), OutcomeUnknown),
            (refusal(500, "oops", code="INTERNAL"), BrokerFailed),
            (refusal(503, "busy"), BrokerFailed),
            (httpx.Response(502, text="<html>Bad gateway</html>"), BrokerFailed),
            (httpx.Response(404, text="<html>no such page</html>"), NoSuchAccount),
            (httpx.Response(302, headers={"Location": "https://elsewhere.example"}), OutcomeUnknown),
            (httpx.Response(200, text="<html>Welcome</html>"), OutcomeUnknown),
            (httpx.Response(200, content=b'{"data": [{"id"'), OutcomeUnknown),
            (httpx.Response(200, content=b""), OutcomeUnknown),
            (httpx.Response(200, content=b"\xff\xfe"), OutcomeUnknown),
            (httpx.Response(200, json=[]), OutcomeUnknown),
            (httpx.Response(200, json={"data": None, "error": {"code": 403, "message": "no"}}), NoPermission),
            (httpx.Response(200, json={"data": None, "error": {"code": "??", "message": "no"}}), OutcomeUnknown),
            (answer(None), OutcomeUnknown),
            (answer({"status": "CANCELED"}), OutcomeUnknown),
        ],
    )
    def test_every_other_answer_is_an_error_of_its_own_kind(
        self, response: httpx.Response, kind: type[BrokerError]
    ) -> None:
        with pytest.raises(BrokerError) as caught:
            call(lambda _: response, cancel_one)
        assert type(caught.value) is kind
        assert caught.value.maybe_acted is (kind in (OutcomeUnknown, BrokerFailed))

    @pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("soon", None), ("-3", 0.0)])
    def test_a_throttled_call_says_for_how_long(self, header: str, seconds: float | None) -> None:
        with pytest.raises(Throttled) as caught:
            call(lambda _: refusal(429, "slow down", headers={"Retry-After": header}), cancel_all)
        assert caught.value.retry_after == seconds
        assert caught.value.request_id == "r-2"

    @pytest.mark.parametrize("header", ["inf", "nan", "1e999", "Fri, 31 Dec 99999 23:59:59 GMT"])
    def test_a_retry_after_that_is_no_time_is_left_out(self, header: str) -> None:
        with pytest.raises(Throttled) as caught:
            call(lambda _: refusal(429, "slow down", headers={"Retry-After": header}), cancel_all)
        assert caught.value.retry_after is None

    def test_an_error_without_metadata_is_still_understood(self) -> None:
        body = {"error": {"code": None, "message": "No orders match the specified filters"}, "metadata": None}
        with pytest.raises(NothingMatches) as caught:
            call(lambda _: httpx.Response(404, json=body), cancel_all)
        assert caught.value.request_id == ""

    def test_a_nul_is_made_visible(self) -> None:
        result = call(lambda _: answer({**ORDER, "client_order_id": "a\x00b", "symbol": "S" * 600}), cancel_one)
        assert result.data.client_order_id == "a\ufffdb"
        assert (len(result.data.symbol), result.data.symbol[-1]) == (500, "…")

    def test_a_retry_after_may_be_a_date(self) -> None:
        late = {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}
        with pytest.raises(BrokerFailed) as caught:
            call(lambda _: refusal(503, "busy", headers=late), cancel_all)
        assert (caught.value.retry_after or 0) > 3600

    def test_a_redirect_is_not_followed(self) -> None:
        hosts: list[str] = []

        def handler(request: httpx.Request) -> httpx.Response:
            hosts.append(request.url.host)
            return httpx.Response(307, headers={"Location": "https://elsewhere.example/"})

        with pytest.raises(OutcomeUnknown):
            call(handler, cancel_all)
        assert hosts == ["broker.example"]


class TestWhenNothingComesBack:
    @pytest.mark.parametrize(
        ("failure", "kind"),
        [
            (httpx.ConnectError("refused"), Unreachable),
            (httpx.ReadTimeout("slow"), OutcomeUnknown),
            (httpx.WriteError("broken pipe"), OutcomeUnknown),
            (httpx.RemoteProtocolError("closed"), OutcomeUnknown),
            (ValueError("a bug below"), OutcomeUnknown),
        ],
    )
    def test_never_sent_and_sent_are_kept_apart(self, failure: Exception, kind: type[BrokerError]) -> None:
        def handler(_: httpx.Request) -> httpx.Response:
            raise failure

        with pytest.raises(BrokerError) as caught:
            call(handler, cancel_one)
        assert type(caught.value) is kind

    def test_a_cancel_that_hangs_is_given_up_and_unknown(self) -> None:
        async def handler(_: httpx.Request) -> httpx.Response:
            await asyncio.sleep(60)
            raise AssertionError("not reached")

        with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.05 s"):
            call(handler, cancel_one, timeouts=Timeouts(total=0.05))

    def test_the_key_is_in_no_error(self) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            raise httpx.ReadError(f"{request.headers['Authorization']} failed")

        with pytest.raises(BrokerError) as caught:
            call(handler, cancel_one)
        assert KEY not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"
        assert caught.value.__suppress_context__

    def test_a_key_that_the_broker_repeats_goes_no_further(self) -> None:
        with pytest.raises(RefusedKey) as caught:
            call(lambda _: refusal(401, f"the key {KEY} is not valid"), cancel_one)
        assert caught.value.message == "the key *** is not valid"


class TestLists:
    def pages(self, *responses: httpx.Response) -> tuple[Callable[[httpx.Request], httpx.Response], list[str]]:
        waiting, seen = list(responses), []

        def handler(request: httpx.Request) -> httpx.Response:
            seen.append(str(request.url.query, "ascii"))
            return waiting.pop(0)

        return handler, seen

    def test_all_pages_make_one_whole_list(self) -> None:
        handler, seen = self.pages(
            answer([{**ORDER, "id": "a"}], next_page_token="t+1=", total_items=2), answer([{**ORDER, "id": "b"}])
        )
        listing = call(handler, lambda client: client.orders(7))
        assert ([order.id for order in listing.items], listing.whole, listing.requests) == (["a", "b"], True, 2)
        assert "page_token=t%2B1%3D" in seen[1]
        assert "status" not in "".join(seen)

    def test_a_page_that_fails_leaves_a_list_that_is_not_whole(self) -> None:
        handler, _ = self.pages(answer([ORDER], next_page_token="t"), refusal(500, "oops"))
        listing = call(handler, lambda client: client.orders(7))
        assert ([order.id for order in listing.items], listing.whole) == (["o-1"], False)
        assert isinstance(listing.error, BrokerFailed)

    def test_fewer_orders_than_the_broker_counts_is_not_whole(self) -> None:
        handler, _ = self.pages(answer([ORDER], total_items=2))
        assert call(handler, lambda client: client.orders(7)).whole is False

    def test_a_list_that_comes_back_to_the_same_page_ends(self) -> None:
        handler, _ = self.pages(answer([ORDER], next_page_token="t"), answer([ORDER], next_page_token="t"))
        listing = call(handler, lambda client: client.orders(7))
        assert (listing.whole, listing.requests) == (False, 2)

    @pytest.mark.parametrize("order_id", ["", ".", "..", "x" * 201])
    def test_an_order_that_cannot_be_named_makes_the_list_not_whole(self, order_id: str) -> None:
        handler, _ = self.pages(answer([ORDER, {**ORDER, "id": order_id}]))
        listing = call(handler, lambda client: client.orders(7))
        assert ([order.id for order in listing.items], listing.whole) == (["o-1"], False)

    def test_a_list_comes_with_its_request_ids_and_latency(self) -> None:
        handler, _ = self.pages(answer([ORDER], next_page_token="t"), answer([{**ORDER, "id": "b"}]))
        listing = call(handler, lambda client: client.orders(7))
        assert (listing.request_ids, listing.latency > 0) == (("r-1", "r-1"), True)

    def test_an_item_without_an_id_makes_the_list_not_whole(self) -> None:
        handler, _ = self.pages(answer([ORDER, {"side": "BUY"}, None]))
        listing = call(handler, lambda client: client.orders(7))
        assert ([order.id for order in listing.items], listing.whole) == (["o-1"], False)

    def test_odd_fields_do_not_lose_the_order(self) -> None:
        odd = {
            "id": 12,
            "account_id": "7",
            "status": "HELD_BY_MARTIANS",
            "side": None,
            "quantity": "many",
            "leaves_quantity": 3,
            "filled_quantity": "NaN",
            "limit_price": "-Infinity",
            "stop_price": "1E+99999",
            "created_at": "yesterday",
            "legs": [{"symbol": "tsla"}],
            "never_heard_of": {"a": 1},
        }
        handler, _ = self.pages(answer([odd]))
        listing = call(handler, lambda client: client.orders(7))
        [order] = listing.items
        assert listing.whole
        assert (order.id, order.account_id, order.quantity, order.leaves_quantity) == ("12", 7, None, Decimal(3))
        assert (order.filled_quantity, order.limit_price, order.stop_price) == (None, None, None)
        assert order.is_open
        assert (order.created, order.instruments) == (None, {"TSLA"})


class TestTheBrokersClock:
    @pytest.mark.parametrize("hours", [-1, 0, 1])
    def test_is_held_against_ours(self, hours: int) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
        answer = call(
            lambda _: httpx.Response(200, json={"data": ORDER}, headers={"Date": date}), lambda c: c.order(7, "o-1")
        )
        assert answer.clock_offset == pytest.approx(hours * 3600, abs=2)

    def test_is_known_from_an_error_too(self) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        with pytest.raises(BrokerFailed) as caught:
            call(lambda _: httpx.Response(500, headers={"Date": date}), lambda c: c.order(7, "o-1"))
        assert caught.value.clock_offset == pytest.approx(3600, abs=2)

    @pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Nov 2026 10:00:00 GMT"])
    def test_is_unknown_where_it_does_not_say(self, date: str) -> None:
        answer = call(
            lambda _: httpx.Response(200, json={"data": ORDER}, headers={"Date": date}), lambda c: c.order(7, "o-1")
        )
        assert answer.clock_offset is None
