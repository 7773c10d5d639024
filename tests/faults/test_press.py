"""At the click: it is committed or it is said loudly that it was not, whatever else is broken."""

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.sessions.models import Session

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill, State
from tests.conftest import database_url, wait_for

from .conftest import LogIn, World, at_once, outcomes
from .stack import CLOSED_PORT, Stack

on_sqlite = pytest.mark.skipif("sqlite" not in database_url(), reason="PostgreSQL locks rows, not the whole database")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    return call(), time.monotonic() - started


@contextmanager
def locked_database(stack: Stack) -> Iterator[None]:
    """Hold the one lock for writing, as a backup or a stray shell does."""
    holder = sqlite3.connect(stack.environment["DATABASE_URL"].removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.close()


class TestWithoutAQueue:
    @pytest.mark.fault(
        2, what="Redis down at the click", seen="accepted in under 1 s, the page says which way it will run"
    )
    def test_a_press_is_accepted_at_once_and_the_page_says_that_the_watchdog_runs_it(
        self, world: World, log_in: LogIn
    ) -> None:
        world.stack.broker("--accounts", "0", "--cancel-ms", "50")
        account = world.account()
        desk = log_in(world.stack.web(REDIS_URL=CLOSED_PORT), "desk")
        form = desk.open_form(account=account)
        kill, seconds = timed(lambda: world.click(desk, form))
        assert seconds < 2, "under one on a machine that does nothing else"
        page = wait_for(lambda: "waiting for a worker" in (text := desk.kill_page(kill)) and text, "words on the page")
        assert "The watchdog takes it up" in page
        world.stack.watchdog()
        assert world.ended(kill).state == State.FLAT
        assert "waiting for a worker" not in desk.kill_page(kill)

    @pytest.mark.fault(3, what="Redis frozen", seen="the same; no web thread hangs")
    def test_presses_do_not_hang_at_a_queue_that_takes_them_and_never_answers(
        self, world: World, log_in: LogIn
    ) -> None:
        stack = world.stack
        stack.broker("--accounts", "0", "--cancel-ms", "50")
        accounts = [world.account(orders=2) for _ in range(8)]
        redis, desk = stack.redis(), log_in(stack.web(), "desk")
        forms = [desk.open_form(account=account) for account in accounts]
        redis.freeze()
        first, seconds = timed(lambda: world.click(desk, forms[0]))
        assert seconds < 2, "under one on a machine that does nothing else"
        # More at once than there are threads that ring.
        others, seconds = timed(lambda: at_once(*(lambda form=form: world.click(desk, form) for form in forms[1:])))
        assert seconds < 4
        assert timed(lambda: desk.get("/healthz"))[1] < 2
        stack.watchdog()
        assert {world.ended(kill).state for kill in [first, *others]} == {State.FLAT}


@pytest.fixture(scope="module")
def running(django_db_setup: None, django_db_blocker: Any) -> Iterator[tuple[Stack, str]]:
    """All of the product, once for the tests in which it stays whole. With its address."""
    with django_db_blocker.unblock():
        stack = Stack(database_url())
    stack.broker("--accounts", "0", "--cancel-ms", "50")
    stack.redis()
    stack.worker()
    yield stack, stack.web()
    stack.end()


class TestWithEverythingWell:
    @pytest.fixture
    def stack(self, running: tuple[Stack, str]) -> Stack:
        return running[0]

    @pytest.fixture
    def address(self, running: tuple[Stack, str]) -> str:
        return running[1]

    @pytest.mark.fault(8, what="double click", seen="one kill, the same page")
    def test_a_double_click_is_one_kill_and_leads_to_one_page(self, world: World, address: str, log_in: LogIn) -> None:
        account, desk = world.account(), log_in(address, "desk")
        form, together = desk.open_form(account=account), threading.Barrier(2)

        def click() -> uuid.UUID:
            together.wait(10)
            return world.click(desk, form)

        first, second = at_once(click, click)
        assert first == second == Kill.objects.get().id
        assert world.ended(first).state == State.FLAT
        assert [request["call"] for request in world.deletes()] == ["cancel_all"]
        assert Entry.objects.filter(kind=Kind.KILL_ENGAGED).count() == 1

    @pytest.mark.fault(9, what="two operators at once", seen="both decisions recorded, the broker is not stormed")
    def test_two_operators_at_once_are_two_decisions_and_two_mass_cancels(
        self, world: World, address: str, log_in: LogIn
    ) -> None:
        account, together = world.account(orders=20), threading.Barrier(2)

        def press(name: str) -> uuid.UUID:
            person = log_in(address, name)
            form = person.open_form(account=account, reason=f"{name} saw it")
            together.wait(10)
            return world.click(person, form)

        kills = [world.ended(kill) for kill in at_once(lambda: press("desk"), lambda: press("desk2"))]
        assert {(kill.engaged_by_name, kill.reason) for kill in kills} == {
            ("desk", "desk saw it"),
            ("desk2", "desk2 saw it"),
        }
        assert {kill.state for kill in kills} == {State.FLAT}
        assert Entry.objects.filter(kind=Kind.KILL_ENGAGED).count() == 2
        assert [request["call"] for request in world.deletes()] == ["cancel_all", "cancel_all"]
        assert len(world.calls()) <= 20
        assert world.open(account) == []

    @pytest.mark.fault(
        28,
        what="session or CSRF token expired at the click",
        seen='a loud "NOT SENT" where the operator looks; denial recorded',
    )
    def test_a_press_after_the_session_ended_says_not_sent_and_is_recorded(
        self, world: World, address: str, log_in: LogIn
    ) -> None:
        account, desk = world.account(), log_in(address, "desk")
        form = desk.open_form(account=account)
        Session.objects.all().delete()
        answer = desk.send(form)
        assert answer.status_code == 302
        page = desk.get(answer.headers["Location"]).text
        assert "NOT SENT: you were logged out" in page
        assert f"account={account}" in page.replace("%3D", "="), "the way back leads to the same form"
        self.nothing_was_sent(world, str(account))

    @pytest.mark.fault(28)
    def test_a_press_with_a_token_that_has_expired_says_not_sent_and_is_recorded(
        self, world: World, address: str, log_in: LogIn
    ) -> None:
        account, desk = world.account(), log_in(address, "desk")
        answer = desk.send(desk.open_form(account=account) | {"csrfmiddlewaretoken": "x" * 64})
        assert answer.status_code == 403
        assert "NOT SENT" in answer.text
        self.nothing_was_sent(world, str(account))

    def nothing_was_sent(self, world: World, account: str) -> None:
        assert not Kill.objects.exists()
        assert world.deletes() == []
        assert Entry.objects.get(kind=Kind.DENIED).data["fields"]["account"] == [account]

    @on_sqlite
    @pytest.mark.fault(19, what="database locked (SQLite)", seen='waits, or says "not recorded"')
    def test_a_press_waits_for_a_locked_database(self, world: World, address: str, log_in: LogIn) -> None:
        account, desk = world.account(), log_in(address, "desk")
        form = desk.open_form(account=account)
        with locked_database(world.stack):
            pressing = threading.Thread(target=lambda: world.click(desk, form))
            pressing.start()
            pressing.join(1.5)
            assert pressing.is_alive()
            assert not Kill.objects.exists()
        pressing.join(20)
        [kill] = world.pressed
        assert world.ended(kill).state == State.FLAT

    @on_sqlite
    @pytest.mark.fault(19)
    def test_a_kill_under_way_waits_for_a_locked_database_and_sends_nothing_unannounced(self, world: World) -> None:
        account = world.account()
        world.control.add_fault(match={"call": "cancel_all"}, do={"delay_ms": 300})
        kill = world.press(account=account)
        wait_for(world.deletes, "the DELETE")
        with locked_database(world.stack):
            time.sleep(2)  # as long as the lock is held; nothing can be awaited of those who wait
            assert len(world.deletes()) == 1
        assert world.ended(kill).state == State.FLAT
        assert set(outcomes(kill).values()) == {"canceled"}


@on_sqlite
@pytest.mark.fault(19)
def test_a_press_says_that_it_was_not_sent_when_the_database_stays_locked(world: World, log_in: LogIn) -> None:
    world.stack.broker("--accounts", "0")
    account = world.account()
    # The product's own settings, with a shorter wait for the lock.
    desk = log_in(world.stack.web(DJANGO_SETTINGS_MODULE="tests.faults.impatient", REDIS_URL=CLOSED_PORT), "desk")
    form = desk.open_form(account=account)
    with locked_database(world.stack):
        answer = desk.send(form)
    assert answer.status_code == 500
    assert "NOT SENT" in answer.text
    assert not Kill.objects.exists()
    kill = world.click(desk, form)
    world.stack.watchdog()
    assert world.ended(kill).state == State.FLAT
