"""Between the queue and the worker: a ring that is lost, late or doubled costs no kill and sends nothing twice."""

import time

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import State
from killswitch.kills.operations import ring
from tests.conftest import wait_for

from .conftest import LogIn, World, outcomes


def seconds_to_the_first_delete(world: World, since: float) -> float:
    """Return how long after `since`, monotonic, the first DELETE reached the broker."""
    at: int = world.deletes()[0]["at_monotonic_ns"]
    return at / 1e9 - since


@pytest.fixture(autouse=True)
def _broker(world: World) -> None:
    world.stack.broker("--accounts", "0", "--cancel-ms", "50")


@pytest.mark.fault(
    1,
    what="Redis SIGKILLed between the click and the dequeue, comes back empty",
    seen="the watchdog runs the sweep within seconds",
)
def test_a_queue_that_lost_the_ring_costs_seconds_and_no_kill(world: World, log_in: LogIn) -> None:
    stack, account = world.stack, world.account()
    redis, address, worker = stack.redis(), stack.web(), stack.worker()
    stack.watchdog()
    desk = log_in(address, "desk")
    form = desk.open_form(account=account)
    worker.freeze()
    clicked = time.monotonic()
    kill = world.click(desk, form)
    redis.kill()
    stack.lose_queue()
    stack.redis()
    assert world.ended(kill).state == State.FLAT
    assert seconds_to_the_first_delete(world, clicked) < 12
    assert Entry.objects.get(kind=Kind.ATTEMPT_ANSWERED).source.startswith("watchdog ")


@pytest.mark.fault(
    4,
    what="worker alive but not consuming",
    seen="the page says that it waits for a worker; the watchdog takes over",
)
def test_the_watchdog_takes_over_from_a_worker_that_does_not_move(world: World, log_in: LogIn) -> None:
    stack, account = world.stack, world.account()
    stack.redis()
    worker, desk = stack.worker(), log_in(stack.web(), "desk")
    form = desk.open_form(account=account)
    worker.freeze()
    clicked = time.monotonic()
    kill = world.click(desk, form)
    wait_for(lambda: "waiting for a worker" in desk.kill_page(kill), "words on the page")
    stack.watchdog()
    assert world.ended(kill).state == State.FLAT
    assert seconds_to_the_first_delete(world, clicked) < 15
    worker.thaw()
    wait_for(lambda: str(kill) in worker.said or "run_kill" in worker.said, "the worker to hear of it")
    assert len(world.deletes()) == 1, "the worker found nothing left to do"


@pytest.mark.fault(7, what="a task delivered twice", seen="the second claims nothing")
def test_a_ring_that_is_heard_by_two_workers_at_once_sends_one_mass_cancel(world: World) -> None:
    account = world.account(orders=10)
    world.stack.redis()
    workers = [world.stack.worker("one"), world.stack.worker("two")]
    for worker in workers:
        worker.freeze()
    kill = world.press(account=account)
    assert all(ring(kill.id) for _ in range(7))
    for worker in workers:
        worker.thaw()
    over = world.ended(kill)
    wait_for(lambda: sum(worker.said.count(" succeeded in ") for worker in workers) == 8, "all deliveries")
    assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
    assert [request["call"] for request in world.deletes()] == ["cancel_all"]
    assert Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED).count() == 1
    assert not Entry.objects.filter(kind=Kind.SWEEP_TAKEN_OVER).exists()
