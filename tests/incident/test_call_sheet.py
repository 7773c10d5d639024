"""The call sheet: what is read out, in which order, with which marks."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from killswitch.access.roles import ROLES
from killswitch.audit.models import Kind
from killswitch.incident.call_sheet import LINES, CallSheet, chunks
from killswitch.incident.figures import Incident
from killswitch.kills.models import Kill, KilledOrder, Outcome, State
from tests.orders_ui.conftest import client_of

from .conftest import add, end, make_kill, tell

HTMX = {"HX-Request": "true"}


@pytest.fixture
def kill(db: None) -> Kill:
    return make_kill()


def sheet_of(kill: Kill) -> CallSheet:
    return CallSheet(Incident(Kill.objects.get(pk=kill.pk)))


def read_out(kill: Kill) -> list[tuple[int, int, str]]:
    """Return number, account and order of every line."""
    return [(line.number, account.account_id, line.order.order_id)
            for account in sheet_of(kill).accounts for line in account.lines]  # fmt: skip


def page_of(client: Client, kill: Kill, **options: Any) -> str:
    return " ".join(client.get(f"/kills/{kill.id}/call-sheet/", **options).content.decode().split())


def plain(text: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def text_of(client: Client, kill: Kill) -> str:
    response = client.get(f"/kills/{kill.id}/call-sheet.txt")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    return response.content.decode()


class TestRanking:
    def test_puts_the_largest_first_account_by_account(self, kill: Kill) -> None:
        add(kill, "small", 1001, price=Decimal(1))
        add(kill, "large", 1001, price=Decimal(50))
        add(kill, "largest", 1002, price=Decimal(900))
        assert read_out(kill) == [(1, 1002, "largest"), (2, 1001, "large"), (3, 1001, "small")]

    def test_puts_what_has_no_price_before_everything(self, kill: Kill) -> None:
        add(kill, "priced", 1001, price=Decimal(900))
        add(kill, "market", 1001, order_type="MARKET", price=None)
        add(kill, "other", 1002, price=Decimal(5000))
        assert [order for _, _, order in read_out(kill)] == ["market", "priced", "other"]

    def test_takes_an_options_multiplier_into_account(self, kill: Kill) -> None:
        add(kill, "stock", price=Decimal(50))
        add(kill, "option", price=Decimal(1), instrument_type="OPTION")
        assert [order for _, _, order in read_out(kill)] == ["option", "stock"]

    def test_puts_a_multi_leg_order_where_it_belongs(self, kill: Kill) -> None:
        legs = {"symbol": "", "legs": "2 legs: BUY 1 AAPL C1, SELL 1 AAPL C2"}
        add(kill, "stock", price=Decimal(50))
        add(kill, "options", price=Decimal(1), instrument_type="OPTION", **legs)
        add(kill, "nobody knows", price=Decimal("0.1"), **legs)
        add(kill, "not even legs", price=Decimal("0.1"), symbol="")
        assert [order for _, _, order in read_out(kill)] == ["nobody knows", "not even legs", "options", "stock"]

    def test_counts_a_sell_as_much_as_a_buy(self, kill: Kill) -> None:
        add(kill, "long", price=Decimal(10))
        add(kill, "short", price=Decimal(10), leaves_quantity=Decimal(-500))
        assert [order for _, _, order in read_out(kill)] == ["short", "long"]

    def test_keeps_sums_of_all_where_not_all_are_listed(self, kill: Kill) -> None:
        sweep = kill.sweeps.create(account_id=1001)
        same = {"sweep": sweep, "outcome": "stuck", "leaves_quantity": Decimal(1), "updated_at": kill.engaged_at}
        KilledOrder.objects.bulk_create(
            KilledOrder(order_id=f"{n}", symbol="AAPL", price=Decimal(n + 1), **same) for n in range(LINES + 50)
        )
        [account] = sheet_of(kill).accounts
        assert (account.orders, len(account.lines)) == (LINES + 50, LINES)
        assert account.notional == sum(range(1, LINES + 51))
        assert [line.order.order_id for line in account.lines[:2]] == [str(LINES + 49), str(LINES + 48)]

    def test_says_that_not_all_are_listed(self, kill: Kill, desk: Client) -> None:
        for number in range(LINES + 1):
            add(kill, str(number), price=Decimal(1))
        told = f"{LINES} of {LINES + 1} orders stand here. Nobody reads out all of them"
        assert told in plain(page_of(desk, kill))
        assert f"The first {LINES} of {LINES + 1} orders. Nobody reads out all of them" in text_of(desk, kill)


class TestLine:
    @pytest.mark.parametrize("outcome", [Outcome.STUCK, Outcome.STILL_OPEN, Outcome.UNKNOWN, Outcome.NOT_FOUND])
    def test_is_there_for_what_is_not_known_to_be_gone(self, outcome: Outcome, kill: Kill) -> None:
        add(kill, "1", outcome=outcome)
        assert [order for _, _, order in read_out(kill)] == ["1"]

    @pytest.mark.parametrize("outcome", [Outcome.CANCELED, Outcome.FILLED, Outcome.REPLACED, Outcome.PENDING])
    def test_is_not_there_for_what_is_gone_or_on_its_way(self, outcome: Outcome, kill: Kill) -> None:
        add(kill, "1", outcome=outcome)
        assert read_out(kill) == []

    def test_says_all_that_the_desk_will_ask_for(self, kill: Kill, desk: Client) -> None:
        add(
            kill,
            "3f2a81c0-9d1e-4c55",
            client_order_id="algo-77",
            side="SELL_SHORT",
            symbol="TSLA",
            order_type="STOP_LIMIT",
            time_in_force="GOOD_TILL_CANCEL",
            quantity=Decimal(1200),
            leaves_quantity=Decimal(1150),
            price=Decimal("248.5"),
            stop_price=Decimal("250"),
            pending_since=kill.engaged_at,
        )
        since = f"{kill.engaged_at:%Y-%m-%d %H:%M:%S}"
        for text in (plain(page_of(desk, kill)), text_of(desk, kill)):
            for said in ("1001", "SELL SHORT", "1,150", "1,200", "TSLA", "STOP LIMIT", "GOOD TILL CANCEL", "248.50",
                         "250.00", "$285,775.00", "algo-77", "stuck in pending cancel", since):  # fmt: skip
                assert said in text, said

    def test_says_what_a_multi_leg_order_trades_and_what_it_is_worth(self, kill: Kill, desk: Client) -> None:
        legs = "2 legs: BUY 1 AAPL C1, SELL 1 AAPL C2"
        add(
            kill,
            "spread",
            symbol="",
            legs=legs,
            instrument_type="OPTION",
            leaves_quantity=Decimal(21),
            price=Decimal("2.37"),
        )
        for text in (plain(page_of(desk, kill)), text_of(desk, kill)):
            assert f"SELL 21 {legs}" in text
            assert "$4,977.00" in text
        assert legs in plain(desk.get(f"/kills/{kill.id}/").content.decode())
        kill.sweeps.get().orders.update(legs="", instrument_type="")
        for text in (plain(page_of(desk, kill)), text_of(desk, kill)):
            assert "SELL 21 multi-leg, or symbol not known" in text
            assert "worth not known" in text
            assert "no price" not in text
            assert "$49.77" not in text

    def test_reads_an_id_out_in_parts_and_copies_it_whole(self, kill: Kill, desk: Client) -> None:
        add(kill, "3f2a81c0-9d1e-4c55")
        spans = "".join(f"<span>{part}</span>" for part in ("3f2a", "81c0-", "9d1e-", "4c55"))
        assert spans in page_of(desk, kill)
        text = text_of(desk, kill)
        assert re.search(r"order id +3f2a81c0-9d1e-4c55\n", text)
        assert re.search(r"in parts +3f2a 81c0- 9d1e- 4c55\n", text)

    @pytest.mark.parametrize("name", ["", "1", "12345", "a-b--c", "<b>", "ümläut_7", "a b", "🛑x"])
    def test_loses_nothing_of_an_id(self, name: str) -> None:
        assert "".join(chunks(name)) == name

    @pytest.mark.parametrize("kind", ["STOP", "STOP_LIMIT", "TRAILING_STOP", "TRAILING_STOP_LIMIT"])
    def test_marks_every_stop_in_words(self, kind: str, kill: Kill, desk: Client) -> None:
        add(kill, "1", order_type=kind)
        assert "stop: protects?" in page_of(desk, kill)
        assert "STOP: PROTECTS?" in text_of(desk, kill)

    def test_marks_no_other_order_as_a_stop(self, kill: Kill, desk: Client) -> None:
        add(kill, "1", order_type="LIMIT")
        assert "protects?" not in page_of(desk, kill)
        assert "PROTECTS?" not in text_of(desk, kill)

    def test_names_a_stops_price_once(self, kill: Kill, desk: Client) -> None:
        add(kill, "1", order_type="STOP", price=Decimal("31.5"), stop_price=Decimal("31.5"))
        assert plain(page_of(desk, kill)).count("31.50") == 1

    def test_says_that_what_has_no_price_is_not_known_to_be_worth_anything(self, kill: Kill, desk: Client) -> None:
        add(kill, "1", order_type="MARKET")
        assert "worth not known: no price" in page_of(desk, kill)

    def test_has_the_request_ids_of_the_cancels_and_of_nothing_else(self, kill: Kill, desk: Client) -> None:
        add(kill, "1", request_id="of-a-look-up")
        add(kill, "1", 1002, request_id="of-a-look-up")
        for kind, request in (
            (Kind.ORDER_ACCEPTED, "mass"),
            (Kind.ATTEMPT_ANSWERED, "one"),
            (Kind.ATTEMPT_ANSWERED, "two"),
        ):
            tell(kill, kind, account_id=1001, order_id="1", request_id=request)  # fmt: skip
        tell(make_kill(), Kind.ATTEMPT_ANSWERED, account_id=1001, order_id="1", request_id="of-another-kill")
        first, second = [line for account in sheet_of(kill).accounts for line in account.lines]
        assert (first.request_ids, second.request_ids) == (["mass", "one", "two"], [])
        assert "Request ids of its cancels mass, one, two" in plain(page_of(desk, kill))

    def test_keeps_what_others_wrote_on_its_own_line(self, kill: Kill, desk: Client) -> None:
        add(kill, "1\nACCOUNT 7: 1 order", client_order_id="<i>x</i>\r\nACCOUNT 8", symbol="A\nACCOUNT 9")
        assert "<i>" not in page_of(desk, kill)
        accounts = [line for line in text_of(desk, kill).splitlines() if line.startswith("ACCOUNT")]
        assert accounts == ["ACCOUNT 1001: 1 order, worth not known"]


class TestAccountsInDoubt:
    def test_are_named_with_why_and_what_to_ask_for(self, kill: Kill, desk: Client) -> None:
        kill.sweeps.create(account_id=1003, state=State.UNKNOWN, error="the orders could not be listed: oops")
        tell(kill, Kind.ATTEMPT_ANSWERED, account_id=1003, request_id="mass-1")
        page, text = plain(page_of(desk, kill)), text_of(desk, kill)
        assert "for a cancel of all orders" in page
        assert "1003 the orders could not be listed: oops request ids mass-1" in page
        assert "1003: the orders could not be listed: oops (request ids mass-1)" in text

    def test_are_those_only_of_which_something_is_not_known(self, kill: Kill) -> None:
        kill.sweeps.create(account_id=1, state=State.FLAT)
        kill.sweeps.create(account_id=2, state=State.RUNNING)
        kill.sweeps.create(account_id=3, state=State.NOT_FLAT)
        kill.sweeps.create(account_id=4, state=State.RUNNING, error="no connection")
        assert [doubt.sweep.account_id for doubt in sheet_of(kill).in_doubt] == [4]

    def test_are_all_of_them_where_the_broker_did_not_say_which_there_are(self, db: None, desk: Client) -> None:
        kill = make_kill(all_accounts=True, roster_error="The accounts could not be listed: oops")
        assert "The accounts could not be listed: oops. Ask for a cancel of all orders on every account." in plain(
            page_of(desk, kill)
        )
        assert "ALL ACCOUNTS: The accounts could not be listed: oops." in text_of(desk, kill)


class TestPage:
    @pytest.mark.parametrize("who", [*ROLES, "no role"])
    @pytest.mark.parametrize("page", ["call-sheet/", "call-sheet.txt"])
    def test_is_for_everybody_who_sees_kills(self, who: str, page: str, kill: Kill) -> None:
        client = client_of("x", "" if who == "no role" else who)
        assert client.get(f"/kills/{kill.id}/{page}").status_code == (403 if who == "no role" else 200)

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({}, "Nothing to read out so far: no order is stuck, still open or unknown."),
            ({"dry_run": True}, "Nothing to read out: it is a dry run, nothing was sent."),
        ],
    )
    def test_says_that_there_is_nothing_to_read(
        self, fields: dict[str, bool], said: str, db: None, desk: Client
    ) -> None:
        kill = make_kill(**fields)
        add(kill, "1", outcome=Outcome.WOULD_CANCEL if fields else Outcome.CANCELED)
        assert said in page_of(desk, kill)
        assert said in text_of(desk, kill)

    def test_says_so_of_a_kill_that_is_over(self, kill: Kill, desk: Client) -> None:
        end(kill, State.FLAT)
        assert "Nothing to read out: no order is stuck" in page_of(desk, kill)

    def test_follows_while_the_kill_runs_and_stops_then(self, kill: Kill, desk: Client) -> None:
        add(kill, "1")
        for headers in ({}, HTMX):
            assert 'hx-trigger="every 5s"' in page_of(desk, kill, headers=headers)
        assert "<html" not in page_of(desk, kill, headers=HTMX)
        end(kill, State.NOT_FLAT)
        for headers in ({}, HTMX):
            assert "hx-trigger" not in page_of(desk, kill, headers=headers).rpartition("<main")[2]

    def test_counts_those_that_still_wait(self, kill: Kill, desk: Client) -> None:
        add(kill, "1")
        add(kill, "2", outcome=Outcome.PENDING)
        assert "1 more order waits for the broker’s word" in page_of(desk, kill)


class TestLink:
    @pytest.mark.parametrize(
        ("outcome", "there"),
        [(Outcome.STUCK, True), (Outcome.STILL_OPEN, True), (Outcome.UNKNOWN, True), (Outcome.CANCELED, False)],
    )
    def test_is_loud_on_the_kills_page_from_the_first_order_on(
        self, outcome: Outcome, there: bool, kill: Kill, desk: Client
    ) -> None:
        add(kill, "1", outcome=outcome)
        text = desk.get(f"/kills/{kill.id}/").content.decode()
        assert ('id="call-sheet"' in text) is there
        assert ("1 order to read to the broker’s desk" in text) is there

    def test_stands_in_the_alarm_of_stuck_cancels(self, kill: Kill, desk: Client) -> None:
        add(kill, "1", outcome=Outcome.STUCK)
        text = desk.get(f"/kills/{kill.id}/").content.decode()
        [alarm] = re.findall(r'<p class="loud stuck">(.*?)</p>', text)
        assert f'href="/kills/{kill.id}/call-sheet/"' in alarm

    def test_is_there_where_an_account_is_unknown(self, kill: Kill, desk: Client) -> None:
        kill.sweeps.create(account_id=1003, state=State.UNKNOWN, error="oops")
        assert 'id="call-sheet"' in desk.get(f"/kills/{kill.id}/").content.decode()

    def test_is_not_there_in_a_dry_run(self, db: None, desk: Client) -> None:
        kill = make_kill(dry_run=True)
        add(kill, "1", outcome=Outcome.WOULD_CANCEL)
        kill.sweeps.create(account_id=1003, state=State.UNKNOWN, error="oops")
        assert 'id="call-sheet"' not in desk.get(f"/kills/{kill.id}/").content.decode()
