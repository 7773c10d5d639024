"""Machines whose clocks are an hour apart: who holds what, what came first and what is late do not follow a clock."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import State
from tests.conftest import wait_for

from .conftest import World, outcomes

HOUR = 3600
CLOCK = Path(__file__).parent / "wrong_clock"


def wrong_by(seconds: int) -> dict[str, str]:
    return {"PYTHONPATH": str(CLOCK), "WRONG_BY_SECONDS": str(seconds)}


@pytest.fixture(autouse=True)
def _broker(world: World) -> Iterator[None]:
    world.stack.broker("--accounts", "0", "--cancel-ms", "50")
    world.stack.redis()
    yield


def a_worker_an_hour_ahead(entry: Entry) -> datetime:
    """Say when an entry was made, by the right clock."""
    return entry.at - timedelta(seconds=HOUR) if entry.source.startswith("worker ") else entry.at


@pytest.mark.fault(24, what="clock an hour off", seen="leases, order and deadlines hold; the offset is recorded")
def test_a_worker_an_hour_ahead_keeps_order_and_deadlines_and_records_by_how_much(world: World) -> None:
    world.clock = a_worker_an_hour_ahead
    account = world.account(orders=3)
    stuck = world.open(account)[0]["id"]
    world.control.add_fault(match={"call": "cancel_one"}, do={"cancel": "stuck"})
    world.stack.worker(**wrong_by(HOUR))
    kills = [world.press(account=account, order_id=stuck), world.press(account=world.account())]
    over = [world.ended(kill) for kill in kills]
    assert [kill.state for kill in over] == [State.NOT_FLAT, State.FLAT]
    assert outcomes(over[0]) == {stuck: "stuck"}
    answered = Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED)
    assert answered.count() == 2
    assert all(abs(float(entry.data["clock_offset"]) + HOUR) < 5 for entry in answered), "the broker's clock minus ours"
    for entry in answered:
        assert Entry.objects.get(kind=Kind.ATTEMPT_ANNOUNCED, attempt_id=entry.attempt_id).id < entry.id
    ends = Entry.objects.get(kind=Kind.ORDER_ENDED, order_id=stuck), answered.get(order_id=stuck)
    assert 1.5 < (ends[0].at - ends[1].at).total_seconds() < 10, "the deadline is two seconds on any clock"


@pytest.mark.fault(24)
def test_a_dead_worker_with_a_clock_an_hour_ahead_is_replaced_within_seconds(world: World) -> None:
    world.clock = a_worker_an_hour_ahead
    account = world.account()
    worker = world.stack.worker(**wrong_by(HOUR))
    world.control.add_fault(match={"call": "cancel_all"}, do={"kill_pid": worker.pid, "drop": "after"}, times=1)
    world.stack.watchdog()
    kill = world.press(account=account)
    wait_for(lambda: worker.exit_code is not None, "the worker to die")
    over = world.ended(kill, 18)
    assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})


@pytest.mark.fault(24)
def test_a_watchdog_an_hour_ahead_lets_a_worker_work(world: World) -> None:
    account = world.account()
    world.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "stuck"})
    patient = {"KILL_STUCK_SECONDS": "60", "KILL_PATIENCE_SECONDS": "60"}
    world.stack.worker(**patient)
    watchdog = world.stack.watchdog(**wrong_by(HOUR), **patient)
    kill = world.press(account=account)
    wait_for(lambda: world.calls().count("list_orders") >= 4, "the worker to be at it")
    for order in world.open(account):
        world.control.set_order(order["id"], status="CANCELED", leaves_quantity="0")
    assert world.ended(kill).state == State.FLAT
    assert not Entry.objects.filter(kind=Kind.SWEEP_TAKEN_OVER).exists()
    assert "the watchdog does" not in watchdog.said


@pytest.mark.fault(24)
def test_a_watchdog_an_hour_behind_takes_up_what_nobody_took(world: World) -> None:
    account = world.account()
    world.clock = lambda entry: entry.at + timedelta(seconds=HOUR * entry.source.startswith("watchdog "))
    world.stack.watchdog(**wrong_by(-HOUR))
    kill = world.press(account=account)
    assert world.ended(kill, 8).state == State.FLAT
