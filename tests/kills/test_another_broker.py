"""A kill is carried out at the broker that it was pressed for, or by nobody."""

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.health.alive import check_kills
from killswitch.health.verdict import Fault
from killswitch.kills.alarms import raised
from killswitch.kills.claims import claim, left_alone, overdue
from killswitch.kills.meanings import Alarm
from killswitch.kills.models import Kill, State
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import database_url, end, start, wait_for

from .agreement import deletes, open_orders
from .conftest import Press

FIRST = 19816
HERE = "https://api.example.com"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pressed(press: Press, settings: Any) -> Kill:
    """A kill for the broker HERE, pressed in a process that is then set to another one."""
    settings.CLEAR_STREET_BASE_URL = HERE
    kill = press(account=FIRST)
    settings.CLEAR_STREET_BASE_URL = "https://elsewhere.example.com"
    return kill


class TestClaim:
    def test_leaves_a_kill_of_another_broker_as_it_is(self, pressed: Kill) -> None:
        assert claim(pressed.id, "worker w 1") is None
        sweep = pressed.sweeps.get()
        assert (sweep.lease_token, sweep.claimed_at, sweep.first_attempt_at) == (None, None, None)
        assert not Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED).exists()

    def test_records_that_once(self, pressed: Kill) -> None:
        for source in ("worker w 1", "watchdog d 2", "worker w 1"):
            claim(pressed.id, source)
        entry = Entry.objects.get(kind=Kind.KILL_LEFT)
        assert (entry.kill_id, entry.source) == (pressed.id, "worker w 1")
        assert entry.sentence == (
            "Left the kill alone: it was pressed for api.example.com (api.example.com), "
            "and this process asks elsewhere.example.com (elsewhere.example.com)"
        )

    @pytest.mark.parametrize("address", [HERE, "https://API.example.com.:0443/", "https://me:x@api.example.com"])
    def test_knows_its_own_broker_however_it_is_written(self, pressed: Kill, address: str, settings: Any) -> None:
        settings.CLEAR_STREET_BASE_URL = address
        assert claim(pressed.id, "worker w 1") is not None

    def test_goes_by_the_address_and_not_by_what_kind_of_place_it_is_called(self, pressed: Kill, settings: Any) -> None:
        settings.CLEAR_STREET_BASE_URL = HERE
        settings.BROKER_IS_SIMULATOR = True
        assert claim(pressed.id, "worker w 1") is not None

    @pytest.mark.parametrize(
        "address",
        [
            *("https://api.example.com:444", "https://api.example.co", "https://pi.example.com"),
            "https://api.example.com/uat",
        ],
    )
    def test_takes_no_other_address_for_its_own(self, pressed: Kill, address: str, settings: Any) -> None:
        settings.CLEAR_STREET_BASE_URL = address
        assert claim(pressed.id, "worker w 1") is None

    def test_takes_the_machine_itself_for_one_place(self, press: Press, settings: Any) -> None:
        settings.CLEAR_STREET_BASE_URL = "http://localhost:9000"
        kill = press(account=FIRST)
        settings.CLEAR_STREET_BASE_URL = "http://127.0.0.1:9000/"
        assert claim(kill.id, "worker w 1") is not None

    def test_takes_a_kill_that_does_not_say_for_which_broker(self, pressed: Kill) -> None:
        Kill.objects.update(broker="")
        assert claim(pressed.id, "worker w 1") is not None
        assert not Entry.objects.filter(kind=Kind.KILL_LEFT).exists()


class TestOverdue:
    def test_names_it_until_it_is_noted_and_then_only_where_it_belongs(self, pressed: Kill, settings: Any) -> None:
        assert overdue(timedelta(0)) == [pressed.id]
        claim(pressed.id, "watchdog d 2")
        assert overdue(timedelta(0)) == []
        settings.CLEAR_STREET_BASE_URL = HERE
        assert overdue(timedelta(0)) == [pressed.id]


class TestAlarm:
    def test_is_none_for_the_light_where_it_is_a_dry_run(self, pressed: Kill) -> None:
        claim(pressed.id, "worker w 1")
        Kill.objects.update(dry_run=True)
        assert [found.fault for found in check_kills()] == [None]

    def test_is_raised_until_somebody_carries_it_out(self, pressed: Kill, settings: Any) -> None:
        assert Alarm.ELSEWHERE not in raised(pressed)
        claim(pressed.id, "worker w 1")
        pressed.refresh_from_db()
        assert next(iter(raised(pressed))) == Alarm.ELSEWHERE
        [found] = check_kills()
        assert found.fault == Fault.KILL_LEFT
        assert f"kill {pressed.id}, pressed for api.example.com" in found.says
        settings.CLEAR_STREET_BASE_URL = HERE
        assert claim(pressed.id, "worker w 3") is not None
        assert not left_alone(pressed)
        assert [found.fault for found in check_kills()] == [None]


def test_a_watchdog_of_another_broker_leaves_it_and_the_right_one_takes_it(
    make_simulator: Callable[..., SimulatorProcess], press: Press
) -> None:
    wrong = make_simulator("--accounts", "2", "--orders", "3")
    right = make_simulator("--accounts", "2", "--orders", "3")
    kill = press(account=FIRST)
    watchdog = [sys.executable, "manage.py", "watchdog"]
    lost = start(watchdog, {"DATABASE_URL": database_url(), "CLEAR_STREET_BASE_URL": wrong.url})
    try:
        wait_for(lambda: Kill.objects.get(id=kill.id).left_by, "the wrong one to leave it alone")
        taking = start(watchdog, {"DATABASE_URL": database_url()})
        try:
            wait_for(lambda: Kill.objects.get(id=kill.id).is_over, "the right one to end it")
        finally:
            end(taking)
    finally:
        end(lost)
    assert (Kill.objects.get(id=kill.id).state, open_orders(right, FIRST)) == (State.FLAT, [])
    assert (len(deletes(right)), deletes(wrong)) == (1, [])
    assert len(open_orders(wrong, FIRST)) == 3
    assert Entry.objects.filter(kind=Kind.KILL_LEFT).count() == 1
