"""The whole way with a real Redis and a real Celery worker."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.fixups.django import DjangoWorkerFixup
from celery.signals import task_postrun, task_prerun
from django.db import connection
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor
from killswitch.celery import app
from killswitch.kills.models import Kill, State
from killswitch.kills.operations import ring
from killswitch.kills.release import release
from killswitch.kills.tasks import run_kill
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import database_url, end, start, wait_for

from .agreement import check_agreement, deletes, open_orders
from .conftest import Press

FIRST = 19816
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def simulator(make_simulator: Callable[..., SimulatorProcess]) -> SimulatorProcess:
    return make_simulator("--accounts", "20", "--orders", "10", "--cancel-ms", "60")


@pytest.fixture
def watchdog(transactional_db: None, simulator: SimulatorProcess) -> Iterator[subprocess.Popen[bytes]]:
    process = start([sys.executable, "manage.py", "watchdog"], {"DATABASE_URL": database_url()})
    yield process
    end(process)


def ended(kill: Kill) -> bool:
    kill.refresh_from_db()
    return kill.is_over


def test_a_press_reaches_the_broker_through_redis_and_a_worker(
    simulator: SimulatorProcess, worker: Any, press: Press
) -> None:
    pressed = press(all_accounts="on", known=list(range(FIRST, FIRST + 20)))
    wait_for(lambda: ended(pressed), "the kill to end")
    assert pressed.state == State.FLAT
    assert len(deletes(simulator)) == 20
    assert all(open_orders(simulator, FIRST + number) == [] for number in range(20))
    assert "worker" in Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED)[0].source
    check_agreement(simulator)


def test_a_kill_is_carried_out_once_however_often_it_is_rung_for(
    simulator: SimulatorProcess, worker: Any, press: Press
) -> None:
    pressed = press(account=FIRST)
    assert all(ring(pressed.id) for _ in range(5))
    wait_for(lambda: ended(pressed), "the kill to end")
    assert (pressed.state, len(deletes(simulator))) == (State.FLAT, 1)
    check_agreement(simulator)


@pytest.mark.usefixtures("watchdog")
def test_the_watchdog_carries_it_out_with_neither_redis_nor_worker(simulator: SimulatorProcess, press: Press) -> None:
    pressed = press(account=FIRST)
    wait_for(lambda: ended(pressed), "the kill to end")
    assert pressed.state == State.FLAT
    assert Entry.objects.get(kind=Kind.ATTEMPT_ANSWERED).source.startswith("watchdog ")
    check_agreement(simulator)


@pytest.mark.usefixtures("watchdog")
def test_the_watchdog_finishes_what_a_killed_worker_began(
    simulator: SimulatorProcess, worker: subprocess.Popen[bytes], press: Press
) -> None:
    simulator.control.add_fault(
        match={"call": "cancel_all", "account_id": FIRST}, do={"kill_pid": worker.pid, "drop": "after"}, times=1
    )
    pressed = press(account=FIRST)
    wait_for(lambda: worker.poll() == -signal.SIGKILL, "the worker to die")
    wait_for(lambda: ended(pressed), "the kill to end", seconds=40)
    assert pressed.state == State.FLAT
    assert Entry.objects.filter(kind=Kind.ATTEMPT_UNANSWERED).count() == 1
    assert open_orders(simulator, FIRST) == []
    check_agreement(simulator)


@pytest.mark.usefixtures("watchdog")
def test_a_worker_that_is_told_to_end_hands_over_at_once(
    simulator: SimulatorProcess, worker: subprocess.Popen[bytes], press: Press
) -> None:
    pressed = press(account=FIRST, latched="on")
    wait_for(lambda: state_of(pressed) == State.LATCHED, "the latch to hold")
    assert "worker" in Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED)[0].source
    worker.terminate()
    assert wait_for(lambda: worker.poll() is not None, "the worker to end")
    assert "worker" in Entry.objects.get(kind=Kind.SWEEP_HANDED_OVER).source
    [late] = simulator.control.add_orders(FIRST, order={"status": "NEW"})
    wait_for(lambda: not open_orders(simulator, FIRST), "the watchdog to take the late order", seconds=5)
    assert "watchdog" in Entry.objects.filter(kind=Kind.ORDER_ARRIVED, order_id=late["id"])[0].source
    release(pressed, reason="done", actor=Actor(id=2, name="desk2"), now=timezone.now())
    wait_for(lambda: ended(pressed), "the kill to end")
    assert pressed.state == State.FLAT
    check_agreement(simulator)


def state_of(kill: Kill) -> str:
    kill.refresh_from_db()
    return kill.state


def test_a_task_finds_the_connection_of_the_one_before() -> None:
    around = DjangoWorkerFixup(app)
    connection.ensure_connection()
    connection.close_at = None  # young
    kept = connection.connection
    around.on_task_prerun(run_kill)
    task_prerun.send(sender=run_kill)
    task_postrun.send(sender=run_kill)
    around.on_task_postrun(run_kill)
    assert connection.connection is kept


def test_a_task_leaves_no_connection_behind_that_is_too_old() -> None:
    connection.ensure_connection()
    connection.close_at = 0
    task_postrun.send(sender=run_kill)
    assert connection.connection is None
