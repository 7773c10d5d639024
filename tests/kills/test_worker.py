"""The whole way with a real Redis and a real Celery worker."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill, State
from killswitch.kills.operations import ring
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
