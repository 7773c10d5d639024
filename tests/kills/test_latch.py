"""Latched kills: they sweep on until a second person lets go."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from django.utils import timezone

from killswitch import broker
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor
from killswitch.kills import carry_out as office
from killswitch.kills.carry_out import Ending, begin, hand_over
from killswitch.kills.models import Kill, KilledOrder, Roster, State
from killswitch.kills.queries import as_json
from killswitch.kills.release import NotReleased, SamePerson, release
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import wait_for

from .agreement import check_agreement, open_orders
from .conftest import Press

FIRST = 19816
SECOND_PERSON = Actor(id=2, name="desk2", source="test")
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def simulator(make_simulator: Callable[..., SimulatorProcess]) -> SimulatorProcess:
    return make_simulator("--accounts", "2", "--orders", "6", "--cancel-ms", "60")


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.KILL_LATCH_SECONDS = 0.05


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    yield
    hand_over()


def let_go(kill: Kill, actor: Actor = SECOND_PERSON, reason: str = "the algorithm is off") -> None:
    kill.refresh_from_db()
    release(kill, reason=reason, actor=actor, now=timezone.now())


def state_of(kill: Kill) -> str:
    kill.refresh_from_db()
    return kill.state


def begun(kill: Kill) -> "Future[None]":
    future = begin(kill.id)
    assert future is not None
    return future


class TestWhileItHolds:
    def test_it_is_latched_once_quiet_and_takes_what_arrives(self, simulator: SimulatorProcess, press: Press) -> None:
        pressed = press(account=FIRST, latched="on")
        future = begun(pressed)
        wait_for(lambda: state_of(pressed) == State.LATCHED, "the latch to hold")
        assert (open_orders(simulator, FIRST), pressed.ended_at) == ([], None)
        [late] = simulator.control.add_orders(FIRST, order={"status": "NEW"})
        wait_for(lambda: not open_orders(simulator, FIRST), "the late order to go")
        wait_for(lambda: state_of(pressed) == State.LATCHED, "the latch to hold again")
        told = as_json(pressed)
        assert (told["state"], told["latched"], told["late_arrivals"]) == ("latched", True, 1)
        assert told["released_at"] is None
        assert KilledOrder.objects.get(is_late=True).order_id == late["id"]
        assert Entry.objects.filter(kind=Kind.SWEEP_HOLDS).count() == 1
        let_go(pressed)
        future.result(20)
        assert state_of(pressed) == State.FLAT
        assert as_json(pressed)["released_by"] == "desk2"
        check_agreement(simulator)

    def test_it_says_so_while_something_cannot_be_canceled(
        self, simulator: SimulatorProcess, press: Press, settings: Any
    ) -> None:
        settings.KILL_STUCK_SECONDS = 0.2
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "stuck"})
        pressed = press(account=FIRST, latched="on")
        future = begun(pressed)
        wait_for(lambda: state_of(pressed) == State.NOT_FLAT, "the alarm")
        assert pressed.ended_at is None
        for order in open_orders(simulator, FIRST):
            simulator.control.set_order(order["id"], status="CANCELED", leaves_quantity="0")
        wait_for(lambda: state_of(pressed) == State.LATCHED, "the latch to hold")
        let_go(pressed)
        future.result(20)
        check_agreement(simulator)

    def test_it_goes_on_though_the_broker_is_gone_for_a_while(
        self, simulator: SimulatorProcess, press: Press, settings: Any
    ) -> None:
        settings.KILL_PATIENCE_SECONDS = 0.3
        pressed = press(account=FIRST, latched="on")
        future = begun(pressed)
        wait_for(lambda: state_of(pressed) == State.LATCHED, "the latch to hold")
        simulator.control.add_fault(match={"call": "list_orders"}, do={"status": 500})
        wait_for(lambda: state_of(pressed) == State.UNKNOWN, "it to be unknown")
        simulator.control.add_orders(FIRST, order={"status": "NEW"})
        simulator.control.clear_faults()
        wait_for(lambda: state_of(pressed) == State.LATCHED and not open_orders(simulator, FIRST), "it to hold again")
        let_go(pressed)
        future.result(20)
        assert state_of(pressed) == State.FLAT

    def test_an_account_that_is_opened_meanwhile_is_taken_too(
        self, simulator: SimulatorProcess, press: Press, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("killswitch.kills.crew.ACCOUNTS_EVERY", 0.1)
        pressed = press(all_accounts="on", known=[FIRST], latched="on")
        future = begun(pressed)
        wait_for(lambda: state_of(pressed) == State.LATCHED, "the latch to hold")
        [account] = simulator.control.add_accounts(1)
        simulator.control.add_orders(account["id"], order={"status": "NEW"})
        wait_for(lambda: pressed.sweeps.filter(account_id=account["id"]).exists(), "the account to be found")
        wait_for(lambda: not open_orders(simulator, account["id"]), "its order to go")
        let_go(pressed)
        future.result(20)
        assert (state_of(pressed), pressed.roster) == (State.FLAT, Roster.CONFIRMED)
        check_agreement(simulator)

    def test_it_survives_the_process_that_carries_it_out(self, simulator: SimulatorProcess, press: Press) -> None:
        pressed = press(account=FIRST, latched="on")
        first = begun(pressed)
        wait_for(lambda: state_of(pressed) == State.LATCHED, "the latch to hold")
        hand_over()
        assert first.done()
        assert Entry.objects.filter(kind=Kind.SWEEP_HANDED_OVER).count() == 1
        with pytest.raises(Ending):
            begin(pressed.id)
        broker.run(office.close(), timeout=10)
        simulator.control.add_orders(FIRST, order={"status": "NEW"})
        second = begun(pressed)
        wait_for(lambda: not open_orders(simulator, FIRST), "the late order to go")
        let_go(pressed)
        second.result(20)
        assert state_of(pressed) == State.FLAT
        check_agreement(simulator)


class TestRelease:
    def test_takes_another_person(self, simulator: SimulatorProcess, press: Press) -> None:
        pressed = press(account=FIRST, latched="on")
        with pytest.raises(SamePerson):
            let_go(pressed, Actor(id=1, name="desk"))
        with pytest.raises(SamePerson):
            let_go(pressed, Actor(id=None, name="Desk", source="a shell"))
        assert not Entry.objects.filter(kind=Kind.KILL_RELEASED).exists()

    def test_may_be_the_same_person_where_the_settings_say_so(
        self, simulator: SimulatorProcess, press: Press, settings: Any
    ) -> None:
        settings.RELEASE_BY_SAME_PERSON = True
        pressed = press(account=FIRST, latched="on")
        let_go(pressed, Actor(id=1, name="desk"))
        begun(pressed).result(20)
        assert state_of(pressed) == State.FLAT

    def test_is_for_latched_kills_alone(self, simulator: SimulatorProcess, press: Press) -> None:
        with pytest.raises(NotReleased, match="only a latched kill"):
            let_go(press(account=FIRST))

    def test_happens_once(self, simulator: SimulatorProcess, press: Press) -> None:
        pressed = press(account=FIRST, latched="on")
        let_go(pressed)
        with pytest.raises(NotReleased, match="desk2 has released"):
            let_go(pressed)
        entry = Entry.objects.get(kind=Kind.KILL_RELEASED)
        assert (entry.actor_name, entry.data["reason"]) == ("desk2", "the algorithm is off")

    def test_does_not_change_when_it_was_flat_for_the_first_time(
        self, simulator: SimulatorProcess, press: Press
    ) -> None:
        pressed = press(account=FIRST, latched="on")
        future = begun(pressed)
        wait_for(lambda: state_of(pressed) == State.LATCHED, "the kill to be quiet")
        quiet_at = pressed.sweeps.get().first_flat_at
        let_go(pressed)
        future.result(20)
        sweep = pressed.sweeps.get()
        assert sweep.first_flat_at == quiet_at
        assert sweep.flat_at == sweep.ended_at > quiet_at

    def test_ends_a_kill_of_which_nothing_is_left_to_sweep(self, press: Press) -> None:
        pressed = press(all_accounts="on", latched="on")
        Kill.objects.update(roster=Roster.CONFIRMED)
        let_go(pressed)
        assert (state_of(pressed), pressed.is_over) == (State.UNKNOWN, True)
