"""Lists come in pages, and the pages make up the whole list."""

from collections.abc import Callable
from typing import Any

import pytest

from killswitch.simulator.process import Control, SimulatorProcess

from .wire import Wire


def walk(wire: Wire, path: str, **query: object) -> list[list[dict[str, Any]]]:
    pages, reply = [], wire.get(path, **query)
    pages.append(reply.data)
    query.pop("page_size", None)
    while token := reply.metadata["next_page_token"]:
        reply = wire.get(path, page_token=token, **query)
        pages.append(reply.data)
    return pages


@pytest.fixture
def path(control: Control, account: int) -> str:
    control.add_orders(account, count=7)
    return f"/v1/accounts/{account}/orders"


class TestPages:
    def test_make_up_the_whole_list_in_its_order(self, wire: Wire, path: str) -> None:
        pages = walk(wire, path, page_size=3)
        assert [len(page) for page in pages] == [3, 3, 1]
        assert [order for page in pages for order in page] == wire.get(path).data

    def test_describe_themselves(self, wire: Wire, path: str) -> None:
        first = wire.get(path, page_size=3)
        second = wire.get(path, page_token=first.metadata["next_page_token"])
        described = {"page_number": 2, "total_items": 7, "total_pages": 3}
        assert described.items() <= second.metadata.items()
        assert first.metadata["previous_page_token"] is None
        back = wire.get(path, page_token=second.metadata["previous_page_token"])
        assert back.data == first.data

    def test_of_one_are_a_cheap_count(self, wire: Wire, path: str) -> None:
        reply = wire.get(path, page_size=1)
        assert (len(reply.data), reply.metadata["total_items"]) == (1, 7)

    def test_of_nothing_are_one_empty_page(self, wire: Wire, account: int) -> None:
        reply = wire.get(f"/v1/accounts/{account}/orders")
        assert (reply.data, reply.metadata["total_items"], reply.metadata["next_page_token"]) == ([], 0, None)

    def test_keep_to_the_filters_that_come_with_each_request(self, wire: Wire, control: Control, account: int) -> None:
        for number in range(6):
            control.add_orders(account, order={"symbol": "TSLA" if number % 2 else "AAPL"})
        pages = walk(wire, f"/v1/accounts/{account}/orders", page_size=2, symbol="TSLA")
        assert [[order["symbol"] for order in page] for page in pages] == [["TSLA", "TSLA"], ["TSLA"]]

    def test_show_an_order_that_arrives_meanwhile_on_the_last_one(
        self, wire: Wire, control: Control, account: int, path: str
    ) -> None:
        first = wire.get(path, page_size=7)
        assert first.metadata["next_page_token"] is None
        first = wire.get(path, page_size=4)
        [late] = control.add_orders(account, order={})
        second = wire.get(path, page_token=first.metadata["next_page_token"])
        assert second.data[-1]["id"] == late["id"]
        assert len(first.data) + len(second.data) == 8

    def test_move_under_a_filter_by_status_as_orders_end(self, wire: Wire, control: Control, account: int) -> None:
        """Offsets are the broker's own way, as the document's example of a token shows; so a page can miss orders."""
        orders = [control.add_orders(account, order={})[0] for _ in range(4)]
        query: dict[str, object] = {"status": "NEW"}
        first = wire.get(f"/v1/accounts/{account}/orders", page_size=2, **query)
        control.set_order(orders[0]["id"], status="CANCELED")
        second = wire.get(f"/v1/accounts/{account}/orders", page_token=first.metadata["next_page_token"], **query)
        assert [o["id"] for o in second.data] == [orders[3]["id"]], "the third order is on neither page"

    @pytest.mark.parametrize(
        "query", ["page_size=0", "page_size=1001", "page_size=ten", "page_size=", "page_token=x", "page_token=e30="]
    )
    def test_that_cannot_be_are_refused(self, wire: Wire, path: str, query: str) -> None:
        assert wire.call("GET", f"{path}?{query}").status == 400

    def test_are_had_of_accounts_and_executions_too(self, wire: Wire, control: Control, account: int) -> None:
        assert [len(page) for page in walk(wire, "/v1/accounts", page_size=2)][:2] == [2, 2]
        [order] = control.add_orders(account, order={"quantity": "5"})
        for _ in range(5):
            control.fill(order["id"], "1")
        pages = walk(wire, f"/v1/accounts/{account}/executions", page_size=2)
        assert [len(page) for page in pages] == [2, 2, 1]
        assert len({fill["id"] for page in pages for fill in page}) == 5

    def test_can_be_made_short_for_every_list(self, start: Callable[..., SimulatorProcess]) -> None:
        simulator = start("--accounts", "5", "--orders", "8", "--ended", "0", "--page-size-max", "3")
        wire = Wire(simulator)
        assert [len(page) for page in walk(wire, "/v1/accounts/19816/orders", page_size=1000)] == [3, 3, 2]
        assert [len(page) for page in walk(wire, "/v1/accounts")] == [3, 2]


class TestFiltersOfTheList:
    @pytest.mark.parametrize("name", ["from", "to"])
    def test_times_include_their_bound(self, wire: Wire, control: Control, account: int, name: str) -> None:
        [order] = control.add_orders(account, order={})
        path = f"/v1/accounts/{account}/orders"
        assert len(wire.get(path, **{name: order["created_at"]}).data) == 1
        other = {"from": "2100-01-01T00:00:00+01:00", "to": "2000-01-01T00:00:00.5Z"}[name]
        assert wire.get(path, **{name: other}).data == []

    @pytest.mark.parametrize(
        "query",
        [
            "status=MARTIAN",
            "status=",
            "status=NEW,",
            "side=BUY",
            "from=yesterday",
            "from=2025-13-01T00:00:00Z",
            "instrument_type=BOND",
            "updated_at[gt]=2025-01-01",
            "symbol=TSLA&symbol=AAPL",
        ],
    )
    def test_what_is_not_understood_is_refused(self, wire: Wire, path: str, query: str) -> None:
        assert wire.call("GET", f"{path}?{query}").status == 400
