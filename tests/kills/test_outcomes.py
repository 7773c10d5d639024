"""What became of every order: late ones, lost races, replaced ones, and what a dry run would have done."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.kills.carry_out import begin, carry_out
from killswitch.kills.models import Kill, KilledOrder, State
from killswitch.kills.queries import as_json
from killswitch.simulator.instruments import OPTIONS
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import wait_for

from .agreement import check_agreement, deletes, open_orders
from .conftest import Press

FIRST = 19816
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def simulator(make_simulator: Callable[..., SimulatorProcess]) -> SimulatorProcess:
    return make_simulator("--accounts", "2", "--orders", "6", "--cancel-ms", "60")


def row_of(order_id: str) -> KilledOrder:
    return KilledOrder.objects.get(order_id=order_id)


def add(simulator: SimulatorProcess, **order: Any) -> dict[str, Any]:
    [added] = simulator.control.add_orders(FIRST, order=order)
    return added


class TestLateArrivals:
    def test_are_counted_named_and_canceled(self, simulator: SimulatorProcess, kill: Press) -> None:
        before = {order["id"] for order in open_orders(simulator, FIRST)}
        simulator.control.add_fault(match={"call": "list_orders"}, do={"arrive": 2}, times=1)
        killed = kill(account=FIRST)
        late = {row.order_id for row in KilledOrder.objects.filter(is_late=True)}
        assert killed.state == State.FLAT
        assert late == {order["id"] for order in simulator.control.book(FIRST)} - before - ended_before(simulator)
        told = as_json(killed)
        assert (told["late_arrivals"], told["sweeps"][0]["late_arrivals"]) == (2, 2)
        assert {order["order_id"] for order in told["orders"] if order["late"]} == late
        arrived = Entry.objects.filter(kind=Kind.ORDER_ARRIVED)
        assert {entry.order_id for entry in arrived} == late
        check_agreement(simulator)

    def test_what_the_mass_cancel_passed_over_is_canceled_and_not_called_late(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        short = add(simulator, side="SELL_SHORT", status="NEW")
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"spare": ["SELL_SHORT"]}, times=1)
        killed = kill(account=FIRST)
        assert (killed.state, row_of(short["id"]).outcome) == (State.FLAT, "canceled")
        assert not row_of(short["id"]).is_late
        check_agreement(simulator)


def ended_before(simulator: SimulatorProcess) -> set[str]:
    """Return the orders of the first account that no kill has touched."""
    touched = set(KilledOrder.objects.values_list("order_id", flat=True))
    return {order["id"] for order in simulator.control.book(FIRST)} - touched


class TestLostRaces:
    def test_a_fill_on_the_way_is_told_with_quantity_and_notional(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        order = add(simulator, symbol="TSLA", quantity="300", limit_price="250.00", status="NEW")
        simulator.control.add_fault(match={"call": "cancel_one"}, do={"cancel": "fill"})
        killed = kill(account=FIRST, order_id=order["id"])
        row = row_of(order["id"])
        assert (killed.state, row.outcome) == (State.FLAT, "filled")
        assert (row.lost_quantity, row.lost_notional) == (Decimal(300), Decimal(75_000))
        [entry] = Entry.objects.filter(kind=Kind.ORDER_ENDED)
        assert "300, 75,000.00 US dollars, traded while the cancel was on its way" in entry.sentence
        check_agreement(simulator)

    def test_only_what_traded_since_is_counted(self, simulator: SimulatorProcess, kill: Press) -> None:
        order = add(simulator, symbol="TSLA", quantity="300", limit_price="250.00", status="NEW")
        simulator.control.fill(order["id"], "100")
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "fill", "fill_quantity": "50"})
        killed = kill(account=FIRST, side="BUY", instruments="TSLA", order_type="LIMIT")
        row = row_of(order["id"])
        assert (killed.state, row.outcome) == (State.FLAT, "partly_filled")
        assert (row.filled_quantity, row.lost_quantity, row.lost_notional) == (150, 50, 12_500)
        check_agreement(simulator)

    def test_an_option_stands_for_a_hundred_shares(self, simulator: SimulatorProcess, kill: Press) -> None:
        order = add(simulator, symbol=OPTIONS[0].symbol, quantity="3", limit_price="2.00", status="NEW")
        simulator.control.add_fault(match={"call": "cancel_one"}, do={"cancel": "fill"})
        kill(account=FIRST, order_id=order["id"])
        assert row_of(order["id"]).lost_notional == 600

    def test_an_order_that_had_filled_before_the_cancel_came_is_lost_too(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        order = add(simulator, symbol="TSLA", quantity="300", limit_price="250.00", status="NEW")
        pressed = press(account=FIRST, order_id=order["id"])
        simulator.control.fill(order["id"])
        carry_out(pressed.id)
        row = row_of(order["id"])
        assert (row.outcome, row.lost_quantity, row.lost_notional) == ("filled", 300, 75_000)

    def test_executions_that_cannot_be_read_leave_the_quantity_and_the_end(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        order = add(simulator, symbol="TSLA", quantity="300", status="NEW")
        simulator.control.add_fault(match={"call": "cancel_one"}, do={"cancel": "fill"})
        simulator.control.add_fault(match={"call": "executions"}, do={"status": 500})
        killed = kill(account=FIRST, order_id=order["id"])
        row = row_of(order["id"])
        assert (killed.state, row.lost_quantity, row.lost_notional) == (State.FLAT, 300, None)


class TestLostAnswers:
    def test_orders_that_ended_before_anybody_heard_of_them_are_told_of(
        self, make_simulator: Callable[..., SimulatorProcess], kill: Press
    ) -> None:
        simulator = make_simulator("--accounts", "1", "--orders", "6", "--cancel-ms", "0", "--ended", "3")
        before = {order["id"] for order in open_orders(simulator, FIRST)}
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"drop": "after"}, times=1)
        killed = kill(account=FIRST)
        rows = killed.sweeps.get().orders.all()
        assert killed.state == State.FLAT
        assert {row.order_id: row.outcome for row in rows} == dict.fromkeys(before, "canceled")
        check_agreement(simulator)


class TestReplacedOrders:
    def test_what_a_named_order_lives_on_as_is_canceled_too(self, simulator: SimulatorProcess, kill: Press) -> None:
        order = add(simulator, symbol="TSLA", status="NEW")
        simulator.control.set_order(order["id"], status="REPLACED", leaves_quantity="0")
        successor = add(simulator, symbol="TSLA", status="NEW", client_order_id=order["client_order_id"])
        killed = kill(account=FIRST, order_id=order["id"])
        assert killed.state == State.FLAT
        assert (row_of(order["id"]).outcome, row_of(successor["id"]).outcome) == ("replaced", "canceled")
        assert row_of(successor["id"]).replaces == order["id"]
        assert Entry.objects.get(kind=Kind.ORDER_SUCCESSOR).order_id == successor["id"]
        check_agreement(simulator)

    def test_what_a_touched_order_lives_on_as_is_no_late_arrival(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        order, other = (add(simulator, symbol="TSLA", status="NEW") for _ in range(2))
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "stuck"})
        pressed = press(account=FIRST, side=order["side"], instruments="TSLA")
        future = begin(pressed.id)
        assert future
        wait_for(lambda: KilledOrder.objects.filter(order_id=order["id"]).exists(), "the mass cancel")
        simulator.control.set_order(order["id"], status="REPLACED", leaves_quantity="0")
        successor = add(simulator, symbol="TSLA", status="NEW", client_order_id=order["client_order_id"])
        wait_for(lambda: KilledOrder.objects.filter(order_id=successor["id"]).exists(), "what it lives on as")
        for waiting in open_orders(simulator, FIRST):
            if waiting["status"] == "PENDING_CANCEL":
                simulator.control.set_order(waiting["id"], status="CANCELED", leaves_quantity="0")
        future.result(20)
        row = row_of(successor["id"])
        assert (row.replaces, row.is_late, row.outcome) == (order["id"], False, "canceled")
        assert row_of(other["id"]).outcome == "canceled"
        assert not Entry.objects.filter(kind=Kind.ORDER_ARRIVED).exists()
        check_agreement(simulator)

    def test_one_that_cannot_be_found_is_unknown(self, simulator: SimulatorProcess, kill: Press) -> None:
        order = add(simulator, symbol="TSLA", status="REPLACED")
        killed = kill(account=FIRST, order_id=order["id"])
        assert (killed.state, row_of(order["id"]).outcome) == (State.UNKNOWN, "replaced")
        assert "was replaced" in killed.sweeps.get().error


class TestStuckOrders:
    def test_an_order_that_ends_after_its_deadline_is_put_right(
        self, simulator: SimulatorProcess, press: Press, settings: Any
    ) -> None:
        settings.KILL_STUCK_SECONDS = 0.3
        stuck = add(simulator, symbol="TSLA", status="NEW")
        held = add(simulator, symbol="AAPL", status="NEW")
        simulator.control.add_fault(match={"order_id": stuck["id"]}, do={"cancel": "stuck"})
        # As long as one order is not given up the sweep goes on, and sees the other end.
        simulator.control.add_fault(match={"order_id": held["id"], "call": "cancel_one"}, do={"status": 429})
        pressed = press(account=FIRST, order_id=[stuck["id"], held["id"]])
        future = begin(pressed.id)
        assert future
        wait_for(lambda: KilledOrder.objects.filter(order_id=stuck["id"], outcome="stuck").exists(), "the alarm")
        simulator.control.set_order(stuck["id"], status="CANCELED", leaves_quantity="0")
        simulator.control.clear_faults()
        future.result(20)
        pressed.refresh_from_db()
        assert (pressed.state, row_of(stuck["id"]).outcome) == (State.FLAT, "canceled")
        told = Entry.objects.filter(kind=Kind.ORDER_ENDED, order_id=stuck["id"]).values_list("outcome", flat=True)
        assert list(told) == ["stuck", "canceled"]
        check_agreement(simulator)


class TestDryRuns:
    def test_nothing_is_sent_and_every_line_says_so(self, simulator: SimulatorProcess, kill: Press) -> None:
        before = {order["id"] for order in open_orders(simulator, FIRST)}
        killed = kill(account=FIRST, dry_run="on")
        assert deletes(simulator) == []
        assert killed.state == State.NOT_FLAT, "nothing was canceled, so nothing is flat"
        rows = killed.sweeps.get().orders.all()
        assert {row.order_id: row.outcome for row in rows} == dict.fromkeys(before, "would_cancel")
        entries = list(Entry.objects.all())
        assert len(entries) == len(before) + 4
        assert all(entry.sentence.startswith("DRY RUN: ") for entry in entries)
        assert all(entry.data["dry_run"] is True for entry in entries)
        assert not any(entry.kind == Kind.ATTEMPT_ANNOUNCED for entry in entries)

    def test_says_which_orders_a_filter_would_take(self, simulator: SimulatorProcess, kill: Press) -> None:
        order = add(simulator, client_order_id="rogue-1", status="NEW")
        killed = kill(all_accounts="on", known=[FIRST], client_order_id_prefix="rogue", dry_run="on")
        assert deletes(simulator) == []
        assert [row["order_id"] for row in as_json(killed)["orders"]] == [order["id"]]
        assert {sweep.state for sweep in killed.sweeps.all()} == {State.FLAT, State.NOT_FLAT}

    def test_is_flat_only_where_nothing_is_open(self, simulator: SimulatorProcess, kill: Press) -> None:
        assert kill(account=FIRST).state == State.FLAT
        assert kill(account=FIRST, dry_run="on").state == State.FLAT

    def test_a_named_order_that_is_not_open_is_unknown(self, simulator: SimulatorProcess, kill: Press) -> None:
        assert kill(account=FIRST, order_id="no-such-order", dry_run="on").state == State.UNKNOWN

    def test_what_cannot_be_listed_is_unknown(self, simulator: SimulatorProcess, kill: Press, settings: Any) -> None:
        settings.KILL_PATIENCE_SECONDS = 0.5
        simulator.control.add_fault(match={"call": "list_orders"}, do={"status": 500})
        killed: Kill = kill(account=FIRST, dry_run="on")
        assert (killed.state, deletes(simulator)) == (State.UNKNOWN, [])
