"""A desk with many accounts and an account with many orders: sorted, found, a part at a time."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from killswitch.book.models import Account
from killswitch.kills.decision import read_decision
from killswitch.kills.models import Sweep
from killswitch.kills.operations import engage
from orders_ui.account_orders import MOST_IN_A_CHUNK, ROWS_AT_ONCE
from orders_ui.account_row import spark
from orders_ui.desk_rows import ROWS_IN_A_BLOCK

from .conftest import Fill, order
from .test_desk import HTMX, Actor, text_of

ADDRESS = "/accounts/1001/"


def numbers(client: Client, address: str = "/", **options: Any) -> list[int]:
    """Return the accounts of the desk as they stand."""
    found = re.findall(r'<a id="account-([0-9]+)"', text_of(client, address, **options))
    return [int(number) for number in found]


def ids(text: str) -> list[str]:
    """Return the orders of a page as they stand."""
    return [unescape(found) for found in re.findall(r'<tr id="order-([^"]+)"', text)]


def carried(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return unescape(found[1])


def walk(client: Client, address: str) -> list[str]:
    """Follow the plain links from page to page to the end."""
    seen: list[str] = []
    while address:
        text = text_of(client, address)
        seen += ids(text)
        more = re.search(r'id="more-orders" href="([^"]+)"', text)
        address = unescape(more[1]) if more else ""
    return seen


class TestTheDeskSorted:
    @pytest.fixture(autouse=True)
    def accounts(self, fill: Fill) -> None:
        fill(order(1), account_id=3, seconds=1)
        fill(order(2, side="SELL"), order(3, side="SELL", limit_price=Decimal(9)), account_id=1, seconds=30)
        fill(account_id=2, seconds=5)
        Account.objects.create(account_id=4, short_name="never listed")
        for account_id, name in ((1, "beta"), (2, "Alpha"), (3, "gamma")):
            Account.objects.filter(account_id=account_id).update(short_name=name, full_name=f"The {name} book")

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("", [1, 2, 3, 4]),
            ("-account", [4, 3, 2, 1]),
            ("name", [2, 1, 3, 4]),
            ("-orders", [4, 1, 3, 2]),
            ("orders", [2, 3, 1, 4]),
            ("-notional", [4, 1, 3, 2]),
            ("-sells", [4, 1, 2, 3]),
            ("-list", [4, 1, 2, 3]),
            ("list", [3, 2, 1, 4]),
        ],
    )
    def test_stands_by_the_column_of_the_address_with_what_is_unknown_as_the_most(
        self, sort: str, expected: list[int], desk_client: Client
    ) -> None:
        assert numbers(desk_client, f"/?sort={sort}") == expected

    def test_says_in_the_head_how_it_stands_and_leads_to_the_other_way(self, desk_client: Client) -> None:
        text = text_of(desk_client, "/?sort=-notional&q=a")
        assert 'aria-sort="descending"><a id="sort-notional" class="sort" href="/?sort=notional&amp;q=a"' in text
        assert text.count("aria-sort=") == 1
        assert 'href="/?sort=-orders&amp;q=a"' in text, "figures begin with the largest"
        assert 'href="/?sort=name&amp;q=a"' in text

    def test_says_that_there_is_no_such_column(self, desk_client: Client) -> None:
        text = text_of(desk_client, "/?sort=<i>")
        assert "There is no column “&lt;i&gt;”" in text
        assert numbers(desk_client, "/?sort=<i>") == [1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("sought", "shown"), [("", [1, 2, 3, 4]), ("alpha", [2]), ("BOOK a", [1, 2, 3]), ("3", [3]), ("nobody", [])]
    )
    def test_hides_what_is_not_sought_and_leaves_the_sums_whole(
        self, sought: str, shown: list[int], desk_client: Client
    ) -> None:
        text = text_of(desk_client, "/", data={"q": sought})
        rows = dict(re.findall(r'<tr id="row-(\d+)"([^>]*)>', text))
        assert [int(number) for number, rest in rows.items() if "hidden" not in rest] == shown
        assert "<dt>Open orders</dt><dd>3 " in text
        assert (f"{len(shown)} of 4 accounts shown" in text) is bool(sought)

    def test_draws_what_arrived_with_the_number_beside_it(self, desk_client: Client, fill: Fill) -> None:
        now = timezone.now()
        came = [order(n, created_at=(now - timedelta(seconds=n)).isoformat()) for n in (1, 2, 3, 12)]
        fill(*came, account_id=1)
        text = text_of(desk_client, "/").split('id="row-1"')[1].split("</tr>")[0]
        cell = carried(text, r'data-label="Arrivals, 1 min">(.*?)</td>')
        assert "at most 3 in 5 s: </span>4</span>" in cell
        assert "<svg" in cell
        assert "<svg" not in text_of(desk_client, "/").split('id="row-2"')[1].split("</tr>")[0]

    def test_draws_a_bar_for_each_part_that_has_arrivals(self) -> None:
        assert 'd="M4 12v-6M34 12v-12"' in spark([0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10])


class TestThePollOfTheDesk:
    @pytest.fixture(autouse=True)
    def accounts(self, fill: Fill) -> None:
        for account_id in range(1, 2 * ROWS_IN_A_BLOCK + 2):
            fill(order(account_id), account_id=account_id)

    def has(self, client: Client) -> str:
        return carried(text_of(client, "/"), 'name="has" value="([^"]+)"')

    def poll(self, client: Client, has: str) -> Any:
        return client.get(f"/?has={has}", headers=HTMX)

    def test_sends_no_row_when_nothing_has_changed(self, desk_client: Client) -> None:
        response = self.poll(desk_client, self.has(desk_client))
        text = response.content.decode()
        assert response["HX-Reswap"] == "none"
        assert "<tr" not in text
        assert 'id="desk-head" hx-swap-oob="morph"' in text
        assert 'id="banner" hx-swap-oob="morph"' in text

    def test_sends_the_block_in_which_an_account_has_changed(self, desk_client: Client, fill: Fill) -> None:
        has = self.has(desk_client)
        fill(order(1), order(2), account_id=ROWS_IN_A_BLOCK + 3)
        text = self.poll(desk_client, has).content.decode()
        assert re.findall(r'<tbody id="(block-\d+)" hx-swap-oob="morph">', text) == ["block-1"]
        assert text.count("<tr ") == ROWS_IN_A_BLOCK
        has = carried(text, 'name="has" value="([^"]+)"')
        assert "<tr" not in self.poll(desk_client, has).content.decode()

    def test_sends_the_block_in_which_a_kill_has_begun(self, desk_client: Client) -> None:
        has = self.has(desk_client)
        decision = read_decision({"account": ["2"]})
        engage(decision=decision, known_account_ids=(), actor=Actor(), now=timezone.now())
        text = self.poll(desk_client, has).content.decode()
        assert re.findall(r'id="(block-\d+)"', text) == ["block-0"]
        assert "kill running</a>" in text
        has = carried(text, 'name="has" value="([^"]+)"')
        Sweep.objects.update(ended_at=timezone.now())
        second = engage(
            decision=read_decision({"account": ["2"]}), known_account_ids=(), actor=Actor(), now=timezone.now()
        )
        assert f'href="/kills/{second.id}/"' in self.poll(desk_client, has).content.decode()

    def test_sends_everything_when_there_is_another_number_of_blocks(self, desk_client: Client) -> None:
        has = self.has(desk_client)
        Account.objects.filter(account_id=1).delete()
        response = self.poll(desk_client, has)
        assert "HX-Reswap" not in response
        assert response.content.decode().count("<tr id=") == 2 * ROWS_IN_A_BLOCK

    def test_sends_everything_to_a_page_whose_rows_stood_otherwise(self, desk_client: Client) -> None:
        response = desk_client.get(f"/?sort=-account&has={self.has(desk_client)}", headers=HTMX)
        assert response.content.decode().count("<tr id=") == 2 * ROWS_IN_A_BLOCK + 1

    def test_loses_the_ticks_and_buttons_of_whoever_may_no_longer_kill(
        self, desk_client: Client, compliance_client: Client
    ) -> None:
        text = self.poll(compliance_client, self.has(desk_client)).content.decode()
        assert text.count("<tr ") == 2 * ROWS_IN_A_BLOCK + 1
        assert "checkbox" not in text


class TestAnAccountWithManyOrders:
    @pytest.fixture
    def many(self, fill: Fill) -> list[str]:
        """250 orders, the newest with the largest number; several at the same time and price. Return their ids."""
        now = timezone.now()
        orders = [
            order(
                number,
                id=f"order-{number:03}",
                created_at=None if number < 4 else (now - timedelta(seconds=1000 - number // 3)).isoformat(),
                limit_price=None if number % 10 == 0 else Decimal(number % 7) + Decimal("0.5"),
                side=("BUY", "SELL")[number % 2],
            )
            for number in range(250)
        ]
        fill(*orders)
        return [each.id for each in orders]

    def test_shows_the_newest_100_first_and_offers_to_cancel_all(self, many: list[str], desk_client: Client) -> None:
        text = text_of(desk_client, ADDRESS)
        shown = ids(text)
        assert len(shown) == ROWS_AT_ONCE
        assert shown[:4] == ["order-249", "order-246", "order-247", "order-248"]
        assert "Cancel the 250 that match<" in text

    @pytest.mark.parametrize("sort", ["", "age", "-age", "price", "-price", "symbol", "-client", "side", "-leaves"])
    def test_leads_over_plain_links_to_each_order_once(self, sort: str, many: list[str], desk_client: Client) -> None:
        assert sorted(walk(desk_client, f"{ADDRESS}?sort={sort}")) == many

    def test_keeps_the_filter_on_the_way(self, many: list[str], desk_client: Client) -> None:
        assert sorted(walk(desk_client, f"{ADDRESS}?side=SELL&sort=-price")) == many[1::2]

    def test_stands_by_the_column_of_the_address_with_what_has_no_value_last(
        self, many: list[str], desk_client: Client
    ) -> None:
        found = walk(desk_client, f"{ADDRESS}?sort=price")
        assert {int(name[-3:]) % 7 for name in found[:30]} == {0}
        assert {int(name[-3:]) % 10 for name in found[-25:]} == {0}
        assert walk(desk_client, f"{ADDRESS}?sort=-price") == found[::-1]

    def test_gives_the_next_rows_alone_to_a_page_that_is_scrolled(self, many: list[str], desk_client: Client) -> None:
        first = text_of(desk_client, ADDRESS)
        address = carried(first, r'hx-get="(/accounts/1001/rows/[^"]+)"')
        text = text_of(desk_client, address, headers=HTMX)
        assert text.startswith("<tbody id=")
        assert not set(ids(text)) & set(ids(first))
        last = text_of(desk_client, carried(text, r'hx-get="(/accounts/1001/rows/[^"]+)"'), headers=HTMX)
        assert len(ids(last)) == 50
        assert "more-orders" not in last

    def test_goes_on_where_it_stood_when_orders_have_come_and_gone(self, desk_client: Client, fill: Fill) -> None:
        now = timezone.now()
        made = {n: order(n, created_at=(now - timedelta(seconds=n)).isoformat()) for n in range(-50, 200)}
        fill(*(made[n] for n in range(200)))
        address = carried(text_of(desk_client, ADDRESS), r'id="more-orders" href="([^"]+)"')
        fill(*(made[n] for n in [*range(-50, 80), *range(120, 200)]))  # the last one that was shown has gone, too
        assert ids(text_of(desk_client, address)) == [f"order-{n}" for n in range(120, 200)]

    @pytest.mark.parametrize(
        "after", ["x", "[]", '["1"]', '["NaN","order-1"]', '["sNaN","order-1"]', '["a","order-1"]', "[{},1]"]
    )
    def test_says_that_a_place_is_none(self, after: str, many: list[str], desk_client: Client) -> None:
        response = desk_client.get(ADDRESS, {"sort": "price", "after": after})
        assert response.status_code == 400
        assert "begin at its start" in response.content.decode()

    def test_says_that_there_is_no_such_column(self, many: list[str], desk_client: Client) -> None:
        text = text_of(desk_client, f"{ADDRESS}?sort=colour")
        assert "There is no column “colour”" in text
        assert len(ids(text)) == ROWS_AT_ONCE


class TestThePollOfAnAccount:
    def chunk(self, client: Client, address: str = ADDRESS) -> str:
        return carried(text_of(client, address), 'data-chunk="([^"]+)"')

    def poll(self, client: Client, *chunks: str, query: str = "") -> Any:
        return client.get(f"{ADDRESS}?{query}&{urlencode({'chunk': chunks}, doseq=True)}", headers=HTMX)

    def orders(self, *numbers: int) -> list[Any]:
        now = timezone.now()
        return [order(n, created_at=(now - timedelta(hours=1, seconds=-n)).isoformat()) for n in numbers]

    def test_sends_no_row_when_nothing_has_changed(self, desk_client: Client, fill: Fill) -> None:
        fill(*self.orders(*range(150)))
        response = self.poll(desk_client, self.chunk(desk_client))
        text = response.content.decode()
        assert response["HX-Reswap"] == "none"
        assert ids(text) == []
        assert 'id="orders-head" hx-swap-oob="morph"' in text
        assert "Cancel the 150 that match" in text

    def test_sends_the_part_that_has_changed_between_its_own_bounds(self, desk_client: Client, fill: Fill) -> None:
        made = self.orders(*range(152))
        fill(*made[:150])
        chunk = self.chunk(desk_client)
        fill(*made[:60], *made[61:])
        text = self.poll(desk_client, chunk).content.decode()
        assert ids(text) == [f"order-{n}" for n in [*range(151, 60, -1), *range(59, 49, -1)]]
        again = carried(text, 'data-chunk="([^"]+)"')
        assert ids(self.poll(desk_client, again).content.decode()) == []

    def test_says_how_to_see_those_that_came_and_do_not_fit(self, desk_client: Client, fill: Fill) -> None:
        made = self.orders(*range(600))
        fill(*made[:150])
        chunk = self.chunk(desk_client)
        fill(*made)
        text = self.poll(desk_client, chunk).content.decode()
        assert len(ids(text)) == MOST_IN_A_CHUNK
        rest = carried(text, 'class="gap".*?href="([^"]+)"')
        assert ids(text_of(desk_client, rest))[0] == f"order-{599 - MOST_IN_A_CHUNK}"
        again = carried(text, 'data-chunk="([^"]+)"')
        assert ids(self.poll(desk_client, again).content.decode()) == []

    def test_sends_everything_where_nothing_was_shown_or_is_left(self, desk_client: Client, fill: Fill) -> None:
        fill()
        assert "HX-Reswap" not in self.poll(desk_client)
        fill(*self.orders(1))
        response = self.poll(desk_client)
        assert ("HX-Reswap" in response, ids(response.content.decode())) == (False, ["order-1"])
        chunk = self.chunk(desk_client)
        fill()
        response = self.poll(desk_client, chunk)
        assert "HX-Reswap" not in response
        assert "No open orders" in response.content.decode()

    def test_puts_the_filter_that_is_typed_into_the_address_without_what_is_empty(
        self, desk_client: Client, fill: Fill
    ) -> None:
        fill(*self.orders(1, 2))
        query = "side=&order_type=&instruments=&client_order_id_prefix=algo-2&sort=-price"
        response = desk_client.get(f"{ADDRESS}?{query}", headers={**HTMX, "HX-Trigger": "filter"})
        assert parse_qs(urlsplit(response["HX-Replace-Url"]).query) == {
            "client_order_id_prefix": ["algo-2"],
            "sort": ["-price"],
        }
        assert ids(response.content.decode()) == ["order-2"]

    def test_lists_nothing_and_offers_nothing_by_a_filter_that_is_not_understood(
        self, desk_client: Client, fill: Fill
    ) -> None:
        fill(*self.orders(1))
        response = desk_client.get(f"{ADDRESS}?instruments=A$", headers=HTMX)
        text = response.content.decode()
        assert response.status_code == 200, "or the page would say that the server does not answer"
        assert 'id="e-instruments" hx-swap-oob="true">“A$” is no symbol' in text
        assert "The filter is not understood" in text
        assert "/kills/new/" not in text
        assert 'id="poll"' not in text


class TestTheOrdersAsText:
    def test_has_every_order_that_matches_under_what_it_is_a_list_of(self, desk_client: Client, fill: Fill) -> None:
        fill(*(order(n, side=("BUY", "SELL")[n % 2]) for n in range(300)))
        response = desk_client.get(f"{ADDRESS}orders.txt?side=SELL")
        text = b"".join(response).decode()  # type: ignore[call-overload]
        head, columns, *lines = text.splitlines()
        assert response["Content-Type"] == "text/plain; charset=utf-8"
        assert head.startswith("account 1001, all SELL orders: 150 of 300, listed 20")
        assert columns.split("\t")[:3] == ["side", "type", "symbol"]
        assert len(lines) == 150
        assert {len(line.split("\t")) for line in lines} == {len(columns.split("\t"))}
        assert lines[0].startswith("SELL\tLIMIT\tAAPL\t100\t100\t10.50\t1050.00\tDAY\tNEW\t")

    def test_says_how_far_the_list_can_be_trusted(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), whole=False, seconds=60)
        text = b"".join(desk_client.get(f"{ADDRESS}orders.txt")).decode()  # type: ignore[call-overload]
        assert "incomplete, could not be fetched afresh" in text.splitlines()[0]

    def test_holds_no_formula_and_no_line_of_the_brokers(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1, client_order_id="=HYPERLINK(1)", venue="a\tb\nc", symbol="@x"))
        lines = b"".join(desk_client.get(f"{ADDRESS}orders.txt")).decode().splitlines()  # type: ignore[call-overload]
        assert len(lines) == 3
        assert "\t'=HYPERLINK(1)\ta b c\t" in lines[2]
        assert "\t'@x\t" in lines[2]

    def test_refuses_a_filter_that_is_not_understood(self, desk_client: Client) -> None:
        response = desk_client.get(f"{ADDRESS}orders.txt?sied=BUY")
        assert (response.status_code, response.content[:10]) == (400, b"NOT LISTED")


@pytest.mark.parametrize(("address", "form"), [("/", "pick"), (ADDRESS, "selection")])
def test_ticks_are_not_kept_by_their_place_where_rows_have_moved(
    address: str, form: str, desk_client: Client, fill: Fill
) -> None:
    fill(order(1))
    assert re.search(rf'<form id="{form}"[^>]* autocomplete="off"', text_of(desk_client, address))


class TestTheSameFilterOnOtherAccounts:
    def test_is_offered_beside_the_orders(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1))
        assert 'href="/accounts/?side=BUY&amp;instruments=AAPL"' in text_of(
            desk_client, f"{ADDRESS}?side=BUY&instruments=aapl"
        )
        assert "on other accounts" not in text_of(desk_client, f"{ADDRESS}?order_id=order-1")

    def test_leads_over_a_choice_of_accounts_to_a_confirmation_of_that_filter_there(
        self, desk_client: Client, fill: Fill
    ) -> None:
        for account_id in (1001, 1002, 1003):
            fill(order(1), order(2, side="SELL"), account_id=account_id)
        text = text_of(desk_client, "/accounts/?side=SELL&status=NEW&status=QUEUED&q=10&sort=-orders")
        form = text.split('<form id="pick"')[1]
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)">', form)
        assert hidden == [("side", "SELL"), ("status", "NEW"), ("status", "QUEUED")]
        assert "KILL" not in text.split("<main")[1]
        query = urlencode([*hidden, ("account", 1001), ("account", 1003)])
        confirm = text_of(desk_client, f"/kills/new/?{query}")
        assert "all SELL orders with status NEW or QUEUED on 2 accounts" in confirm
        everywhere = carried(text, 'id="on-all"[^>]* href="([^"]+)"')
        assert "all SELL orders with status NEW or QUEUED on all accounts" in text_of(desk_client, everywhere)

    def test_refuses_a_filter_that_is_not_understood(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1))
        for query in ("sied=SELL", "side=SOLD"):
            response = desk_client.get(f"/accounts/?{query}")
            assert response.status_code == 400
            assert "/kills/new/" not in response.content.decode()
