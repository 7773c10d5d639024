"""What is promised where it is easily broken: in bad company, under load, at the end of a limit."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from killswitch import broker
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor
from killswitch.broker import ClearStreet, Listing
from killswitch.kills.carry_out import _keep_leases, begin, carry_out, hand_over
from killswitch.kills.claims import BREAK_OFFS, break_off, claim
from killswitch.kills.entries import Subject, announce_cancel, sweep_ended
from killswitch.kills.hold import Hold
from killswitch.kills.models import Kill, KilledOrder, Outcome, State, Sweep
from killswitch.kills.patience import REFUSALS_IN_A_ROW, REFUSED_PAUSE
from killswitch.kills.queries import as_json
from killswitch.kills.record import LEASE, LostLease, Note, Recorder, write
from killswitch.kills.release import release
from killswitch.kills.sweep import open_case
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import wait_for

from .agreement import deletes, open_orders
from .conftest import Press

FIRST = 19816
pytestmark = pytest.mark.django_db(transaction=True)
SECOND_PERSON = Actor(id=2, name="desk2", source="test")


@pytest.fixture
def simulator(make_simulator: Callable[..., SimulatorProcess]) -> SimulatorProcess:
    return make_simulator("--accounts", "2", "--orders", "6", "--cancel-ms", "60")


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    yield
    hand_over()


def state_of(kill: Kill) -> str:
    kill.refresh_from_db()
    return kill.state


def begun(kill: Kill) -> "Future[None]":
    future = begin(kill.id)
    assert future is not None
    return future


def add(simulator: SimulatorProcess, account: int = FIRST, **order: Any) -> dict[str, Any]:
    [added] = simulator.control.add_orders(account, order={"status": "NEW", **order})
    return added


def test_a_list_that_takes_longer_than_the_limit_does_not_end_the_kill_before_its_first_cancel(
    simulator: SimulatorProcess, press: Press, settings: Any
) -> None:
    settings.KILL_LIMIT_SECONDS = 1  # 300 s; 100 pages of a broker that answers in 5 s are 500 s
    order = add(simulator, client_order_id="rogue-1")
    simulator.control.add_fault(match={"call": "list_orders"}, do={"delay_ms": 1500}, times=1)
    pressed = press(account=FIRST, client_order_id_prefix="rogue-")
    carry_out(pressed.id)
    sent = [request["order_id"] for request in deletes(simulator)]
    assert sent == [order["id"]], f"{state_of(pressed)}: the broker listed it, and nobody sent a cancel"


def test_late_arrivals_do_not_end_the_kill_before_its_first_cancel(
    make_simulator: Callable[..., SimulatorProcess], press: Press, settings: Any
) -> None:
    settings.KILL_PATIENCE_SECONDS = 1  # 30 s
    simulator = make_simulator("--accounts", "1", "--orders", "30", "--page-size-max", "10", "--cancel-ms", "60")
    add(simulator, client_order_id="rogue-1")
    simulator.control.add_fault(match={"call": "list_orders", "page": 2}, do={"delay_ms": 4700}, times=1)
    pressed = press(account=FIRST, client_order_id_prefix="rogue-")
    future = begun(pressed)
    time.sleep(3.7)
    add(simulator, client_order_id="rogue-2")
    future.result(30)
    assert len(deletes(simulator)) == 2, f"{state_of(pressed)}: nothing was sent"


def test_the_cancel_of_a_late_order_does_not_wait_for_executions(
    simulator: SimulatorProcess, press: Press, settings: Any
) -> None:
    add(simulator, symbol="TSLA", client_order_id="will-fill")
    simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "fill"}, times=1)
    simulator.control.add_fault(match={"call": "executions"}, do={"delay_ms": 4000})
    pressed = press(account=FIRST)
    future = begun(pressed)
    wait_for(lambda: len(simulator.control.log(call="list_orders")) >= 1, "the first list")
    late = add(simulator, symbol="AAPL")
    arrived = time.monotonic()
    wait_for(lambda: len(deletes(simulator)) == 2, "the cancel of the late order", 30)
    waited = time.monotonic() - arrived
    future.result(60)
    assert late
    assert waited < 4, "it did not wait for the executions"


def test_orders_of_the_first_page_do_not_wait_for_the_last(
    make_simulator: Callable[..., SimulatorProcess], press: Press
) -> None:
    simulator = make_simulator("--accounts", "1", "--orders", "30", "--page-size-max", "10")
    add(simulator, client_order_id="rogue-1")
    simulator.control.add_fault(match={"call": "list_orders", "page": 2}, do={"delay_ms": 5000}, times=1)
    pressed = press(account=FIRST, status="NEW")
    asked = time.monotonic()
    future = begun(pressed)
    wait_for(lambda: deletes(simulator), "the first DELETE", 30)
    waited = time.monotonic() - asked
    future.result(60)
    assert waited < 4, f"the first DELETE waited {waited:.1f} s for the second page"


def test_a_heartbeat_that_renews_nothing_does_not_lengthen_the_hold(press: Press) -> None:
    pressed = press(account=FIRST)
    claimed = claim(pressed.id, source="frozen for a while")
    assert claimed
    hold = Hold(time.monotonic() - LEASE.total_seconds() - 1)
    Sweep.objects.update(lease_token=uuid.uuid4(), lease_until=timezone.now() + LEASE)  # somebody took over

    async def beat() -> None:
        recorder = Recorder()
        heart = asyncio.create_task(_keep_leases(claimed, hold, recorder))
        await asyncio.sleep(3)
        heart.cancel()
        await recorder.close()

    with pytest.raises(LostLease):
        hold.check(claimed.sweeps[0].sweep.id)
    broker.run(beat(), timeout=20)
    with pytest.raises(LostLease):
        hold.check(claimed.sweeps[0].sweep.id)


def test_who_has_lost_the_lease_does_not_write_that_the_account_is_flat(press: Press) -> None:
    pressed = press(account=FIRST)
    claimed = claim(pressed.id, source="frozen for a while")
    assert claimed
    [sweep] = claimed.sweeps
    Sweep.objects.update(lease_token=uuid.uuid4(), lease_until=timezone.now() + LEASE)
    now = timezone.now()
    ended = sweep_ended(Subject.of(pressed, FIRST, "frozen"), State.FLAT, 0, "", now)
    # What Logbook.end writes.
    note = Note(sweep_id=sweep.sweep.id, token=claimed.token, verdicts=[ended], sweep={"state": State.FLAT})
    assert write([note]) == [False]
    assert not Entry.objects.filter(kind=Kind.SWEEP_ENDED).exists(), "the trail says flat, the sweep goes on"


def test_latched_is_not_said_where_nobody_has_looked_for_an_hour(press: Press) -> None:
    pressed = press(account=FIRST, latched="on")
    ago = timezone.now() - timedelta(hours=1)
    Sweep.objects.update(state=State.LATCHED, flat_at=ago, listed_at=ago, lease_until=ago, claimed_at=ago)
    Kill.objects.update(state=State.LATCHED)
    pressed.refresh_from_db()
    assert as_json(pressed)["state"] != "latched"


def test_latched_is_not_said_while_the_cancel_of_a_late_order_is_on_its_way(
    simulator: SimulatorProcess, press: Press, settings: Any
) -> None:
    settings.KILL_LATCH_SECONDS = 0.05
    pressed = press(account=FIRST, latched="on")
    begin(pressed.id)
    wait_for(lambda: state_of(pressed) == State.LATCHED, "the latch to hold")
    simulator.control.add_fault(match={"call": "cancel_one"}, do={"delay_ms": 3000, "act": False})
    add(simulator)
    wait_for(lambda: len(deletes(simulator)) == 2, "the DELETE")
    time.sleep(1)
    assert state_of(pressed) != State.LATCHED, "an order is known to be open, the page says quiet"


def test_an_error_that_has_passed_is_not_said_of_a_flat_account(simulator: SimulatorProcess, press: Press) -> None:
    order = open_orders(simulator, FIRST)[0]
    simulator.control.add_fault(match={"call": "cancel_one"}, do={"status": 503}, times=1)
    pressed = press(account=FIRST, order_id=order["id"])
    carry_out(pressed.id)
    assert (state_of(pressed), pressed.sweeps.get().error) == (State.FLAT, "")


def test_the_limit_holds_however_often_an_account_is_quiet_once(
    simulator: SimulatorProcess, press: Press, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KILL_LIMIT_SECONDS = 2
    real = ClearStreet.orders

    async def orders(self: Any, account_id: int, **rest: Any) -> Any:
        listing = await real(self, account_id, **rest)
        if not any(order.is_open for order in listing.items):
            await asyncio.to_thread(add, simulator)  # an algorithm that sends one whenever it has none
        return listing

    monkeypatch.setattr(ClearStreet, "orders", orders)
    begun(press(account=FIRST)).result(15)


def test_a_sweep_that_is_worn_out_leaves_no_order_without_an_outcome_and_no_attempt_without_an_end(
    press: Press,
) -> None:
    pressed = press(account=FIRST)
    for number in range(BREAK_OFFS):
        claimed = claim(pressed.id, source="a worker with a bug")
        assert claimed
        if number == 0:
            the = claimed.sweeps[0].sweep
            the.orders.create(order_id="one", status="PENDING_CANCEL", updated_at=timezone.now())
        if number == BREAK_OFFS - 1:
            subject = Subject.of(pressed, FIRST, "")
            draft = announce_cancel(subject, "one", None, attempt_id=uuid.uuid4(), number=1, at=timezone.now())
            write([Note(sweep_id=the.id, token=claimed.token, entries=[draft], is_announcement=True)])
        break_off(claimed, claimed.sweeps[0].sweep, "an unexpected error (KeyError) broke it off")
    assert state_of(pressed) == State.UNKNOWN
    announced = Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED).count()
    ends = Entry.objects.filter(kind__in=[Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED]).count()
    assert (announced, KilledOrder.objects.get().outcome) == (ends, Outcome.UNKNOWN)


def test_an_order_that_was_replaced_twice_ends_flat_once_what_it_lives_on_as_is_canceled(
    simulator: SimulatorProcess, press: Press
) -> None:
    one = add(simulator, symbol="TSLA")
    simulator.control.set_order(one["id"], status="REPLACED", leaves_quantity="0")
    two = add(simulator, symbol="TSLA", client_order_id=one["client_order_id"])
    simulator.control.set_order(two["id"], status="REPLACED", leaves_quantity="0")
    three = add(simulator, symbol="TSLA", client_order_id=one["client_order_id"])
    pressed = press(account=FIRST, order_id=one["id"])
    carry_out(pressed.id)
    assert KilledOrder.objects.get(order_id=three["id"]).outcome == "canceled"
    assert state_of(pressed) == State.FLAT, pressed.sweeps.get().error


def test_an_older_order_of_the_same_client_id_is_no_successor(simulator: SimulatorProcess, press: Press) -> None:
    old = add(simulator, symbol="TSLA")
    simulator.control.set_order(old["id"], status="CANCELED", leaves_quantity="0")
    one = add(simulator, symbol="TSLA", client_order_id=old["client_order_id"])
    simulator.control.set_order(one["id"], status="REPLACED", leaves_quantity="0")
    add(simulator, symbol="TSLA", client_order_id="another")  # what it lives on as: open
    pressed = press(account=FIRST, order_id=one["id"])
    carry_out(pressed.id)
    assert state_of(pressed) == State.UNKNOWN, "flat, and nobody knows what the order lives on as"


def test_an_older_open_order_of_the_same_client_id_is_not_canceled(simulator: SimulatorProcess, press: Press) -> None:
    sibling = add(simulator, symbol="AAPL")
    one = add(simulator, symbol="TSLA", client_order_id=sibling["client_order_id"])
    simulator.control.set_order(one["id"], status="REPLACED", leaves_quantity="0")
    pressed = press(account=FIRST, order_id=one["id"])
    carry_out(pressed.id)
    assert sibling["id"] in {order["id"] for order in open_orders(simulator, FIRST)}, "wider than what was meant"


def test_a_replaced_order_with_another_client_id_is_not_flat_under_a_prefix(
    simulator: SimulatorProcess, press: Press
) -> None:
    order = add(simulator, symbol="TSLA", client_order_id="rogue-1")
    simulator.control.add_fault(match={"call": "cancel_one"}, do={"cancel": "stuck"})
    pressed = press(account=FIRST, client_order_id_prefix="rogue-")
    future = begun(pressed)
    wait_for(lambda: deletes(simulator), "the DELETE")
    add(simulator, symbol="TSLA", client_order_id="other-1")
    simulator.control.set_order(order["id"], status="REPLACED", leaves_quantity="0")
    future.result(30)
    assert state_of(pressed) == State.UNKNOWN


def test_an_error_outside_a_sweep_does_not_stop_the_heart_of_its_neighbours(
    simulator: SimulatorProcess, press: Press, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KILL_LATCH_SECONDS = 0.05
    real = open_case

    def broken(kill: Any, claimed: Any, **rest: Any) -> Any:
        if claimed.sweep.account_id == FIRST + 1:
            raise KeyError("whatever")
        return real(kill, claimed, **rest)

    monkeypatch.setattr("killswitch.kills.crew.open_case", broken)
    pressed = press(account=[FIRST, FIRST + 1], latched="on")
    begun(pressed)
    wait_for(lambda: pressed.sweeps.get(account_id=FIRST).state == State.LATCHED, "the good one to hold")
    pressed.refresh_from_db()
    release(pressed, reason="x", actor=SECOND_PERSON, now=timezone.now())
    wait_for(lambda: pressed.sweeps.get(account_id=FIRST).ended_at, "the release to be noticed", 10)


def test_an_order_that_a_look_up_says_is_open_is_canceled_though_no_list_has_it(
    simulator: SimulatorProcess, press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = open_orders(simulator, FIRST)[0]
    simulator.control.add_fault(match={"call": "cancel_one"}, do={"cancel": "refuse"}, times=1)
    real = ClearStreet.orders

    async def orders(self: Any, account_id: int, **rest: Any) -> Any:
        listing = await real(self, account_id, **rest)
        return Listing(items=[o for o in listing.items if o.id != order["id"]], whole=True)

    monkeypatch.setattr(ClearStreet, "orders", orders)
    begun(press(account=FIRST, order_id=order["id"]))
    wait_for(lambda: len(deletes(simulator)) >= 2, "it to be canceled again: the broker says NEW")


def test_a_hand_over_does_not_wait_for_a_first_list_of_many_pages(
    make_simulator: Callable[..., SimulatorProcess], press: Press
) -> None:
    simulator = make_simulator("--accounts", "1", "--orders", "48", "--page-size-max", "4")
    simulator.control.add_fault(match={"call": "list_orders"}, do={"delay_ms": 1000})
    pressed = press(account=FIRST)
    future = begun(pressed)
    wait_for(lambda: simulator.control.log(call="list_orders"), "the first list")
    asked = time.monotonic()
    hand_over()
    waited = time.monotonic() - asked
    given_back = pressed.sweeps.get().lease_token is None
    future.result(30)
    assert given_back and waited < 3, f"{waited:.1f} s; given back: {given_back}"


def test_the_button_can_be_pressed_while_many_orders_are_written_down(
    make_simulator: Callable[..., SimulatorProcess], press: Press
) -> None:
    make_simulator("--accounts", "41", "--orders", "100", "--cancel-ms", "20")
    future = begun(press(account=list(range(FIRST, FIRST + 40))))
    longest = 0.0
    while not future.done():
        asked = time.monotonic()
        press(account=FIRST + 40)
        longest = max(longest, time.monotonic() - asked)
    assert longest < LEASE.total_seconds() / 2


def test_a_revoked_key_is_not_stormed_by_a_latched_kill(
    make_simulator: Callable[..., SimulatorProcess], press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = make_simulator("--accounts", "5", "--orders", "1", "--cancel-ms", "0")
    simulator.control.add_fault(match={"call": "any"}, do={"status": 401})
    pauses: list[float] = []
    monkeypatch.setattr(Hold, "sleep", recording(Hold.sleep, pauses))
    begun(press(account=list(range(FIRST, FIRST + 5)), latched="on"))
    wait_for(lambda: len([pause for pause in pauses if pause >= REFUSED_PAUSE / 2]) == 5, "all to wait long")
    assert len(simulator.control.log()) <= 5 * (1 + REFUSALS_IN_A_ROW)


def recording(sleep: Any, pauses: list[float]) -> Any:
    async def record(self: Hold, seconds: float) -> None:
        pauses.append(seconds)
        await sleep(self, seconds)

    return record


class TestFirstCancelsBesideRequestsThatAreNotAnswered:
    """With a time-out that is longer than the test: whoever queued behind one of them would not get through."""

    @pytest.fixture
    def simulator(
        self, make_simulator: Callable[..., SimulatorProcess], monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[SimulatorProcess]:
        monkeypatch.setenv("CLEAR_STREET_TIMEOUT_SECONDS", "60")
        started = make_simulator("--accounts", "301", "--orders", "1", "--cancel-ms", "0")
        yield started
        started.stop()

    def test_a_mass_cancel_waits_for_no_other(self, simulator: SimulatorProcess, press: Press) -> None:
        simulator.control.add_fault(match={"account_id": list(range(FIRST, FIRST + 300))}, do={"silent": True})
        begun(press(account=list(range(FIRST, FIRST + 300))))
        wait_for(lambda: len(deletes(simulator)) == 300, "all to be on their way", 40)
        begun(press(account=FIRST + 300))
        wait_for(lambda: len(deletes(simulator)) == 301, "the DELETE of the other kill", 40)

    def test_the_cancel_of_one_order_waits_for_no_list(self, simulator: SimulatorProcess, press: Press) -> None:
        add(simulator, client_order_id="rogue-1")
        simulator.control.add_fault(match={"account_id": list(range(FIRST + 1, FIRST + 301))}, do={"silent": True})
        begun(press(account=list(range(FIRST, FIRST + 301)), client_order_id_prefix="rogue-"))
        wait_for(lambda: deletes(simulator), "the DELETE", 40)
