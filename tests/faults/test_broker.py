"""Between us and the broker: what it does not say is not known, and only its own word ends an order."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from killswitch.audit.models import Entry, Kind
from killswitch.book.operations import refresh_accounts
from killswitch.kills.models import KilledOrder, Outcome, State, Sweep
from tests.conftest import database_url, wait_for

from .conftest import World, outcomes
from .stack import QUICK, Process, Stack


@pytest.fixture(scope="module")
def worker_of_all(django_db_setup: None, django_db_blocker: Any) -> Iterator[tuple[Stack, Process]]:
    """A broker, a Redis and a worker that stay whole through all of these tests."""
    with django_db_blocker.unblock():
        stack = Stack(database_url())
    stack.broker("--accounts", "0", "--cancel-ms", "50", "--page-size-max", "10")
    stack.redis()
    yield stack, stack.worker()
    stack.end()


@pytest.fixture
def stack(worker_of_all: tuple[Stack, Process]) -> Stack:
    return worker_of_all[0]


@pytest.fixture(autouse=True)
def _no_stack_trace(worker_of_all: tuple[Stack, Process]) -> Iterator[None]:
    """Whatever the broker answers, the worker does not stumble over it."""
    before = len(worker_of_all[1].said)
    yield
    assert "Traceback" not in worker_of_all[1].said[before:]


def the_sweep(world: World) -> Sweep:
    return Sweep.objects.get(kill_id=world.pressed[-1])


def the_order(world: World) -> KilledOrder:
    return KilledOrder.objects.get(sweep__kill_id=world.pressed[-1])


def seen_of(world: World, desk: Client) -> str:
    """Return the page of the kill, as words."""
    text: str = desk.get(f"/kills/{world.pressed[-1]}/").content.decode()
    return " ".join(text.split())


class TestWhatBecameOfAnOrder:
    @pytest.mark.parametrize("how", ["mass cancel", "one order"])
    @pytest.mark.fault(13, what="answer lost after the cancel took effect", seen="unknown -> looked up -> canceled")
    def test_a_lost_answer_is_unknown_until_the_broker_was_asked(self, world: World, how: str) -> None:
        account = world.account(orders=1)
        [order] = world.open(account)
        world.control.add_fault(match={"method": "DELETE"}, do={"drop": "after"})
        named = {"order_id": order["id"]} if how == "one order" else {}
        over = world.ended(world.press(account=account, **named))
        assert (over.state, outcomes(over)) == (State.FLAT, {order["id"]: "canceled"})
        assert len(world.deletes()) == 1, "looked up, not sent again"
        answered = Entry.objects.get(kind=Kind.ATTEMPT_ANSWERED)
        assert (answered.data["error"], answered.http_status) == ("outcome_unknown", None)
        assert Entry.objects.get(kind=Kind.ORDER_ENDED).id > answered.id

    @pytest.mark.fault(14, what="`PENDING_CANCEL` for ever", seen="stuck alarm at the deadline")
    def test_a_cancel_that_stays_pending_is_called_stuck_and_not_sent_again(self, world: World, desk: Client) -> None:
        account = world.account(orders=3)
        stuck = world.open(account)[0]["id"]
        world.control.add_fault(match={"order_id": stuck}, do={"cancel": "stuck"})
        others = [order["id"] for order in world.open(account)[1:]]
        over = world.ended(world.press(account=account, order_id=[stuck, *others]))
        assert over.state == State.NOT_FLAT
        assert outcomes(over) == {stuck: "stuck"} | dict.fromkeys(others, "canceled")
        waited = Entry.objects.get(kind=Kind.ORDER_ENDED, order_id=stuck).at - over.engaged_at
        assert float(QUICK["KILL_STUCK_SECONDS"]) <= waited.total_seconds() < 8
        assert Counter(request["order_id"] for request in world.deletes()) == Counter([stuck, *others])
        page = seen_of(world, desk)
        assert "<h1>NOT FLAT" in page
        assert "Cancels are stuck at the broker." in page

    @pytest.mark.parametrize(
        ("traded", "outcome", "filled"), [(None, Outcome.FILLED, "100"), ("40", Outcome.PARTLY_FILLED, "40")]
    )
    @pytest.mark.fault(15, what="fill while the cancel is on its way", seen="outcome filled, with quantity")
    def test_a_fill_that_wins_the_race_is_told_with_its_quantity(
        self, world: World, desk: Client, traded: str | None, outcome: Outcome, filled: str
    ) -> None:
        account = world.account(orders=1)
        price = world.control.set_order(world.open(account)[0]["id"], limit_price="12.50")["limit_price"]
        part = {"fill_quantity": traded} if traded else {}
        world.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "fill", **part})
        over = world.ended(world.press(account=account))
        row = the_order(world)
        assert (over.state, row.outcome, f"{row.filled_quantity:f}") == (State.FLAT, outcome, filled)
        told = Entry.objects.filter(kind=Kind.ORDER_ENDED).order_by("id").last()
        assert told is not None
        assert (told.outcome, f"{told.filled_quantity:f}", told.data["lost_quantity"]) == (outcome, filled, filled)
        [order] = desk.get(f"/kills/{over.id}.json").json()["orders"]
        assert order["lost_quantity"] == filled
        assert Decimal(order["lost_notional"]) == Decimal(filled) * Decimal(price)
        assert "Orders traded while their cancel was on its way." in seen_of(world, desk)

    @pytest.mark.fault(
        17, what="404 for the order; 404 for the filter; 404 for the account", seen="three different outcomes"
    )
    def test_the_three_kinds_of_not_found_end_in_three_ways(self, world: World) -> None:
        account, empty = world.account(), world.account(orders=0)
        no_order = world.ended(world.press(account=account, order_id="no-such-order"))
        assert (no_order.state, outcomes(no_order)) == (State.UNKNOWN, {"no-such-order": "not_found"})
        assert "no-such-order not found" in the_sweep(world).error
        no_match = world.ended(world.press(account=empty))
        assert (no_match.state, outcomes(no_match), the_sweep(world).error) == (State.FLAT, {}, "")
        no_account = world.ended(world.press(account=4))
        assert (no_account.state, outcomes(no_account)) == (State.UNKNOWN, {})
        assert "Account 4 not found" in the_sweep(world).error
        said = Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED).order_by("id").values_list("data", flat=True)
        assert [data["error"] for data in said] == ["no_such_order", "nothing_matches", "no_such_account"]


class TestWhatArrives:
    @pytest.mark.parametrize("orders", [5, 0])
    @pytest.mark.fault(26, what="new orders arrive during the kill", seen="swept until quiet twice")
    def test_orders_that_arrive_meanwhile_are_swept_until_two_lists_are_quiet(
        self, world: World, desk: Client, orders: int
    ) -> None:
        account = world.account(orders=orders)
        before = {order["id"] for order in world.open(account)}
        # After each list, so that one that is quiet is followed by arrivals.
        world.control.add_fault(match={"call": "list_orders"}, do={"arrive": 2}, times=4)
        over = world.ended(world.press(account=account))
        assert (over.state, world.open(account)) == (State.FLAT, [])
        assert set(outcomes(over)) == {order["id"] for order in world.control.book(account)}
        assert len(outcomes(over)) == orders + 8
        calls = world.calls()
        last = max(place for place, call in enumerate(calls) if call.startswith("cancel"))
        assert calls[last + 1 :].count("list_orders") >= 2, "listed twice after the last cancel"
        told = desk.get(f"/kills/{over.id}.json").json()
        late = {order["order_id"] for order in told["orders"] if order["late"]}
        assert late == set(outcomes(over)) - before
        assert told["late_arrivals"] == told["sweeps"][0]["late_arrivals"] == 8
        assert set(Entry.objects.filter(kind="order.arrived").values_list("order_id", flat=True)) == late
        assert "Orders arrived after the kill began." in seen_of(world, desk)


class TestConnections:
    @pytest.mark.fault(32, what="idle connection closed by the broker", seen="one reconnect, no second decision")
    def test_a_cancel_on_a_connection_that_the_broker_closed_goes_out_once(self, world: World) -> None:
        account = world.account()
        world.control.add_fault(match={"call": "list_orders"}, do={"close_idle": True})
        assert world.ended(world.press(account=world.account(orders=0))).state == State.FLAT
        over = world.ended(world.press(account=account))
        assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
        mass = [request["call"] for request in world.deletes() if request["account_id"] == account]
        assert mass == ["cancel_all"]
        assert Entry.objects.filter(kind=Kind.KILL_ENGAGED, kill_id=over.id).count() == 1

    @pytest.mark.fault(32)
    def test_a_cancel_that_is_cut_off_on_a_kept_connection_is_not_repeated_without_a_word(self, world: World) -> None:
        account = world.account()
        assert world.ended(world.press(account=world.account(orders=0))).state == State.FLAT
        # The connection is kept from the kill before; nobody below us may send a DELETE again by itself.
        world.control.add_fault(match={"call": "cancel_all"}, do={"drop": "before"}, times=1)
        over = world.ended(world.press(account=account))
        assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
        announced = Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED, account_id=account).count()
        assert [r["call"] for r in world.deletes() if r["account_id"] == account] == ["cancel_all"] * announced


ODD_BODIES: dict[str, dict[str, Any]] = {
    "HTML": {"body": "html"},
    "HTML with 502": {"body": "html", "status": 502, "act": True},
    "half a body": {"body": "half"},
    "nothing": {"body": "empty"},
    "not JSON": {"body": "not_json"},
    "a list": {"body": {"raw": "[]"}},
    "no data": {"body": {"raw": '{"data": null, "error": null}'}},
    "data of another kind": {"body": {"raw": '{"data": "canceled"}'}},
    "200 with an error": {"error_in_200": {"code": 500, "message": "internal"}, "act": True},
    "200 with an error, nothing done": {"error_in_200": {"code": "RISK", "message": "not now"}},
}
ODD_FIELDS: dict[str, dict[str, Any]] = {
    "an unknown status": {"status": "HELD_BY_MARTIANS"},
    "unknown words everywhere": {"side": "SIDEWAYS", "order_type": "GUESS", "time_in_force": "UNTIL_TEA"},
    "null symbols": {"symbol": None, "instrument_id": None, "instrument_type": None},
    "nine-digit times": {
        "created_at": "2025-10-31T13:30:00.123456789Z",
        "updated_at": "2025-10-31T13:30:00.999999999Z",
    },
    "fields left out and made up": {"omit": ["symbol", "venue", "client_order_id"], "extra": {"mood": {"is": "odd"}}},
    "numbers that are none": {"limit_price": "NaN", "stop_price": "Infinity"},
}


class TestAnswersThatAreNotTheDocumentedJson:
    @pytest.mark.parametrize("odd", ODD_BODIES)
    @pytest.mark.fault(
        33,
        what="answers that are not the documented JSON: HTML, half a body, 200 with `error`, unknown statuses, "
        "null symbols, nine-digit times",
        seen='understood, or reported as what they are; never a stack trace, never "canceled"',
    )
    def test_an_odd_answer_to_a_mass_cancel_is_reported_and_looked_up(self, world: World, odd: str) -> None:
        account = world.account()
        world.control.add_fault(match={"call": "cancel_all"}, do=ODD_BODIES[odd], times=1)
        over = world.ended(world.press(account=account))
        assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
        first = Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED).order_by("id")[0]
        assert first.data["error"] in ("outcome_unknown", "broker_failed", "bad_request"), first.sentence
        assert not Entry.objects.filter(kind=Kind.ORDER_ENDED, id__lt=first.id).exists()

    @pytest.mark.parametrize("odd", ODD_BODIES)
    @pytest.mark.fault(33)
    def test_an_odd_list_makes_nothing_flat(self, world: World, odd: str) -> None:
        account = world.account()
        fault = world.control.add_fault(match={"call": "list_orders"}, do=ODD_BODIES[odd])
        kill = world.press(account=account)
        wait_for(lambda: "could not be listed" in the_sweep(world).error, "words for what came")
        assert set(outcomes(kill).values()) <= {"pending"}
        world.control.remove_fault(fault)
        assert world.ended(kill).state == State.FLAT

    @pytest.mark.fault(33)
    def test_a_broker_that_only_ever_shows_html_leaves_everything_unknown(self, world: World, desk: Client) -> None:
        account = world.account()
        world.control.add_fault(do={"body": "html"})
        over = world.ended(world.press(account=account))
        assert (over.state, outcomes(over)) == (State.UNKNOWN, {})
        assert "not the documented JSON" in seen_of(world, desk)

    @pytest.mark.parametrize("odd", ODD_FIELDS)
    @pytest.mark.fault(33)
    def test_an_order_with_odd_fields_is_open_and_canceled(self, world: World, odd: str) -> None:
        account = world.account(orders=2)
        order_id = world.open(account)[0]["id"]
        world.control.set_order(order_id, **ODD_FIELDS[odd])
        over = world.ended(world.press(account=account))
        assert (over.state, world.open(account)) == (State.FLAT, [])
        assert outcomes(over)[order_id] == "canceled"

    @pytest.mark.fault(33)
    def test_an_order_that_ends_in_a_status_nobody_knows_is_never_called_canceled(self, world: World) -> None:
        account = world.account(orders=1)
        order_id = world.open(account)[0]["id"]
        world.control.add_fault(match={"method": "DELETE"}, do={"cancel": "stuck"})
        kill = world.press(account=account)
        wait_for(world.deletes, "the DELETE")
        world.control.set_order(order_id, status="GONE_TO_MARS")
        over = world.ended(kill)
        assert over.state == State.NOT_FLAT
        assert outcomes(over)[order_id] in ("still_open", "stuck", "unknown")


class TestHalfAList:
    @pytest.mark.fault(
        34,
        what="a page of the list fails half way",
        seen="the list is marked incomplete; a kill goes on with the mass cancel",
    )
    def test_half_a_list_is_marked_and_keeps_no_kill_from_canceling(
        self, world: World, desk: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("CLEAR_STREET_BASE_URL", "CLEAR_STREET_API_KEY"):
            monkeypatch.setenv(name, world.stack.environment[name])
        account = world.account(orders=25)
        world.control.add_fault(match={"call": "list_orders", "page": 2}, do={"status": 500})
        refresh_accounts()
        assert "incomplete" in desk.get(f"/accounts/{account}/").content.decode()
        world.control.clear_log()
        over = world.ended(world.press(account=account))
        assert next(iter(world.calls())) == "cancel_all"
        assert (over.state, world.open(account)) == (State.UNKNOWN, [])
        assert "could not be listed" in the_sweep(world).error

    @pytest.mark.fault(34)
    def test_a_page_that_fails_for_a_while_costs_a_while(self, world: World) -> None:
        account = world.account(orders=25)
        world.control.add_fault(match={"call": "list_orders", "page": 3}, do={"drop": "before"}, times=2)
        over = world.ended(world.press(account=account))
        assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
        assert world.calls().count("cancel_all") == 1
