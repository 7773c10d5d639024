"""The open book, kept fresh from a simulator."""

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from killswitch.book import operations, queries
from killswitch.book.models import Account, AccountList
from killswitch.book.operations import look_at, refresh, save
from killswitch.broker import BrokerFailed, Listing, Order
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import wait_for

FIRST = 19816
pytestmark = pytest.mark.django_db(transaction=True)


def order(order_id: str, **values: object) -> Order:
    return Order(**{"id": order_id, "status": "NEW", "instrument_type": "COMMON_STOCK", **values})


def whole(*orders: Order) -> Listing[Order]:
    return Listing(items=list(orders), whole=True)


def broken(*orders: Order) -> Listing[Order]:
    return Listing(items=list(orders), whole=False, error=BrokerFailed("the broker failed"))


class TestSave:
    def test_keeps_open_orders_and_their_sums(self) -> None:
        now = timezone.now()
        save(
            7,
            whole(
                order("a", side="BUY", leaves_quantity=Decimal("0.5"), limit_price=Decimal("10.01")),
                order("b", side="SELL_SHORT", order_type="STOP", leaves_quantity=Decimal(3), stop_price=Decimal(2)),
                order("c", side="SELL", order_type="MARKET", leaves_quantity=Decimal(1)),
                Order(id="d", status="FILLED"),
            ),
            now,
        )
        account = Account.objects.get(account_id=7)
        assert (account.open_orders, account.buys, account.sells, account.stops) == (3, 1, 2, 1)
        assert (account.notional, account.unpriced) == (Decimal("11.005"), 1)
        assert (account.is_whole, account.listed_at, account.error) == (True, now, "")
        assert [o.id for o in queries.open_book(7).orders] == ["a", "b", "c"]

    def test_a_list_that_failed_leaves_the_last_one_with_its_age(self) -> None:
        now = timezone.now()
        save(7, whole(order("a")), now - timedelta(seconds=40))
        save(7, broken(), now)
        account = Account.objects.get(account_id=7)
        assert (account.open_orders, account.listed_at, account.tried_at) == (1, now - timedelta(seconds=40), now)
        assert account.error == "the broker failed"
        assert [o.id for o in queries.open_book(7).orders] == ["a"]

    def test_a_list_that_is_not_whole_never_replaces_one_that_is(self) -> None:
        now = timezone.now()
        save(7, whole(order("a"), order("b")), now - timedelta(seconds=40))
        save(7, broken(order("a")), now)
        assert Account.objects.get(account_id=7).open_orders == 2

    def test_a_list_that_is_not_whole_is_better_than_none(self) -> None:
        save(7, broken(order("a")), timezone.now())
        account = Account.objects.get(account_id=7)
        assert (account.open_orders, account.is_whole) == (1, False)

    def test_an_older_answer_that_comes_late_is_dropped(self) -> None:
        now = timezone.now()
        save(7, whole(order("new")), now)
        save(7, whole(order("old")), now - timedelta(seconds=5))
        assert [o.id for o in queries.open_book(7).orders] == ["new"]

    def test_counts_what_came_in_the_minute_before_the_list_whatever_became_of_it(self) -> None:
        now = timezone.now()
        ago = (-1, 0, 4, 6, 6, 59, 60, 3600)
        came = [
            order(str(number), created_at=(now - timedelta(seconds=seconds)).isoformat())
            for number, seconds in enumerate(ago)
        ]
        ended = Order(id="ended", status="CANCELED", created_at=(now - timedelta(seconds=6)).isoformat())
        save(7, whole(*came, ended, order("when", created_at="noon")), now)
        assert Account.objects.get(account_id=7).arrivals == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3]


class TestOpenBook:
    def test_unpacks_a_list_once_and_a_new_one_again(self, django_assert_num_queries: Any) -> None:
        save(7, whole(order("a")), timezone.now())
        first = queries.open_book(7)
        with django_assert_num_queries(1):
            assert queries.open_book(7).orders is first.orders
        save(7, whole(order("b")), first.account.listed_at)
        assert [o.id for o in queries.open_book(7).orders] == ["b"]
        assert [o.id for o in first.orders] == ["a"]

    def test_of_an_account_that_was_never_listed_is_empty_and_has_no_list(self) -> None:
        Account.objects.create(account_id=7)
        assert (queries.open_book(7).orders, queries.open_book(7).listing) == ([], None)
        assert queries.open_book(8).account is None


class TestRefresh:
    @pytest.fixture
    def simulator(self, make_simulator: Callable[..., SimulatorProcess]) -> SimulatorProcess:
        return make_simulator("--accounts", "6", "--orders", "5")

    def test_learns_accounts_then_lists_them_within_the_budget(self, simulator: SimulatorProcess) -> None:
        started = time.monotonic()
        assert refresh(requests_per_second=5, now=timezone.now()) == 5
        assert time.monotonic() - started >= 0.6, "four lists are spread over a second"
        assert [r["call"] for r in simulator.control.log()] == ["accounts"] + ["list_orders"] * 4
        assert Account.objects.count() == 6
        assert Account.objects.filter(listed_at=None).count() == 2
        refresh(requests_per_second=5, now=timezone.now())
        assert Account.objects.filter(listed_at=None).count() == 0

    def test_lists_an_account_that_somebody_looks_at_first(self, simulator: SimulatorProcess) -> None:
        refresh(requests_per_second=100, now=timezone.now())
        now = timezone.now()
        Account.objects.update(tried_at=now - timedelta(seconds=30))
        Account.objects.filter(account_id=FIRST + 5).update(looked_at=now, tried_at=now - timedelta(seconds=3))
        simulator.control.clear_log()
        refresh(requests_per_second=1, now=now)
        assert [r["account_id"] for r in simulator.control.log()] == [FIRST + 5]

    def test_does_nothing_while_somebody_else_is_at_it(self, simulator: SimulatorProcess) -> None:
        AccountList.objects.create(id=1, lease_until=timezone.now() + timedelta(seconds=5))
        assert refresh(requests_per_second=5, now=timezone.now()) == 0
        assert simulator.control.log() == []

    def test_an_account_that_is_no_longer_named_counts_only_while_it_shows_open_orders(
        self, simulator: SimulatorProcess
    ) -> None:
        Account.objects.create(account_id=1)
        Account.objects.create(account_id=2, open_orders=1)
        refresh(requests_per_second=5, now=timezone.now())
        assert set(Account.objects.filter(is_listed=False).values_list("account_id", flat=True)) == {1, 2}
        assert set(queries.known_account_ids()) == {2, *range(FIRST, FIRST + 6)}

    def test_a_broker_that_is_down_is_said_and_empties_nothing(self, simulator: SimulatorProcess) -> None:
        refresh(requests_per_second=100, now=timezone.now())
        simulator.control.add_fault(match={"call": "any"}, do={"status": 503, "message": "closed for lunch"})
        later = timezone.now() + timedelta(seconds=60)
        refresh(requests_per_second=100, now=later)
        assert queries.account_list().error == "closed for lunch"
        account = Account.objects.get(account_id=FIRST)
        assert (account.error, account.open_orders > 0) == ("closed for lunch", True)


class TestLookAt:
    def test_asks_the_broker_afresh(self, make_simulator: Callable[..., SimulatorProcess]) -> None:
        simulator = make_simulator("--accounts", "1", "--orders", "3")
        look_at(FIRST, now=timezone.now())
        simulator.control.add_orders(FIRST, count=2)
        look_at(FIRST, now=timezone.now() + timedelta(seconds=2))
        assert len(queries.open_book(FIRST).orders) == 5

    def test_two_looks_at_once_cost_one_request(self, make_simulator: Callable[..., SimulatorProcess]) -> None:
        simulator = make_simulator("--accounts", "1", "--orders", "3")
        now = timezone.now()
        look_at(FIRST, now=now)
        look_at(FIRST, now=now + timedelta(milliseconds=200))
        assert len(simulator.control.log()) == 1

    def test_does_not_wait_where_there_is_a_list_and_saves_the_new_one_when_it_comes(
        self, make_simulator: Callable[..., SimulatorProcess], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator = make_simulator("--accounts", "1", "--orders", "3", "--latency-ms", "2000")
        now = timezone.now()
        save(FIRST, whole(order("a")), now - timedelta(seconds=40))
        monkeypatch.setattr(operations, "GLANCE_SECONDS", 0.05)
        for _ in range(3):
            look_at(FIRST, now=now)
        assert [o.id for o in queries.open_book(FIRST).orders] == ["a"]
        wait_for(lambda: len(queries.open_book(FIRST).orders) == 3, "the late list")
        assert len(simulator.control.log()) == 1

    def test_leaves_an_account_that_is_being_looked_at_to_whoever_refreshes_the_book(
        self, make_simulator: Callable[..., SimulatorProcess]
    ) -> None:
        simulator = make_simulator("--accounts", "1", "--orders", "3")
        now = timezone.now()
        for seconds in (0, 1.5, 3, 4.5, 7):
            look_at(FIRST, now=now + timedelta(seconds=seconds))
        assert len(simulator.control.log()) == 3, "at first, once it is looked at, and when nobody else has listed it"

    def test_falls_back_to_the_last_list_when_the_broker_is_not_there(self) -> None:
        now = timezone.now()
        save(7, whole(order("a")), now - timedelta(seconds=40))
        look_at(7, now=now)
        account = Account.objects.get(account_id=7)
        assert (account.open_orders, account.listed_at) == (1, now - timedelta(seconds=40))
        assert "no connection" in account.error
