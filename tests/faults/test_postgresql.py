"""The database goes away in the middle of a kill. On a real PostgreSQL, which the test starts and stops."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from django.db import connection

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import State
from tests.conftest import ROOT, wait_for

from .conftest import LogIn, World, outcomes
from .postgresql import PostgreSQL, as_the_database, own_server
from .stack import Stack


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with own_server() as made:
        yield made


@pytest.fixture
def stack(transactional_db: None, server: PostgreSQL) -> Iterator[Stack]:
    made = Stack(server.url, CLEAR_STREET_TIMEOUT_SECONDS="10")
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=ROOT, env=made.environment, check=True)
    with as_the_database(server.url):
        yield made
    made.end()


@pytest.mark.fault(20, what="database stops after the DELETE", seen="put right once when it is back")
def test_what_the_broker_answered_while_the_database_was_gone_is_written_once(world: World, server: PostgreSQL) -> None:
    world.stack.broker("--accounts", "0", "--cancel-ms", "50")
    accounts = [world.account(orders=3) for _ in range(3)]
    world.stack.redis()
    worker = world.stack.worker()
    world.control.add_fault(match={"call": "cancel_all"}, do={"delay_ms": 1000})
    kill = world.press(account=accounts)
    wait_for(lambda: len(world.deletes()) == 3, "the DELETEs")
    server.stop()
    connection.close()
    # The answers come and cannot be written.
    wait_for(lambda: all(request["answered_at"] for request in world.deletes()), "the broker's answers")
    wait_for(lambda: worker.said.count("the database does not answer") >= 3, "the worker to notice")
    server.start()
    over = world.ended(kill)
    assert (over.state, Counter(outcomes(over).values())) == (State.FLAT, {"canceled": 9})
    assert len(world.deletes()) == 3, "nothing was sent again"
    answered = Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED)
    assert {entry.account_id for entry in answered} == set(accounts)
    assert {entry.request_id for entry in answered} == {request["request_id"] for request in world.deletes()}
    ended = Counter(Entry.objects.filter(kind=Kind.ORDER_ENDED).values_list("order_id", flat=True))
    assert ended == dict.fromkeys(outcomes(over), 1)
    assert not Entry.objects.filter(kind=Kind.SWEEP_TAKEN_OVER).exists()


FREEZE_WHILE_IT_APPENDS = """
import os, signal
from django.db import transaction
from django.utils import timezone
from killswitch.audit.operations import Draft, append
with transaction.atomic():
    append([Draft(kind="access.denied", at=timezone.now(), sentence="never committed")])
    print("frozen", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.fault(
    21, what="a process freezes in the middle of an audit append", seen="a press goes through once it is cut off"
)
def test_a_process_that_freezes_while_it_appends_keeps_nobody_from_pressing(world: World, log_in: LogIn) -> None:
    world.stack.broker("--accounts", "0")
    account = world.account(orders=2)
    world.stack.redis()
    world.stack.worker()
    desk = log_in(world.stack.web(), "desk")
    form = desk.open_form(account=account)
    frozen = world.stack.start("frozen", [sys.executable, "manage.py", "shell", "-c", FREEZE_WHILE_IT_APPENDS])
    wait_for(lambda: "frozen" in frozen.said, "the process to freeze")
    kill = world.ended(world.click(desk, form))
    assert (kill.state, world.open(account)) == (State.FLAT, [])
    assert not Entry.objects.filter(sentence="never committed").exists()
