"""What each check finds: disk, trail, open book, clock, and workers and watchdogs by what they wrote."""

import asyncio
import re
import threading
from collections import namedtuple
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from killswitch import broker
from killswitch.audit.models import Anchor, Verification
from killswitch.audit.operations import Actor
from killswitch.audit.verification import Evidence, carry_out_now
from killswitch.book.models import Account, AccountList
from killswitch.book.operations import refresh, save
from killswitch.broker import BrokerFailed, ClockBounds, Listing
from killswitch.health import alive, disk, heartbeats, reach, trail
from killswitch.health.found import Found
from killswitch.health.models import Heartbeat
from killswitch.health.verdict import Fault, Part
from killswitch.notary.models import Delivery, Notary
from killswitch.simulator.process import SimulatorProcess
from tests.audit.evidence import run, take_off_the_triggers, write
from tests.conftest import wait_for

Usage = namedtuple("Usage", "total used free")
NOW = timezone.now


def only(found: list[Found]) -> Found:
    assert len(found) == 1
    return found[0]


class TestDisk:
    @pytest.mark.parametrize(
        ("free_mb", "fault"), [(5_000, None), (1_000, None), (999, Fault.DISK_LOW), (99, Fault.DISK_FULL)]
    )
    def test_says_when_it_fills_up(self, free_mb: int, fault: Fault | None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(1, 1, free_mb * 1_000_000))
        assert only(disk.check()).fault == fault

    def test_is_looked_at_where_the_settings_say(self, settings: Any, tmp_path: Path) -> None:
        settings.LIGHT_DISK_FOLDERS = [str(tmp_path)]
        assert disk.folders()[0] == tmp_path
        assert Path.cwd() in disk.folders()


@pytest.mark.django_db
class TestTrail:
    @pytest.fixture(autouse=True)
    def notary(self) -> Notary:
        return Notary.objects.create(host="a", seen_at=NOW(), key="k")

    def test_is_well_while_it_is_looked_after(self) -> None:
        write(8)
        carry_out_now(actor=Actor(name="ann"), evidence=Evidence())
        assert only(trail.check()) == Found(Part.TRAIL, None, "verified to entry 8")

    @pytest.mark.django_db(transaction=True)
    def test_that_was_tampered_with_is_said(self) -> None:
        write(8)
        take_off_the_triggers()
        run("UPDATE audit_entry SET sentence = 'never happened' WHERE id = 3")
        carry_out_now(actor=Actor(name="ann"), evidence=Evidence())
        found = only(trail.check())
        assert found.fault == Fault.TRAIL_BROKEN
        assert "entry 3" in found.says

    def test_that_contradicts_an_anchor_is_said(self, notary: Notary) -> None:
        Notary.objects.update(contradiction="entry 9 was anchored and is gone")
        assert only(trail.check()) == Found(Part.TRAIL, Fault.TRAIL_BROKEN, "entry 9 was anchored and is gone")

    def test_without_a_notary_is_not_looked_after(self, notary: Notary) -> None:
        Notary.objects.update(seen_at=NOW() - timedelta(minutes=2))
        assert only(trail.check()) == Found(Part.TRAIL, Fault.TRAIL_UNGUARDED, "no notary is at work")

    def test_whose_anchors_do_not_arrive_is_not_looked_after(self) -> None:
        Anchor.objects.create(sequence=2, hash="h", at=NOW() - timedelta(hours=1), key="k", signature="s")
        Delivery.objects.create(place="a mailbox", seen_at=NOW(), delivered=0)
        assert only(trail.check()) == Found(Part.TRAIL, Fault.TRAIL_UNGUARDED, "anchors do not arrive at a mailbox")

    def test_that_was_not_verified_for_days_is_not_looked_after(self) -> None:
        write(3)
        carry_out_now(actor=Actor(name="ann"), evidence=Evidence())
        Verification.objects.update(ended_at=NOW() - timedelta(days=3))
        assert only(trail.check()).says == "it was not verified for two days"


@pytest.mark.django_db
class TestBook:
    def fill(self, *, seconds_ago: float = 0, error: BrokerFailed | None = None) -> None:
        at = NOW() - timedelta(seconds=seconds_ago)
        AccountList.objects.update_or_create(id=1, defaults={"listed_at": at, "tried_at": at})
        save(1001, Listing(items=[], whole=error is None, error=error), at)

    def test_is_well_while_it_is_fresh(self) -> None:
        self.fill(seconds_ago=2)
        found = only(alive.check_book())
        assert (found.part, found.fault) == (Part.BOOK, None)
        assert re.fullmatch(r"1 lists, the oldest ([2-9]|\d\d) s old", found.says)

    def test_is_said_to_be_old(self) -> None:
        self.fill(seconds_ago=70)
        assert only(alive.check_book()) == Found(Part.BOOK, Fault.BOOK_OLD, "of 1 accounts: 1 old")

    def test_is_given_time_where_there_are_many_accounts(self, settings: Any) -> None:
        settings.BOOK_REQUESTS_PER_SECOND = 0.01
        self.fill(seconds_ago=70)
        assert only(alive.check_book()).fault is None

    def test_names_everything_else_that_is_wrong(self) -> None:
        Account.objects.create(account_id=1002)
        self.fill(error=BrokerFailed("the broker failed"))
        AccountList.objects.update(listed_at=None, error="no answer")
        assert only(alive.check_book()).says == (
            "of 2 accounts: the accounts were never listed, the list of accounts: no answer, 2 never listed, "
            "1 failed at the last try"
        )


class TestBroker:
    def bounds(self, least: float, most: float) -> ClockBounds:
        return ClockBounds(least, most, since=0, last=0)

    @pytest.mark.parametrize(
        ("least", "most", "fault"),
        [(-0.4, 0.6, None), (0.9, 1.4, None), (1.1, 1.3, Fault.CLOCK_OFF), (-3, -2, Fault.CLOCK_OFF)],
    )
    def test_tells_when_the_clock_is_surely_off(
        self, least: float, most: float, fault: Fault | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(broker, "clock_bounds", lambda: self.bounds(least, most))
        assert reach._clock().fault == fault

    @pytest.mark.django_db
    def test_names_its_accounts_and_those_that_are_missing(self, make_simulator: Any) -> None:
        simulator: SimulatorProcess = make_simulator("--accounts", "3", "--orders", "2")
        refresh(requests_per_second=50, now=NOW())
        well = {found.part: found for found in reach.BrokerCheck().check()}
        assert [found.fault for found in well.values()] == [None, None, None]
        assert well[Part.ACCOUNTS].says == "3 named"
        Account.objects.create(account_id=7, open_orders=3, listed_at=NOW())
        missing = {found.part: found for found in reach.BrokerCheck().check()}[Part.ACCOUNTS]
        assert missing.fault == Fault.ACCOUNTS_UNSURE
        assert missing.says == "3 named; missing, though orders were open there: 7"
        assert simulator.api_key not in repr(well)

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        ("do", "fault", "says"),
        [
            ({"status": 401, "message": "no"}, Fault.KEY_REFUSED, "the key is refused (401: no)"),
            ({"status": 403, "message": "no"}, Fault.KEY_REFUSED, "the key is refused (403: no)"),
            ({"status": 503, "message": "no"}, Fault.BROKER_GONE, "503: no"),
            ({"status": 429, "message": "no"}, Fault.BROKER_SLOW, "the broker makes us wait (429: no)"),
            ({"delay_ms": 2200}, Fault.BROKER_SLOW, "version 2025-10-31, answers within"),
            ({"body": "html"}, Fault.BROKER_GONE, ""),
        ],
    )
    def test_says_how_it_answers(self, do: dict[str, Any], fault: Fault, says: str, make_simulator: Any) -> None:
        simulator = make_simulator("--accounts", "1")
        simulator.control.add_fault(match={"call": "accounts"}, do=do)
        reached = reach.reach()
        assert reached.fault == fault
        assert reached.says.startswith(says)

    def test_is_not_called_gone_where_requests_wait_on_our_side(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker in the middle of a large kill must not be taken for cut off."""

        def wait(coroutine: Any, timeout: float) -> None:
            coroutine.close()
            raise TimeoutError

        with monkeypatch.context() as patch:
            patch.setattr(broker, "run", wait)
            reached = reach.reach()
        assert reached.fault == Fault.BROKER_SLOW
        assert not heartbeats.cuts_off(reached.fault)

    def test_that_cannot_be_reached_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLEAR_STREET_BASE_URL", "http://127.0.0.1:9")
        reached = reach.reach()
        assert (reached.fault, reached.says) == (Fault.BROKER_GONE, "no connection to http://127.0.0.1:9")


class TestOwnLoop:
    """What carries out kills may stand still in a process that beats, takes tasks and loses nothing."""

    @pytest.fixture(params=["busy for ever", "stopped"])
    def stuck(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(reach, "LOOP_SECONDS", 0.2)
        broker.close()
        go_on, threads = threading.Event(), []

        async def stand_still() -> None:
            threads.append(threading.current_thread())
            if request.param == "stopped":
                asyncio.get_running_loop().stop()
            else:
                go_on.wait(30)

        broker.start(stand_still())
        wait_for(lambda: threads, "the loop to stand still")
        if request.param == "stopped":
            threads[0].join(10)
        yield
        go_on.set()
        broker.close()

    @pytest.mark.django_db
    @pytest.mark.parametrize("who", Heartbeat.Who)
    def test_that_stands_still_is_told_of(self, who: str, stuck: None) -> None:
        heartbeats.note(who, "host-a")
        heartbeats.see_the_broker(who, "host-a")
        of_workers, of_watchdogs = only(alive.check_workers(lambda: 60.0)), only(alive.check_watchdogs())
        found, fault = (
            (of_workers, Fault.WORKER_STUCK) if who == Heartbeat.Who.WORKER else (of_watchdogs, Fault.WATCHDOG_STUCK)
        )
        assert (found.fault, found.says) == (fault, "host-a: its own event loop does not answer")

    def test_is_not_known_to_reach_the_broker(self, stuck: None) -> None:
        """So says the lookout, of its own."""
        assert reach.reach().fault == Fault.UNCHECKED_VITAL

    @pytest.mark.django_db
    def test_that_goes_on_again_is_well(self, make_simulator: Any) -> None:
        make_simulator("--accounts", "1")
        heartbeats.note(Heartbeat.Who.WATCHDOG, "host-a")
        Heartbeat.objects.update(trouble="its own event loop does not answer", is_stuck=True)
        heartbeats.see_the_broker(Heartbeat.Who.WATCHDOG, "host-a")
        assert only(alive.check_watchdogs()).fault is None

    def test_is_asked_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = iter([False, True])
        monkeypatch.setattr(broker, "loop_answers", lambda _: next(answers))
        assert reach.loop_answers()


@pytest.mark.django_db
class TestAlive:
    def beat(
        self,
        who: str,
        where: str,
        *,
        seconds_ago: float = 0,
        took: float = 0.02,
        trouble: str = "",
        broker: str = "http://127.0.0.1:9",
    ) -> None:
        at = NOW() - timedelta(seconds=seconds_ago)
        sent_at = at - timedelta(seconds=took)
        values = {"seen_at": at, "sent_at": sent_at, "trouble": trouble, "broker": broker}
        Heartbeat.objects.create(who=who, where=where, **values)

    def test_a_worker_is_waited_for_as_long_as_its_canary_may_take(self) -> None:
        assert alive.check_workers(lambda: 1.0) == []
        assert only(alive.check_workers(lambda: 60.0)).fault == Fault.WORKER_GONE

    def test_one_worker_is_enough(self) -> None:
        self.beat("worker", "celery@a", seconds_ago=100)
        says = only(alive.check_workers(lambda: 60.0)).says
        assert re.fullmatch(r"celery@a was last heard of 1[0-5]\d s ago", says)
        self.beat("worker", "celery@b")
        found = only(alive.check_workers(lambda: 60.0))
        assert (found.fault, found.says) == (None, "celery@b took a task within 20 ms")

    def test_a_worker_that_takes_long_is_slow(self) -> None:
        self.beat("worker", "celery@a", took=4)
        assert only(alive.check_workers(lambda: 60.0)).fault == Fault.WORKER_SLOW

    def test_a_worker_that_is_cut_off_is_told_of_beside_another(self) -> None:
        self.beat("worker", "celery@a")
        self.beat("worker", "celery@b", trouble="no connection")
        found = only(alive.check_workers(lambda: 60.0))
        assert (found.fault, found.says) == (Fault.WORKER_CUT_OFF, "celery@b: no connection")

    def test_who_asks_another_broker_is_told_of_beside_others(self) -> None:
        for who in Heartbeat.Who.values:
            self.beat(who, "host-a", trouble="no connection")
            self.beat(who, "host-b", broker="https://sandbox.example.com")
        says = "host-b asks another broker: https://sandbox.example.com; the lookout asks http://127.0.0.1:9"
        assert only(alive.check_workers(lambda: 60.0)) == Found(Part.WORKER, Fault.WORKER_ELSEWHERE, says)
        assert only(alive.check_watchdogs()) == Found(Part.WATCHDOG, Fault.WATCHDOG_ELSEWHERE, says)

    @pytest.mark.parametrize("who", Heartbeat.Who)
    def test_a_sign_of_life_says_which_broker_is_asked_and_no_secret(self, who: str, settings: Any) -> None:
        heartbeats.note(who, "host-a")
        settings.CLEAR_STREET_BASE_URL = "https://me:s-e-c-r-e-t@sandbox.example.com/v1?key=s-e-c-r-e-t"
        heartbeats.note(who, "host-a")
        # A path may be a secret, too; and under another one there may be another broker.
        told = Heartbeat.objects.get().broker
        assert re.fullmatch(r"https://sandbox\.example\.com/~[0-9a-f]{8}", told)
        settings.CLEAR_STREET_BASE_URL = "https://sandbox.example.com/v2"
        heartbeats.note(who, "host-a")
        assert Heartbeat.objects.get().broker not in (told, "https://sandbox.example.com")

    def test_watchdogs_of_several_hosts_are_named(self) -> None:
        assert only(alive.check_watchdogs()).fault == Fault.WATCHDOG_GONE
        self.beat("watchdog", "host-a")
        self.beat("watchdog", "host-b", seconds_ago=90)
        found = only(alive.check_watchdogs())
        assert found.fault is None
        assert re.fullmatch(r"looks: host-a; host-b was last heard of (9\d|1\d\d) s ago", found.says)

    def test_a_watchdog_that_is_cut_off_is_told_of(self) -> None:
        self.beat("watchdog", "host-a", trouble="no connection")
        assert only(alive.check_watchdogs()).fault == Fault.WATCHDOG_CUT_OFF

    def test_a_sign_of_life_from_the_future_is_none(self) -> None:
        """Whoever wrote it did so before the database's clock was set back."""
        self.beat("worker", "celery@a", seconds_ago=-3600)
        self.beat("watchdog", "host-a", seconds_ago=-3600)
        found = only(alive.check_workers(lambda: 60.0))
        assert found.says == "celery@a was last heard of before the database’s clock was set back"
        assert (found.fault, only(alive.check_watchdogs()).fault) == (Fault.WORKER_GONE, Fault.WATCHDOG_GONE)

    def test_a_sign_of_life_is_one_row_for_each(self) -> None:
        for _ in range(2):
            heartbeats.note(Heartbeat.Who.WATCHDOG, "host-a")
        assert Heartbeat.objects.get().where == "host-a"

    def test_a_sign_of_life_says_what_keeps_it_from_the_broker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLEAR_STREET_BASE_URL", "http://127.0.0.1:9")
        heartbeats.note(Heartbeat.Who.WATCHDOG, "host-a")
        heartbeats.see_the_broker(Heartbeat.Who.WATCHDOG, "host-a")
        assert Heartbeat.objects.get().trouble == "no connection to http://127.0.0.1:9"
