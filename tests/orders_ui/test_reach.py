"""What a confirmation says it reaches, and what has changed since it was opened."""

import html
import re
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from killswitch.book.models import Account, Snapshot
from killswitch.kills.decision import read_decision
from killswitch.kills.models import Kill
from killswitch.words import change, dollars_in_short
from orders_ui import reach
from orders_ui.reach import Reach

from .conftest import Fill, order

HTMX = {"HX-Request": "true"}
BEGAN = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def read(**fields: str) -> Any:
    return read_decision({name: [value] for name, value in fields.items()})


def words(**fields: str) -> str:
    return str(Reach.of(read(**fields)).common)


def created(minutes: int) -> str:
    return (BEGAN + timedelta(minutes=minutes)).isoformat()


def poll_of(text: str) -> str:
    """Return the address that the confirmation's poll asks."""
    found = re.search(r'id="reach" hx-get="([^"]+)"', text)
    assert found
    return html.unescape(found[1])


def changes(text: str) -> str:
    inner = text.split('id="reach-changes">')[1].split("</p>")[0]
    return " ".join(re.sub(r"<[^>]+>", "", inner).split())


class TestWhatMatchingOrdersHaveInCommon:
    def test_is_one_phrase_where_they_are_of_one_kind(self, fill: Fill) -> None:
        fill(order(1, side="SELL", symbol="TSLA"), order(2, side="SELL", symbol="TSLA"), order(3, side="SELL"))
        assert words(account="1001") == "all SELL LIMIT in TSLA, AAPL"

    def test_counts_the_kinds_where_there_are_several(self, fill: Fill) -> None:
        fill(order(1), order(2), order(3, side="SELL_SHORT"), order(4, order_type="STOP"))
        assert words(account="1001") == "3 BUY and 1 SELL SHORT, 3 LIMIT and 1 STOP, in AAPL"
        assert words(account="1001", side="BUY") == "all BUY, 2 LIMIT and 1 STOP, in AAPL"
        assert words(account="1001", order_type="LIMIT") == "2 BUY and 1 SELL SHORT, all LIMIT, in AAPL"

    def test_names_the_most_frequent_and_counts_the_rest(self, fill: Fill) -> None:
        kinds = ("LIMIT", "LIMIT", "LIMIT", "STOP", "STOP", "MARKET", "STOP_LIMIT", "OTHER")
        symbols = ("TSLA", "TSLA", "B", "C", "D", "E", "F", None)
        fill(*(order(n, order_type=k, symbol=s) for n, (k, s) in enumerate(zip(kinds, symbols, strict=True))))
        assert words(account="1001") == (
            "all BUY, 3 LIMIT, 2 STOP, 1 MARKET and 2 of other kinds, in TSLA, B, C, D, E and 2 more"
        )

    def test_calls_multi_leg_orders_what_they_are(self, fill: Fill) -> None:
        legs = [{"symbol": "AAPL C1", "instrument_type": "OPTION"}, {"symbol": "AAPL C2", "instrument_type": "OPTION"}]
        multi = {"symbol": None, "instrument_type": None, "legs": legs}
        fill(order(1, **multi), order(2, **multi), order(3))
        assert words(account="1001") == "all BUY LIMIT in multi-leg orders, AAPL"
        assert Reach.of(read(account="1001")).tally.notional == 2 * 105_000 + 1_050

    def test_covers_a_side_that_nobody_knows(self, fill: Fill) -> None:
        fill(order(1, side="", symbol=None))
        assert words(account="1001") == "all – LIMIT in symbols not known"


class TestCountingTakesNoLongerThanThereIsTime:
    def test_takes_the_sums_of_an_account_that_is_too_large_to_look_into(self, fill: Fill) -> None:
        fill(order(1), order(2, order_type="STOP"))
        many = int(2 * reach.COUNT_FOR_SECONDS / reach.SECONDS_AN_ORDER)
        Account.objects.update(open_orders=many)
        found = Reach.of(read(account="1001"))
        assert (found.tally.orders, found.tally.stops, found.is_counted, found.common) == (many, 1, True, None)

    def test_looks_again_ten_times_more_rarely_than_it_takes(self, fill: Fill) -> None:
        fill(order(1))
        assert Reach.of(read(account="1001")).poll_seconds == 2


class TestThePoll:
    @pytest.fixture
    def address(self, desk_client: Client, fill: Fill) -> str:
        fill(*(order(number, created_at=created(number)) for number in (1, 2, 3)))
        return poll_of(desk_client.get("/kills/new/?account=1001&side=BUY").content.decode())

    def poll(self, client: Client, address: str) -> str:
        response = client.get(address, headers=HTMX)
        assert response.status_code == 200
        assert response["Cache-Control"] == "no-store"
        return response.content.decode()

    def test_says_that_nothing_has_changed(self, address: str, desk_client: Client) -> None:
        text = self.poll(desk_client, address)
        assert re.fullmatch(r"Since you opened this at \d\d:\d\d:\d\d UTC: nothing has changed\.", changes(text))
        assert poll_of(text) == address

    def test_says_what_came_and_what_went(self, address: str, desk_client: Client, fill: Fill) -> None:
        new = [order(n, created_at=created(n), quantity=Decimal(1), leaves_quantity=Decimal(1)) for n in (4, 5, 6)]
        fill(order(1, created_at=created(1)), order(2, created_at=created(2)), *new)
        assert changes(self.poll(desk_client, address)).endswith(": +3 orders, 1 gone, notional -$1,018.")
        fill(order(1, created_at=created(1)))
        assert changes(self.poll(desk_client, address)).endswith(": 2 gone, notional -$2,100.")

    def test_tells_what_came_from_what_went_though_it_was_made_before(
        self, address: str, desk_client: Client, fill: Fill
    ) -> None:
        fill(order(1, created_at=created(1)), order(9, created_at=created(0)))
        assert changes(self.poll(desk_client, address)).endswith(": +1 order, 2 gone, notional -$1,050.")

    def test_says_of_very_many_only_how_many_more_or_fewer_there_are(self, desk_client: Client, fill: Fill) -> None:
        many = [order(number, created_at=created(1)) for number in range(200)]
        fill(*many)
        address = poll_of(desk_client.get("/kills/new/?account=1001&side=BUY").content.decode())
        fill(*many[:190], *(order(number, created_at=created(2)) for number in (300, 301)))
        assert ": +2 orders, 10 gone, notional" in changes(self.poll(desk_client, address))
        address = poll_of(desk_client.get("/kills/new/?account=1001").content.decode())
        fill(*many[:150])
        assert ": 42 gone, notional" in changes(self.poll(desk_client, address))
        Account.objects.update(open_orders=int(2 * reach.COUNT_FOR_SECONDS / reach.SECONDS_AN_ORDER))
        assert ": in all +" in changes(self.poll(desk_client, address))

    def test_counts_only_what_matches(self, address: str, desk_client: Client, fill: Fill) -> None:
        old = [order(number, created_at=created(number)) for number in (1, 2, 3)]
        fill(*old, order(4, side="SELL", created_at=created(4)))
        assert changes(self.poll(desk_client, address)).endswith("nothing has changed.")

    def test_says_nothing_of_changes_where_nothing_was_known(self, desk_client: Client, fill: Fill) -> None:
        address = poll_of(desk_client.get("/kills/new/?account=1001").content.decode())
        assert "opened" not in address
        fill(order(1))
        text = self.poll(desk_client, address)
        assert "Since you opened" not in text
        assert "<strong>1 open order</strong>" in text

    def test_keeps_the_lists_fresh_while_somebody_reads(self, address: str, desk_client: Client) -> None:
        assert Account.objects.get().looked_at is None
        self.poll(desk_client, address)
        first = Account.objects.get().looked_at
        assert first is not None
        self.poll(desk_client, address)
        assert Account.objects.get().looked_at == first

    @pytest.mark.parametrize(
        "odd",
        [
            "opened_orders=many&opened_notional=1&opened_at=2026-11-21T00:00:00Z",
            "opened_orders=1&opened_notional=NaN&opened_at=2026-11-21T00:00:00Z",
            "opened_orders=1&opened_notional=1&opened_at=2026-11-21",
            "opened_orders=1",
            "opened_orders=1&opened_notional=1&opened_at=2026-11-21T00:00:00Z&opened_ids=xyz",
            f"opened_orders=1&opened_notional=1&opened_at=2026-11-21T00:00:00Z&opened_ids={'ab' * 4 * 151}",
            "side=X",
            "foo=1",
        ],
    )
    def test_refuses_what_it_does_not_understand(self, odd: str, desk_client: Client) -> None:
        assert desk_client.get(f"/kills/new/reach/?account=1001&{odd}", headers=HTMX).status_code == 400

    def test_says_plainly_that_a_list_is_old_and_that_it_fires_all_the_same(
        self, desk_client: Client, fill: Fill
    ) -> None:
        fill(order(1), seconds=60)
        text = desk_client.get("/kills/new/?account=1001").content.decode()
        assert "<strong>The list is old.</strong>" in text
        assert "The kill needs no list: it fires all the same." in text
        fill(order(1))
        assert "needs no list" not in desk_client.get("/kills/new/?account=1001").content.decode()


class TestLookingByTheKey:
    def test_finds_the_kill_that_was_sent_with_it(self, desk_client: Client, compliance_client: Client) -> None:
        key = str(uuid.uuid4())
        for client in (desk_client, compliance_client):
            assert client.get(f"/kills/by-key/{key}.json").json()["kill"] is None
        desk_client.post("/kills/", {"account": "1001", "idempotency_key": key})
        for client in (desk_client, compliance_client):
            response = client.get(f"/kills/by-key/{key}.json")
            assert response.json()["kill"] == f"/kills/{Kill.objects.get().id}/"
            assert response["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        ("fields", "is_it"),
        [
            ({"account": "1001", "latched": "off"}, True),
            ({"account": "1001", "reason": "said afterwards"}, True),
            ({"account": "1001", "latched": "on"}, False),
            ({"account": "1001", "dry_run": "on"}, False),
            ({"account": "1002"}, False),
            ({"account": "1001", "side": "SELL"}, False),
            ({"account": "1001", "side": "UP"}, False),
        ],
    )
    def test_says_whether_it_is_of_the_fields_as_they_stand_now(
        self, fields: dict[str, str], is_it: bool, desk_client: Client, compliance_client: Client
    ) -> None:
        address = f"/kills/by-key/{uuid.uuid4()}.json"
        assert desk_client.get(address, fields).json()["is_of_these_fields"] is None
        desk_client.post("/kills/", {"account": "1001", "idempotency_key": address[14:-5]})
        assert desk_client.get(address).json()["is_of_these_fields"] is None
        assert desk_client.get(address, fields).json()["is_of_these_fields"] is is_it
        assert compliance_client.get(address, fields).json()["is_of_these_fields"] is False

    def test_brings_a_token_with_which_the_form_can_be_sent_again(self, desk_client: Client) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = desk_client.cookies
        token = strict.get(f"/kills/by-key/{uuid.uuid4()}.json").json()["csrf_token"]
        headers = {**HTMX, "X-CSRFToken": token}
        assert "HX-Redirect" in strict.post("/kills/", {"account": "1001"}, headers=headers)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "$0"),
        ("1050", "$1,050"),
        ("999949", "$999,949"),
        ("999960", "$1.0 M"),
        ("4180000", "$4.2 M"),
        ("999960000", "$1.0 B"),
        ("12345678901", "$12.3 B"),
    ],
)
def test_dollars_in_short_are_read_at_a_glance(value: str, text: str) -> None:
    assert dollars_in_short(Decimal(value)) == text
    assert change(Decimal(value)) == f"+{text}"


def test_the_time_of_an_opening_survives_its_way_through_an_address(desk_client: Client, fill: Fill) -> None:
    fill(order(1))
    opening = Reach.of(read(account="1001")).opening(timezone.now())
    assert opening is not None
    assert reach.Opening.read({name: [value] for name, value in opening.fields().items()}) == opening


class TestAListThatCannotBeRead:
    @pytest.mark.parametrize("query", ["account=1001", "all_accounts=on", "all_accounts=on&side=BUY"])
    def test_keeps_nobody_from_pressing(self, query: str, fill: Fill, desk_client: Client) -> None:
        fill(order(1))
        fill(order(2), account_id=1002)
        Snapshot.objects.filter(account_id=1001).update(orders=b"damaged", listing=uuid.uuid4())
        answer = desk_client.get(f"/kills/new/?{query}")
        assert answer.status_code == 200
        assert b'id="hold"' in answer.content
