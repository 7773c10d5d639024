"""The desk and one account."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from killswitch.book.models import Account, AccountList
from killswitch.kills.decision import read_decision
from killswitch.kills.models import Kill
from killswitch.kills.operations import engage

from .conftest import Fill, order

HTMX = {"HX-Request": "true"}
Actor = engage.__annotations__["actor"]


def text_of(client: Client, address: str, **options: object) -> str:
    return " ".join(client.get(address, **options).content.decode().split())  # type: ignore[arg-type]


class TestDesk:
    def test_shows_every_account_and_the_sums(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), order(2, side="SELL_SHORT"), account_id=1001)
        fill(order(3, limit_price=None), account_id=1002)
        text = text_of(desk_client, "/")
        assert 'href="/accounts/1001/"' in text
        assert 'href="/accounts/1002/"' in text
        assert "<dt>Open orders</dt><dd>3</dd>" in text
        assert "<dt>Buys</dt><dd>2</dd>" in text
        assert "<dt>Sells</dt><dd>1</dd>" in text
        assert "$2,100.00 <small>+ 1 of unknown worth</small>" in text
        assert 'href="/kills/new/?account=1001"' in text
        assert 'href="/kills/new/?all_accounts=on"' in text

    def test_shows_that_a_list_is_incomplete_or_failed(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), whole=False)
        text = text_of(desk_client, "/")
        assert "incomplete" in text
        assert "last try failed" in text

    def test_shows_the_running_kill_of_an_account(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), account_id=1001)
        fill(order(2), account_id=1002)
        decision = read_decision({"account": ["1001"]})
        kill = engage(decision=decision, known_account_ids=(), actor=Actor(), now=timezone.now())
        assert desk_client.get("/").context["desk"].rows[0].kill == kill
        assert desk_client.get("/").context["desk"].rows[1].kill is None

    @pytest.mark.parametrize(
        ("asked", "word"), [({}, "kill running"), ({"latched": ["on"]}, "latched"), ({"dry_run": ["on"]}, "dry run")]
    )
    def test_marks_an_account_that_is_swept(
        self, asked: dict[str, list[str]], word: str, desk_client: Client, fill: Fill
    ) -> None:
        fill(order(1), account_id=1001)
        fill(order(2), account_id=1002)
        decision = read_decision({"account": ["1001"], **asked})
        kill = engage(decision=decision, known_account_ids=(), actor=Actor(), now=timezone.now())
        text = text_of(desk_client, "/")
        assert f'href="/kills/{kill.id}/">{word}</a>' in text.split('id="account-1001"')[1].split("</th>")[0]
        assert f">{word}</a>" not in text.split('id="account-1002"')[1]
        assert ("<title>LATCHED: Desk" in text) is (word == "latched")

    @pytest.mark.parametrize(
        ("asked", "words", "look"),
        [
            ({}, "nobody works on it", "kill-unattended"),
            ({"latched": ["on"]}, "nobody works on it, latched", "kill-unattended"),
            ({"dry_run": ["on"]}, "dry run: nobody works on it", "dry-run"),
        ],
    )
    def test_says_of_an_account_that_nobody_works_on_its_kill_as_the_banner_does(
        self, asked: dict[str, list[str]], words: str, look: str, desk_client: Client, fill: Fill
    ) -> None:
        for number in (1, 2):
            fill(order(number), account_id=1000 + number)
        decision = read_decision({"account": ["1001", "1002"], **asked})
        ago = timezone.now() - timedelta(minutes=1)
        kill = engage(decision=decision, known_account_ids=(), actor=Actor(), now=ago)
        text = text_of(desk_client, "/")
        for number in (1, 2):
            assert (
                f'class="mark {look}" href="/kills/{kill.id}/">{words}</a>'
                in text.split(f'id="account-{1000 + number}"')[1]
            )
        assert words.upper() in text
        # Somebody has one of the two, and had the other.
        kill.sweeps.filter(account_id=1001).update(lease_until=timezone.now() + timedelta(minutes=1))
        kill.sweeps.filter(account_id=1002).update(lease_until=ago)
        text = text_of(desk_client, "/")
        first, second = text.split('id="account-1001"')[1].split('id="account-1002"')
        assert "nobody works on it" not in first.split("</tbody>")[0]
        assert f">{words}</a>" in second

    def test_names_the_latched_kill_of_an_account_before_any_other(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), account_id=1001)
        kills = [
            engage(
                decision=read_decision({"account": ["1001"], **asked}),
                known_account_ids=(),
                actor=Actor(),
                now=timezone.now(),
            )
            for asked in ({"latched": ["on"]}, {}, {"dry_run": ["on"]})
        ]
        assert desk_client.get("/").context["desk"].rows[0].kill == kills[0]
        Kill.objects.filter(id=kills[0].id).update(released_at=timezone.now())
        assert desk_client.get("/").context["desk"].rows[0].kill == kills[1]

    def test_gives_a_poll_only_the_part(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1))
        text = text_of(desk_client, "/", headers=HTMX)
        assert "<html" not in text
        assert 'href="/accounts/1001/"' in text
        assert 'id="banner" hx-swap-oob="morph"' in text

    def test_says_that_it_asks_for_the_first_time(self, desk_client: Client) -> None:
        assert "for the first time" in text_of(desk_client, "/")

    def test_says_why_there_are_no_accounts(self, desk_client: Client) -> None:
        AccountList.objects.create(id=1, error="the key was <refused>")
        text = text_of(desk_client, "/")
        assert "the key was &lt;refused&gt;" in text
        assert "KILL ALL" in text

    def test_shows_names_of_the_broker_as_text(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1))
        Account.objects.update(short_name="<script>x</script>", status="<i>")
        text = text_of(desk_client, "/")
        assert "<script>x" not in text
        assert "&lt;script&gt;x" in text
        assert "&lt;i&gt;" in text


class TestOldLists:
    """The worker is dead, or beat: what the desk shows stands still, and looks as always."""

    def test_are_loud_where_the_sums_stand(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), account_id=1001, seconds=250)
        fill(order(2), account_id=1002, seconds=400)
        text = plain(text_of(desk_client, "/"))
        assert "Nobody refreshes the lists. The newest is 4 min old, and these sums are of then." in text
        assert "See that beat and a Celery worker run. A kill does not wait for lists" in text

    def test_come_with_the_next_poll_of_a_page_that_is_open(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1))
        has = desk_client.get("/").context["desk"].has
        Account.objects.update(
            listed_at=timezone.now() - timedelta(seconds=250), tried_at=timezone.now() - timedelta(seconds=250)
        )
        assert 'id="lists-left"' in text_of(desk_client, "/", data={"has": has}, headers=HTMX)

    def test_are_not_called_so_while_some_are_renewed(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), account_id=1001, seconds=4000)
        fill(order(2), account_id=1002, seconds=50)
        assert 'id="lists-left"' not in text_of(desk_client, "/")

    def test_are_told_apart_from_tries_that_fail(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), seconds=250)
        Account.objects.update(tried_at=timezone.now(), error="the broker failed")
        text = plain(text_of(desk_client, "/"))
        assert "every try fails. The newest is 4 min old" in text
        assert "Nobody refreshes" not in text


class TestUnusual:
    """An algorithm that runs away, among accounts that go on as always."""

    @pytest.fixture
    def desk_of(self, desk_client: Client, fill: Fill) -> Callable[..., str]:
        def desk_of(*arrived: int, query: str = "") -> str:
            for number, count in enumerate(arrived):
                fill(order(number), account_id=1001 + number)
                Account.objects.filter(account_id=1001 + number).update(arrivals=[count, *[0] * 11])
            return text_of(desk_client, f"/{query}")

        return desk_of

    def test_arrivals_are_a_word_and_a_figure(self, desk_of: Callable[..., str]) -> None:
        text = desk_of(3, 120, 4, 0)
        assert text.count('<span class="mark">unusual</span>') == 1
        assert '<span class="mark">unusual</span> <strong>120</strong>' in text
        assert "<dt>Arrivals, 1 min</dt><dd>127 <small>" in text
        assert ">unusual on 1 account</a>" in text

    @pytest.mark.parametrize("arrived", [(3, 19, 4, 0), (200, 220, 180, 400), (500,), ()])
    def test_is_not_said_of_a_few_nor_of_what_comes_everywhere(
        self, arrived: tuple[int, ...], desk_of: Callable[..., str]
    ) -> None:
        assert 'class="mark"' not in desk_of(*arrived)

    def test_the_word_leads_to_the_most_first(self, desk_of: Callable[..., str], desk_client: Client) -> None:
        text = desk_of(3, 120, 4, 300, 2, query="?q=x")
        found = re.search(r'<a id="sort-unusual" class="mark" href="([^"]+)"', text)
        assert found is not None
        address = found[1].replace("&amp;", "&")
        assert "q=x" in address
        rows = desk_client.get(address).context["desk"].rows
        assert [row.account.account_id for row in rows][:2] == [1004, 1002]

    def test_comes_with_the_next_poll_though_only_others_have_changed(
        self, desk_of: Callable[..., str], desk_client: Client
    ) -> None:
        desk_of(100, 100, 100)
        has = desk_client.get("/").context["desk"].has
        Account.objects.exclude(account_id=1001).update(arrivals=[0] * 12)
        assert '<span class="mark">unusual</span>' in text_of(desk_client, "/", data={"has": has}, headers=HTMX)


def plain(text: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", text).split())


class TestAccount:
    @pytest.mark.parametrize(
        ("query", "ids"),
        [
            ("", [1, 2, 3]),
            ("side=SELL", [2]),
            ("side=sell", [2]),
            ("order_type=STOP", [3]),
            ("instruments=tsla", [2]),
            ("instruments=TSLA,AAPL", [1, 2, 3]),
            ("instrument_type=OPTION", [3]),
            ("status=NEW", [1]),
            ("status=QUEUED&status=NEW", [1, 2]),
            ("status=QUEUED,NEW", [1, 2]),
            ("time_in_force=GOOD_TILL_CANCEL", [2]),
            ("client_order_id_prefix=beta-", [3]),
            ("side=BUY&status=NEW", [1]),
            ("order_id=order-2", [2]),
        ],
    )
    def test_lists_what_matches_the_filter(self, query: str, ids: list[int], desk_client: Client, fill: Fill) -> None:
        fill(
            order(1),
            order(2, side="SELL", symbol="TSLA", status="QUEUED", time_in_force="GOOD_TILL_CANCEL"),
            order(3, order_type="STOP", instrument_type="OPTION", client_order_id="beta-3", status="PENDING_TRIGGER"),
        )
        book = desk_client.get(f"/accounts/1001/?{query}").context["book"]
        assert sorted(row.order.id for row in book.rows) == [f"order-{number}" for number in ids]

    @pytest.mark.parametrize(
        "query", ["side=X", "status=OPEN", "side=BUY&side=SELL", "sied=BUY", "instrument_type=OTHER"]
    )
    def test_lists_nothing_by_a_filter_that_is_not_understood(
        self, query: str, desk_client: Client, fill: Fill
    ) -> None:
        fill(order(1))
        response = desk_client.get(f"/accounts/1001/?{query}")
        text = response.content.decode()
        assert response.status_code == 400
        assert 'class="error"' in text
        assert "algo-1" not in text
        assert "/kills/new/" not in text

    def test_keeps_an_odd_value_visible_in_its_field(self, desk_client: Client) -> None:
        assert '<option value="SELLL" selected>' in text_of(desk_client, "/accounts/1001/?side=SELLL")

    def test_offers_to_cancel_what_matches(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), order(2), order(3, side="SELL"))
        text = text_of(desk_client, "/accounts/1001/?side=BUY&instruments=AAPL,MSFT")
        assert "Cancel the 2 that match<" in text
        assert 'href="/kills/new/?account=1001&amp;side=BUY&amp;instruments=AAPL%2CMSFT"' in text

    def test_offers_it_with_an_old_list(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), seconds=40)
        text = text_of(desk_client, "/accounts/1001/")
        assert "Cancel everything that matches (list is 4" in text
        assert "could not be fetched afresh" in text
        assert "algo-1" in text

    def test_offers_it_with_an_incomplete_list(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), whole=False)
        assert "incomplete" in desk_client.get("/accounts/1001/").context["book"].kill_words

    def test_offers_it_without_any_list(self, desk_client: Client) -> None:
        text = text_of(desk_client, "/accounts/777/")
        assert "Cancel everything that matches (there is no list yet)" in text
        assert 'href="/kills/new/?account=777"' in text

    def test_shows_what_nobody_knows_as_it_came(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1, side="CROSS_<b>", status="NEW_WORD", order_type="PEGGED_X", time_in_force="GOOD_TILL_DUSK"))
        text = text_of(desk_client, "/accounts/1001/")
        for word in ("CROSS_&lt;b&gt;", "NEW_WORD", "PEGGED_X", "GOOD_TILL_DUSK"):
            assert word in text

    def test_shows_each_field_of_an_order(self, desk_client: Client, fill: Fill) -> None:
        fill(
            order(
                1,
                side="SELL_SHORT",
                order_type="STOP_LIMIT",
                leaves_quantity=Decimal("0.5"),
                quantity=Decimal("1200"),
                limit_price=Decimal("10.1234"),
                venue="XNAS",
                time_in_force="GOOD_TILL_CANCEL",
                status="QUEUED",
                queue_state="AWAITING_RELEASE",
                releases_at="2026-11-23T14:30:00.000000000Z",
            )
        )
        text = text_of(desk_client, "/accounts/1001/")
        for words in (
            'class="side sell">SELL SHORT<',
            'title="A stop protects a position"',
            "<strong>0.5</strong> / 1,200",
            ">10.1234<",
            "$5.06",
            ">GTC</abbr>",
            "awaiting release <time",
            "2026-11-23 14:30:00</time> UTC",
            "XNAS",
        ):
            assert words in text

    def test_shows_the_legs_of_a_multi_leg_order(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1, symbol=None, legs=[{"symbol": "AAPL C200", "side": "BUY"}, {"symbol": "AAPL C210"}]))
        text = text_of(desk_client, "/accounts/1001/")
        assert 'title="2 legs: BUY AAPL C200, AAPL C210">2 legs<' in text

    def test_quotes_an_order_id_in_its_address(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1, id="a/b&c d"))
        assert "order_id=a%2Fb%26c%20d" in text_of(desk_client, "/accounts/1001/")

    def test_gives_a_poll_only_the_part(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1))
        text = text_of(desk_client, "/accounts/1001/?side=BUY", headers=HTMX)
        assert "<html" not in text
        assert "algo-1" in text
        assert 'hx-get="/accounts/1001/?side=BUY"' in text
