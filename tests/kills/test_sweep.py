"""A sweep against the simulator: real requests, and the broker's own log and book as the judge."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from killswitch import broker
from killswitch.audit.models import Entry, Kind
from killswitch.kills.budget import Budget
from killswitch.kills.canceling import ATTEMPTS_PER_ORDER
from killswitch.kills.carry_out import _work, carry_out
from killswitch.kills.claims import BREAK_OFFS, ClaimedSweep, break_off, claim
from killswitch.kills.crew import Crew
from killswitch.kills.hold import Hold
from killswitch.kills.models import Kill, KilledOrder, Roster, State, Sweep
from killswitch.kills.patience import limits
from killswitch.kills.record import LEASE, Recorder, renew
from killswitch.kills.register import DatabaseRegister
from killswitch.simulator.process import SimulatorProcess

from .agreement import check_agreement, deletes, open_orders
from .conftest import Press

FIRST = 19816
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def simulator(make_simulator: Callable[..., SimulatorProcess]) -> SimulatorProcess:
    return make_simulator("--accounts", "3", "--orders", "24", "--cancel-ms", "60")


@pytest.fixture
def impatient(settings: Any) -> None:
    settings.KILL_PATIENCE_SECONDS = 1.0
    settings.KILL_LIMIT_SECONDS = 20.0
    settings.KILL_STUCK_SECONDS = 1.0


class Unheard(DatabaseRegister):
    """Loses the answer of each commit that adds accounts, and tries again."""

    async def add_accounts(self, account_ids: list[int], is_whole: bool) -> list[ClaimedSweep]:
        await super().add_accounts(account_ids, is_whole)
        return await super().add_accounts(account_ids, is_whole)


def outcomes(kill: Kill) -> set[str]:
    return {row.outcome for sweep in kill.sweeps.all() for row in sweep.orders.all()}


def the_sweep(kill: Kill) -> Sweep:
    return kill.sweeps.get()


class TestWhatGoesOut:
    def test_a_whole_account_goes_as_one_mass_cancel_before_any_list(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        before = {order["id"] for order in open_orders(simulator, FIRST)}
        killed = kill(account=FIRST)
        assert killed.state == State.FLAT
        assert open_orders(simulator, FIRST) == []
        assert [request["call"] for request in simulator.control.log()][:2] == ["cancel_all", "list_orders"]
        assert {row.order_id for row in the_sweep(killed).orders.all()} == before
        check_agreement(simulator)

    def test_the_first_answer_of_an_account_is_noted_whatever_it_is(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"status": 503}, times=1)
        killed = kill(account=FIRST)
        first = Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED, http_status__isnull=False).order_by("id").first()
        assert first is not None
        assert (first.http_status, the_sweep(killed).first_answer_at) == (503, first.at)

    def test_no_answer_is_not_noted_as_one(self, simulator: SimulatorProcess, kill: Press) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"drop": "after"}, times=1)
        killed = kill(account=FIRST)
        lost, *answered = Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED).order_by("id")
        assert lost.http_status is None
        assert the_sweep(killed).first_answer_at == (answered[0].at if answered else None)

    def test_a_later_single_cancel_does_not_take_itself_for_the_first_attempt(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_orders(FIRST, order={"side": "SELL_SHORT", "status": "NEW"})
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"spare": ["SELL_SHORT"]}, times=1)
        killed = kill(account=FIRST)
        announced = Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED).order_by("id")
        assert announced.count() > 1
        assert the_sweep(killed).first_attempt_at == announced[0].at

    def test_the_brokers_filters_go_out_with_the_mass_cancel_and_spare_the_rest(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_orders(FIRST, order={"side": "SELL", "symbol": "TSLA", "order_type": "LIMIT"})
        spared = {o["id"] for o in open_orders(simulator, FIRST) if (o["side"], o["symbol"]) != ("SELL", "TSLA")}
        killed = kill(account=FIRST, side="SELL", instruments="tsla")
        assert killed.state == State.FLAT
        assert deletes(simulator)[0]["query"] == {"side": "SELL", "instrument_ids": "TSLA"}
        assert {o["id"] for o in open_orders(simulator, FIRST)} == spared
        check_agreement(simulator)

    def test_a_filter_that_the_broker_does_not_know_goes_order_by_order(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        for number in range(3):
            simulator.control.add_orders(FIRST, order={"client_order_id": f"rogue-{number}", "status": "NEW"})
        others = len(open_orders(simulator, FIRST)) - 3
        killed = kill(account=FIRST, client_order_id_prefix="rogue-", status="NEW")
        assert killed.state == State.FLAT
        assert {request["call"] for request in deletes(simulator)} == {"cancel_one"}
        assert len(deletes(simulator)) == 3
        assert len(open_orders(simulator, FIRST)) == others
        check_agreement(simulator)

    def test_one_order_is_canceled_without_listing_first(self, simulator: SimulatorProcess, kill: Press) -> None:
        order = open_orders(simulator, FIRST)[0]
        killed = kill(account=FIRST, order_id=order["id"])
        assert (killed.state, outcomes(killed)) == (State.FLAT, {"canceled"})
        assert next(request["call"] for request in simulator.control.log()) == "cancel_one"
        [row] = the_sweep(killed).orders.all()
        assert (row.order_id, row.client_order_id) == (order["id"], order["client_order_id"])
        check_agreement(simulator)

    def test_all_accounts_include_one_that_nobody_knew(self, simulator: SimulatorProcess, kill: Press) -> None:
        killed = kill(all_accounts="on", known=[FIRST])
        assert (killed.state, killed.roster) == (State.FLAT, Roster.CONFIRMED)
        assert killed.sweeps.count() == 3
        assert Entry.objects.get(kind=Kind.KILL_WIDENED).data["accounts"] == [FIRST + 1, FIRST + 2]
        assert simulator.control.book() != []
        assert all(open_orders(simulator, account_id) == [] for account_id in range(FIRST, FIRST + 3))
        check_agreement(simulator)


class TestWhatCountsAsGone:
    def test_a_status_that_nobody_knows_is_open_and_canceled(self, simulator: SimulatorProcess, kill: Press) -> None:
        order = open_orders(simulator, FIRST)[0]
        simulator.control.set_order(order["id"], status="HELD_BY_MARTIANS")
        killed = kill(account=FIRST, client_order_id_prefix=order["client_order_id"])
        assert (killed.state, outcomes(killed)) == (State.FLAT, {"canceled"})

    @pytest.mark.usefixtures("impatient")
    def test_pending_cancel_for_ever_is_stuck_and_not_flat(self, simulator: SimulatorProcess, kill: Press) -> None:
        simulator.control.add_fault(match={"call": "cancel_one"}, do={"cancel": "stuck"})
        killed = kill(account=FIRST, order_id=open_orders(simulator, FIRST)[0]["id"])
        assert (killed.state, outcomes(killed)) == (State.NOT_FLAT, {"stuck"})
        assert len(deletes(simulator)) == 1, "a cancel that is pending is not sent again"
        check_agreement(simulator)

    def test_an_order_that_fills_on_the_way_is_filled_with_its_quantity(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        order = next(o for o in open_orders(simulator, FIRST) if o["status"] == "NEW")
        simulator.control.add_fault(match={"call": "cancel_one"}, do={"cancel": "fill"})
        killed = kill(account=FIRST, order_id=order["id"])
        assert (killed.state, outcomes(killed)) == (State.FLAT, {"filled"})
        [row] = the_sweep(killed).orders.all()
        assert str(row.filled_quantity) == order["quantity"]
        check_agreement(simulator)

    @pytest.mark.usefixtures("impatient")
    def test_a_cancel_that_is_refused_is_tried_again_a_bounded_number_of_times(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_fault(match={"call": "cancel_one"}, do={"cancel": "refuse"})
        order = next(o for o in open_orders(simulator, FIRST) if o["status"] == "NEW")
        killed = kill(account=FIRST, order_id=order["id"])
        assert (killed.state, outcomes(killed)) == (State.NOT_FLAT, {"still_open"})
        assert 2 <= len(deletes(simulator)) <= ATTEMPTS_PER_ORDER
        check_agreement(simulator)

    def test_an_order_that_is_not_there_is_said_to_be_not_found(self, simulator: SimulatorProcess, kill: Press) -> None:
        killed = kill(account=FIRST, order_id="no-such-order")
        assert (killed.state, outcomes(killed)) == (State.UNKNOWN, {"not_found"})
        assert "no-such-order" in the_sweep(killed).error
        check_agreement(simulator)

    @pytest.mark.usefixtures("impatient")
    def test_an_order_that_nobody_can_tell_of_is_unknown(self, simulator: SimulatorProcess, kill: Press) -> None:
        simulator.control.add_fault(match={"call": ["cancel_one", "get_order"]}, do={"status": 500})
        killed = kill(account=FIRST, order_id="no-such-order")
        assert (killed.state, outcomes(killed)) == (State.UNKNOWN, {"unknown"})

    def test_orders_that_arrive_during_the_kill_are_taken_too(self, simulator: SimulatorProcess, kill: Press) -> None:
        simulator.control.add_fault(match={"call": "list_orders"}, do={"arrive": 2}, times=1)
        killed = kill(account=FIRST)
        assert killed.state == State.FLAT
        assert open_orders(simulator, FIRST) == []
        assert len([r for r in deletes(simulator) if r["call"] == "cancel_one"]) == 2
        check_agreement(simulator)


class TestWhenTheBrokerFails:
    def test_an_answer_that_is_lost_after_the_cancel_took_effect_is_looked_up(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"drop": "after"}, times=1)
        killed = kill(account=FIRST)
        assert (killed.state, outcomes(killed)) == (State.FLAT, {"canceled"})
        assert len(deletes(simulator)) == 1
        check_agreement(simulator)

    def test_a_mass_cancel_that_got_lost_on_the_way_is_sent_again(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"drop": "before"}, times=1)
        killed = kill(account=FIRST)
        assert killed.state == State.FLAT
        assert [request["call"] for request in deletes(simulator)] == ["cancel_all", "cancel_all"]
        check_agreement(simulator)

    @pytest.mark.usefixtures("impatient")
    def test_a_mass_cancel_that_never_left_is_sent_again_though_nothing_can_be_listed(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"status": 429}, times=1)
        simulator.control.add_fault(match={"call": "list_orders"}, do={"status": 500})
        killed = kill(account=FIRST)
        assert killed.state == State.UNKNOWN
        assert [request["status"] for request in deletes(simulator)] == [429, 200]
        assert open_orders(simulator, FIRST) == []
        check_agreement(simulator)

    def test_a_mass_cancel_that_keeps_failing_gives_way_to_single_cancels(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"status": 500})
        before = len(open_orders(simulator, FIRST))
        killed = kill(account=FIRST)
        assert killed.state == State.FLAT
        assert Counter(request["call"] for request in deletes(simulator)) == {"cancel_all": 2, "cancel_one": before}
        check_agreement(simulator)

    @pytest.mark.usefixtures("impatient")
    def test_it_gives_way_for_what_a_list_shows_that_breaks_off(
        self, make_simulator: Callable[..., SimulatorProcess], kill: Press
    ) -> None:
        simulator = make_simulator("--accounts", "1", "--orders", "30", "--ended", "0", "--page-size-max", "10")
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"status": 500})
        simulator.control.add_fault(match={"call": "list_orders", "page": 2}, do={"status": 500})
        killed = kill(account=FIRST)
        assert killed.state == State.UNKNOWN
        calls = Counter(request["call"] for request in deletes(simulator))
        assert calls["cancel_one"] == 10
        assert calls["cancel_all"] > 2, "what no list shows is still asked for"
        assert len(open_orders(simulator, FIRST)) == 20
        check_agreement(simulator)

    def test_a_cancel_that_was_refused_is_no_error_where_nothing_is_left(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        order = next(o for o in open_orders(simulator, FIRST) if o["status"] == "NEW")
        simulator.control.add_fault(match={"call": "cancel_one"}, do={"status": 422, "act": True, "cancel": "fill"})
        killed = kill(account=FIRST, order_id=order["id"])
        assert [request["status"] for request in deletes(simulator)] == [422]
        assert (killed.state, outcomes(killed), the_sweep(killed).error) == (State.FLAT, {"filled"}, "")

    def test_a_broker_that_fails_for_a_while_uses_no_attempt_up(self, simulator: SimulatorProcess, kill: Press) -> None:
        order = next(o for o in open_orders(simulator, FIRST) if o["status"] == "NEW")
        simulator.control.add_fault(match={"call": "cancel_one"}, do={"status": 503}, times=6)
        killed = kill(account=FIRST, order_id=order["id"])
        assert (killed.state, outcomes(killed)) == (State.FLAT, {"canceled"})
        assert len(deletes(simulator)) == 7
        check_agreement(simulator)

    def test_a_named_order_that_was_replaced_is_not_called_flat(self, simulator: SimulatorProcess, kill: Press) -> None:
        order = open_orders(simulator, FIRST)[0]
        simulator.control.set_order(order["id"], status="REPLACED")
        killed = kill(account=FIRST, order_id=order["id"])
        assert (killed.state, outcomes(killed)) == (State.UNKNOWN, {"replaced"})
        assert "was replaced" in the_sweep(killed).error

    def test_a_list_that_breaks_off_still_has_its_accounts_swept(
        self, make_simulator: Callable[..., SimulatorProcess], kill: Press, settings: Any
    ) -> None:
        settings.KILL_PATIENCE_SECONDS = 1.0
        simulator = make_simulator("--accounts", "6", "--orders", "4", "--page-size-max", "4")
        simulator.control.add_fault(match={"call": "accounts", "page": 2}, do={"status": 500})
        killed = kill(all_accounts="on")
        assert (killed.state, killed.roster) == (State.UNKNOWN, Roster.FAILED)
        assert all(open_orders(simulator, FIRST + number) == [] for number in range(4))
        assert killed.sweeps.filter(state=State.FLAT).count() == 4

    def test_a_throttled_cancel_waits_as_long_as_asked_and_goes_through(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"status": 429, "retry_after": 1}, times=1)
        killed = kill(account=FIRST)
        assert killed.state == State.FLAT
        first, second = deletes(simulator)
        assert second["at_monotonic_ns"] - first["at_monotonic_ns"] >= 1e9
        check_agreement(simulator)

    @pytest.mark.usefixtures("impatient")
    def test_what_cannot_be_listed_is_unknown_and_never_flat(self, simulator: SimulatorProcess, kill: Press) -> None:
        simulator.control.add_fault(match={"call": "list_orders"}, do={"status": 500})
        killed = kill(account=FIRST)
        assert (killed.state, the_sweep(killed).state) == (State.UNKNOWN, State.UNKNOWN)
        assert outcomes(killed) == {"unknown"}
        assert open_orders(simulator, FIRST) == [], "the mass cancel went out all the same"
        assert "could not be listed" in the_sweep(killed).error

    @pytest.mark.usefixtures("impatient")
    def test_a_list_whose_second_page_fails_makes_nothing_flat(
        self, make_simulator: Callable[..., SimulatorProcess], kill: Press
    ) -> None:
        simulator = make_simulator("--accounts", "1", "--orders", "30", "--page-size-max", "10")
        simulator.control.add_fault(match={"call": "list_orders", "page": 2}, do={"status": 500})
        assert kill(account=FIRST).state == State.UNKNOWN

    def test_a_refused_key_ends_as_unknown_without_a_storm(self, simulator: SimulatorProcess, kill: Press) -> None:
        simulator.control.add_fault(match={"call": "any"}, do={"status": 401})
        killed = kill(account=FIRST)
        assert killed.state == State.UNKNOWN
        assert len(simulator.control.log()) <= 5
        check_agreement(simulator)

    def test_an_account_that_the_broker_does_not_know_is_unknown(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        killed = kill(account=4)
        assert killed.state == State.UNKNOWN
        assert "Account 4 not found" in the_sweep(killed).error

    @pytest.mark.usefixtures("impatient")
    def test_a_broker_that_is_not_there_is_unknown(self, kill: Press) -> None:
        killed = kill(account=FIRST)
        assert killed.state == State.UNKNOWN
        assert "no connection" in the_sweep(killed).error

    def test_accounts_that_cannot_be_listed_leave_the_kill_unknown(
        self, simulator: SimulatorProcess, kill: Press
    ) -> None:
        simulator.control.add_fault(match={"call": "accounts"}, do={"status": 403})
        killed = kill(all_accounts="on", known=[FIRST])
        assert (killed.state, killed.roster) == (State.UNKNOWN, Roster.FAILED)
        assert the_sweep(killed).state == State.FLAT


class TestWhoCarriesItOut:
    def test_a_second_delivery_claims_nothing(self, simulator: SimulatorProcess, press: Press) -> None:
        pressed, together = press(account=FIRST), threading.Barrier(2)

        def deliver() -> None:
            together.wait(5)
            try:
                carry_out(pressed.id)
            finally:
                connection.close()

        threads = [threading.Thread(target=deliver) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        pressed.refresh_from_db()
        assert pressed.state == State.FLAT
        assert len(deletes(simulator)) == 1
        check_agreement(simulator)

    def test_a_worker_whose_lease_has_run_out_sends_nothing_more(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        pressed = press(account=FIRST)
        claimed = claim(pressed.id, source="a worker that was stopped for a while")
        assert claimed
        long_ago = time.monotonic() - LEASE.total_seconds() - 1
        broker.run(_work(claimed, Hold(long_ago)), timeout=20)
        assert deletes(simulator) == []
        pressed.refresh_from_db()
        assert pressed.state == State.RUNNING
        assert the_sweep(pressed).lease_token is None, "somebody else can take it up at once"

    def test_accounts_that_were_added_unheard_are_left_to_others(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        """A commit may have gone through though its answer was lost: to the second try nothing is new."""
        pressed = press(all_accounts="on", known=[FIRST])
        claimed, hold = claim(pressed.id, source="a worker"), Hold(time.monotonic())
        assert claimed
        recorder = Recorder()
        crew = Crew(claimed, hold, Unheard(claimed, recorder), Budget(10), limits())
        broker.run(crew.run(), timeout=20)
        broker.run(recorder.close(), timeout=5)
        added = pressed.sweeps.exclude(account_id=FIRST)
        assert {sweep.lease_token for sweep in added} == {claimed.token}
        assert renew(claimed.token, hold.sweeping) == []
        added.update(lease_until=timezone.now())
        carry_out(pressed.id)
        pressed.refresh_from_db()
        assert pressed.state == State.FLAT
        assert open_orders(simulator, FIRST + 2) == []
        check_agreement(simulator, may_be_lost=True)

    def test_only_what_is_worked_on_is_kept(self, press: Press) -> None:
        claimed = claim(press(account=[FIRST, FIRST + 1]).id, source="a worker")
        assert claimed
        first, second = (one.sweep for one in claimed.sweeps)
        assert renew(claimed.token, {first.id}) == [first.id]
        before = {first.lease_until, second.lease_until}
        assert [Sweep.objects.get(id=one.id).lease_until in before for one in (first, second)] == [False, True]

    def test_a_sweep_that_breaks_off_again_and_again_ends_as_unknown(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        pressed = press(account=FIRST)
        for _ in range(BREAK_OFFS):
            claimed = claim(pressed.id, source="a worker with a bug")
            assert claimed
            break_off(claimed, claimed.sweeps[0].sweep, "an unexpected error (KeyError) broke it off")
        pressed.refresh_from_db()
        assert pressed.state == State.UNKNOWN
        assert "KeyError" in the_sweep(pressed).error
        assert claim(pressed.id, source="another") is None

    def test_a_named_order_that_is_not_there_is_not_green_after_a_take_over(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        pressed = press(account=FIRST, order_id="no-such-order")
        assert claim(pressed.id, source="a worker that dies before it wrote anything down")
        Sweep.objects.update(lease_until=timezone.now())
        carry_out(pressed.id)
        pressed.refresh_from_db()
        assert (pressed.state, outcomes(pressed)) == (State.UNKNOWN, {"not_found"})

    def test_what_was_not_found_before_a_take_over_is_not_green_after_it(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        pressed = press(account=FIRST, order_id="no-such-order")
        assert claim(pressed.id, source="a worker that dies after it learnt of it")
        now = timezone.now()
        the_sweep(pressed).orders.create(order_id="no-such-order", outcome="not_found", updated_at=now, ended_at=now)
        Sweep.objects.update(lease_until=now)
        carry_out(pressed.id)
        pressed.refresh_from_db()
        assert pressed.state == State.UNKNOWN

    @pytest.mark.usefixtures("impatient")
    def test_a_named_order_is_sent_after_a_take_over_though_nothing_can_be_listed(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        order = open_orders(simulator, FIRST)[0]
        pressed = press(account=FIRST, order_id=order["id"])
        assert claim(pressed.id, source="a worker that dies before it sent anything")
        Sweep.objects.update(lease_until=timezone.now())
        simulator.control.add_fault(match={"call": "list_orders"}, do={"status": 500})
        carry_out(pressed.id)
        pressed.refresh_from_db()
        assert pressed.state == State.UNKNOWN
        assert [request["order_id"] for request in deletes(simulator)] == [order["id"]]

    def test_an_abandoned_sweep_is_taken_over_and_looked_up_first(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        pressed = press(account=FIRST)
        assert claim(pressed.id, source="a worker that dies here")
        assert claim(pressed.id, source="too early") is None
        Sweep.objects.update(lease_until=timezone.now())
        carry_out(pressed.id)
        pressed.refresh_from_db()
        assert pressed.state == State.FLAT
        calls = [request["call"] for request in simulator.control.log()]
        assert calls[:2] == ["list_orders", "cancel_all"]
        assert Entry.objects.filter(kind=Kind.ATTEMPT_UNANSWERED).count() == 1
        assert Entry.objects.filter(kind=Kind.SWEEP_TAKEN_OVER).count() == 1

    def test_many_accounts_are_taken_over_in_as_few_questions_as_two(self, press: Press) -> None:
        """While a take-over asks, nobody else can write: not even whoever wants to keep a lease."""
        asked = []
        for accounts in ([1, 2], list(range(1, 101))):
            pressed = press(account=accounts)
            claim(pressed.id, source="a worker that dies here")
            for sweep in pressed.sweeps.all():
                KilledOrder.objects.create(sweep=sweep, order_id=f"of-{sweep.id}", updated_at=timezone.now())
            Sweep.objects.update(lease_until=timezone.now())
            with CaptureQueriesContext(connection) as queries:
                taken = claim(pressed.id, source="another")
            assert taken is not None
            assert all([row.order_id for row in one.orders] == [f"of-{one.sweep.id}"] for one in taken.sweeps)
            asked.append(sum(query["sql"].startswith("SELECT") for query in queries))
        assert asked[0] == asked[1]
