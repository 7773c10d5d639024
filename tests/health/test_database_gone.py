"""The database goes away and comes back: the standing processes go on by themselves, and nothing is called armed."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from killswitch.audit.operations import Actor
from killswitch.health import queries
from killswitch.health.models import Watch
from killswitch.health.verdict import Fault, Verdict
from killswitch.telling.models import Delivery
from killswitch.telling.operations import ask_for_test
from tests.conftest import ROOT, ask_broker_at, database_url, wait_for
from tests.faults.postgresql import PostgreSQL, as_the_database, own_server
from tests.faults.stack import Process, Stack

from .light import keep_well
from .test_lookout import QUICK, shows

MANAGE = [sys.executable, "manage.py"]


class Standing:
    """A lookout and a teller at work."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        broker = stack.broker("--accounts", "2", "--orders", "3")
        ask_broker_at(broker.url, monkeypatch)
        monkeypatch.setenv("CLEAR_STREET_API_KEY", broker.api_key)
        keep_well()
        stack.redis()
        self.watchdog, self.worker = stack.watchdog(), stack.worker()
        self.lookout = stack.lookout()
        mails = stack.folder / "mails"
        self.teller = stack.start(
            "teller", [*MANAGE, "teller"], TELL_MAIL_TO="desk@example.com", EMAIL_FOLDER=str(mails), EMAIL_HOST=""
        )
        self._mails = mails
        shows(Verdict.ARMED)
        wait_for(Delivery.objects.exists, "the teller to know from where on to tell")
        self.tells()

    def tells(self) -> None:
        """See that the teller brings what is asked for now."""
        before = self.mails
        ask_for_test(actor=Actor(name="desk"), now=timezone.now())
        wait_for(lambda: self.mails > before, "a mail", 60)

    @property
    def mails(self) -> int:
        """Count what the teller has sent."""
        return len(list(self._mails.iterdir())) if self._mails.exists() else 0

    @property
    def all(self) -> list[Process]:
        return [self.lookout, self.teller, self.watchdog, self.worker]

    def go_on(self) -> None:
        """See that everybody is at work again, and that none of them was started anew."""
        shows(Verdict.ARMED, seconds=60)
        self.tells()
        assert [process.exit_code for process in self.all] == [None] * 4


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a lock of SQLite")
def test_an_sqlite_that_somebody_holds_is_waited_for(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack(database_url(), **QUICK)
    try:
        standing = Standing(stack, monkeypatch)
        with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            light = shows(Verdict.NOT_KNOWN, Fault.NOBODY_LOOKS)
            assert light.break_glass
            gave_up = "what was found could not be written"
            wait_for(lambda: gave_up in standing.lookout.said, "the lookout to run out of patience", 40)
            other.execute("ROLLBACK")
        standing.go_on()
        assert "can be written again" in standing.lookout.said
    finally:
        stack.end()


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with own_server() as made:
        yield made


def test_a_postgresql_that_is_started_again_is_found_again(
    transactional_db: None, server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(server.url, **QUICK)
    subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], cwd=ROOT, env=stack.environment, check=True)
    try:
        with as_the_database(server.url):
            standing = Standing(stack, monkeypatch)
            seen_at = Watch.objects.get().seen_at
            server.stop()
            connection.close()
            wait_for(lambda: "what was found could not be written" in standing.lookout.said, "the lookout to notice")
            wait_for(lambda: "failed, and tries again" in standing.teller.said, "the teller to notice")
            assert not queries.database_answers()
            connection.close()
            server.start()
            wait_for(lambda: looked_after(seen_at), "the next look", 60)
            standing.go_on()
            assert "can be written again" in standing.lookout.said
            wait_for(lambda: "works again" in standing.teller.said, "the teller to go on", 60)
    finally:
        stack.end()


def looked_after(moment: datetime | None) -> Any:
    seen_at = Watch.objects.get().seen_at
    return seen_at and moment and seen_at > moment
