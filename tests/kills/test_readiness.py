"""Connections that are open before anybody presses, in every process that may have to send."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from killswitch.kills.models import Kill, State
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import database_url, end, running_worker, start, wait_for

from .agreement import deletes
from .conftest import Press

FIRST, ACCOUNTS = 19816, 10
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def simulator(make_simulator: Callable[..., SimulatorProcess], monkeypatch: pytest.MonkeyPatch) -> SimulatorProcess:
    monkeypatch.setenv("KILL_WARM_CONNECTIONS", "15")
    # So slow that each of several requests at once has a connection of its own.
    return make_simulator("--accounts", str(ACCOUNTS), "--orders", "3", "--cancel-ms", "60", "--latency-ms", "300")


def opened(simulator: SimulatorProcess) -> set[int]:
    return {request["asked_from_port"] for request in simulator.control.log(call="version")}


def ended(kill: Kill) -> bool:
    kill.refresh_from_db()
    return kill.is_over


def test_a_workers_first_kill_opens_none(simulator: SimulatorProcess, redis: Any, press: Press) -> None:
    with running_worker():
        wait_for(lambda: len(opened(simulator)) == 15, "the connections")
        open_before = opened(simulator)
        pressed = press(all_accounts="on", known=list(range(FIRST, FIRST + ACCOUNTS)))
        wait_for(lambda: ended(pressed), "the kill to end", 30)
    assert pressed.state == State.FLAT
    assert len(deletes(simulator)) == ACCOUNTS
    assert {request["asked_from_port"] for request in deletes(simulator)} <= open_before


def test_a_watchdog_keeps_them_too(simulator: SimulatorProcess, transactional_db: None) -> None:
    watchdog: subprocess.Popen[bytes] = start(
        [sys.executable, "manage.py", "watchdog"], {"DATABASE_URL": database_url()}
    )
    try:
        wait_for(lambda: len(opened(simulator)) == 15, "the connections")
    finally:
        end(watchdog)


def test_a_broker_that_is_gone_stops_nobody(simulator: SimulatorProcess, redis: Any, press: Press) -> None:
    simulator.control.add_fault(match={"call": "version"}, do={"drop": "before"}, times=15)
    with running_worker():
        wait_for(lambda: len(simulator.control.log(call="version")) >= 15, "the tries")
        pressed = press(account=FIRST)
        wait_for(lambda: ended(pressed), "the kill to end", 30)
    assert pressed.state == State.FLAT
