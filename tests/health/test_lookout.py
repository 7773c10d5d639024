"""The lookout as it runs, against real parts that are stopped, frozen and broken."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.health import queries, rows
from killswitch.health.checker import Checker
from killswitch.health.lookout import Lookout
from killswitch.health.models import Finding, Heartbeat, Watch
from killswitch.health.queries import Light
from killswitch.health.verdict import Fault, Part, Verdict
from killswitch.kills.carry_out import carry_out
from tests.conftest import ask_broker_at, database_url, wait_for
from tests.faults.stack import Process, Stack
from tests.health.light import keep_well
from tests.kills.conftest import Press

NO_ACCOUNTS = '{"data": [], "metadata": {"total_items": 0}}'
QUICK = {"LIGHT_EVERY_SECONDS": "0.3", "LIGHT_DISK_LOW_MB": "10"}


@pytest.fixture
def stack(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Redis, a broker with two accounts, and what else the light asks for: a fresh book, a notary."""
    made = Stack(database_url(), **QUICK)
    broker = made.broker("--accounts", "2", "--orders", "3")
    ask_broker_at(broker.url, monkeypatch)
    monkeypatch.setenv("CLEAR_STREET_API_KEY", broker.api_key)
    keep_well()
    yield made
    made.end()


@pytest.fixture
def all_of_it(stack: Stack) -> dict[str, Process]:
    parts = {"redis": stack.redis(), "watchdog": stack.watchdog(), "worker": stack.worker()}
    parts["lookout"] = stack.lookout()
    shows(Verdict.ARMED)
    return parts


def shows(verdict: Verdict, *faults: Fault, seconds: float = 30) -> Light:
    """Wait until the light shows this, and return it."""

    def look() -> Light | None:
        light = queries.light()
        return light if (light.verdict, tuple(light.faults)) == (verdict, faults) else None

    def told() -> str:
        light = queries.light()
        parts = {each.part.value: each.says for each in light.parts if each.fault}
        return f"{verdict}: it shows {light.verdict} {[fault.code for fault in light.faults]} {parts}"

    deadline = time.monotonic() + seconds
    while (light := look()) is None:
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain for {told()}")
        time.sleep(0.05)
    return light


def tells(fault: Fault, seconds: float = 30) -> Light:
    """Wait until the light tells of a fault, whatever else it tells, and return it."""

    def look() -> Light | None:
        light = queries.light()
        return light if fault in light.faults else None

    light: Light = wait_for(look, f"the light to tell: {fault.code}", seconds)
    return light


@contextmanager
def silent(stack: Stack) -> Iterator[None]:
    """Have the broker take connections and answer none."""
    os.kill(stack.simulator.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stack.simulator.pid, signal.SIGCONT)


def part_of(light: Light, part: Part) -> queries.PartStanding:
    return next(standing for standing in light.parts if standing.part == part)


def changes() -> list[tuple[str, str]]:
    entries = Entry.objects.filter(kind=Kind.LIGHT_CHANGED).order_by("id")
    return [(entry.data["before"], entry.data["after"]) for entry in entries]


def test_looks_again_at_once_where_there_is_something_to_tell_before_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long the pause between two looks is."""
    lookout, looks, news = Lookout(), threading.Semaphore(0), threading.Event()
    monkeypatch.setattr(lookout, "once", lambda: looks.release() or 3600.0)
    monkeypatch.setattr(rows, "give_back", lambda _: None)
    monkeypatch.setattr(Checker, "has_news", lambda _: news.is_set())
    monkeypatch.setattr(lookout, "_looks_since", 0.0)
    thread = threading.Thread(target=lookout._for_ever)
    thread.start()
    try:
        assert looks.acquire(timeout=10)
        news.set()
        assert looks.acquire(timeout=10)
    finally:
        lookout.stop()
        thread.join(10)


@pytest.mark.usefixtures("transactional_db")
class TestWorker:
    def test_that_is_frozen_is_missed_and_found_again(self, all_of_it: dict[str, Process]) -> None:
        """Its process lives, its connections stand: only the canary tells."""
        assert part_of(queries.light(), Part.WORKER).says.startswith("worker@")
        all_of_it["worker"].freeze()
        shows(Verdict.SLOWER, Fault.WORKER_GONE)
        all_of_it["worker"].thaw()
        shows(Verdict.ARMED)
        assert changes() == [("not_known", "armed"), ("armed", "slower"), ("slower", "armed")]

    def test_that_is_gone_with_the_watchdog_leaves_nobody(self, all_of_it: dict[str, Process]) -> None:
        all_of_it["watchdog"].freeze()
        shows(Verdict.UNGUARDED, Fault.WATCHDOG_GONE)
        all_of_it["worker"].kill()
        shows(Verdict.NOT_ARMED, Fault.NOBODY)
        last = Entry.objects.filter(kind=Kind.LIGHT_CHANGED).latest("id")
        assert last.sentence.startswith(
            "Armed light: ARMED, WITHOUT ITS SAFETY NET → NOT ARMED. Nobody would carry out"
        )
        assert last.data["parts"].keys() == {"watchdog", "worker"}

    def test_that_does_not_get_through_to_the_broker_is_told_of(self, stack: Stack) -> None:
        stack.redis()
        stack.watchdog()
        stack.worker(CLEAR_STREET_API_KEY="another-key")
        stack.lookout()
        light = shows(Verdict.NOT_ARMED, Fault.WORKER_CUT_OFF)
        assert "the key is refused" in part_of(light, Part.WORKER).says
        assert "another-key" not in repr(light.parts)


@pytest.mark.usefixtures("transactional_db")
class TestWatchdog:
    def test_that_is_frozen_is_missed_and_found_again(self, all_of_it: dict[str, Process]) -> None:
        """Its process is there, its connections stand: only its heartbeat tells."""
        all_of_it["watchdog"].freeze()
        light = shows(Verdict.UNGUARDED, Fault.WATCHDOG_GONE)
        assert "was last heard of" in part_of(light, Part.WATCHDOG).says
        assert all_of_it["watchdog"].exit_code is None
        all_of_it["watchdog"].thaw()
        shows(Verdict.ARMED)
        assert changes() == [("not_known", "armed"), ("armed", "unguarded"), ("unguarded", "armed")]


@pytest.mark.usefixtures("transactional_db")
class TestRedis:
    @pytest.mark.parametrize("how", [Process.kill, Process.freeze])
    def test_that_does_not_answer_keeps_nothing_else_from_being_told(
        self, how: Callable[[Process], None], all_of_it: dict[str, Process]
    ) -> None:
        how(all_of_it["redis"])
        shows(Verdict.SLOWER, Fault.REDIS_GONE)
        broken_at = timezone.now()
        for part in (Part.BROKER, Part.DATABASE, Part.WATCHDOG):
            wait_for(lambda part=part: checked_after(part, broken_at), f"{part} to be looked at again", 8)
        shows(Verdict.SLOWER, Fault.REDIS_GONE)

    def test_that_comes_back_with_nothing_in_it_is_found_again(
        self, all_of_it: dict[str, Process], stack: Stack
    ) -> None:
        all_of_it["redis"].kill()
        shows(Verdict.SLOWER, Fault.REDIS_GONE)
        stack.lose_queue()
        stack.redis()
        shows(Verdict.ARMED, seconds=60)


def checked_after(part: Part, moment: object) -> bool:
    standing = part_of(queries.light(), part)
    return standing.fault is None and standing.checked_at is not None and standing.checked_at > moment


@pytest.mark.usefixtures("transactional_db")
class TestBroker:
    def test_that_refuses_the_key_disarms(self, all_of_it: dict[str, Process], stack: Stack) -> None:
        refuse = {"status": 401, "message": "Invalid or missing API key"}
        fault = stack.control.add_fault(match={"call": "accounts"}, do=refuse)
        light = shows(Verdict.NOT_ARMED, Fault.KEY_REFUSED)
        assert part_of(light, Part.BROKER).says == "the key is refused (401: Invalid or missing API key)"
        assert light.break_glass
        stack.control.remove_fault(fault)
        shows(Verdict.ARMED)

    def test_that_loses_one_answer_changes_nothing(self, all_of_it: dict[str, Process], stack: Stack) -> None:
        """One after the other, until a look has come between a lost answer and the next good one."""
        wait_for(lambda: lose_one(stack), "a look that sees a lost answer", 60)
        assert changes() == [("not_known", "armed")]

    def test_that_is_silent_disarms_and_keeps_nothing_else_from_being_told(
        self, all_of_it: dict[str, Process], stack: Stack
    ) -> None:
        with silent(stack):
            shows(Verdict.NOT_ARMED, Fault.BROKER_GONE)
            silent_at = timezone.now()
            wait_for(lambda: checked_after(Part.REDIS, silent_at), "Redis to be looked at again", 8)

    def test_that_hangs_is_told_of_before_any_request_has_timed_out(self, stack: Stack) -> None:
        """It takes connections and answers none of them: the usual pace, and requests that wait for long."""
        stack.environment["CLEAR_STREET_TIMEOUT_SECONDS"] = "30"
        stack.redis()
        stack.watchdog()
        stack.worker()
        stack.lookout(LIGHT_EVERY_SECONDS="3")
        shows(Verdict.ARMED)
        with silent(stack):
            began = time.monotonic()
            light = tells(Fault.BROKER_SILENT)
            took = time.monotonic() - began
            assert (light.tone, part_of(light, Part.BROKER).word) == ("red", "not known")
            assert light.break_glass
        assert took < 15, "three seconds until it is asked again, two and a half of silence, and a busy machine"
        shows(Verdict.ARMED)

    def test_that_hangs_stays_red_once_requests_have_timed_out(self, stack: Stack) -> None:
        stack.environment["CLEAR_STREET_TIMEOUT_SECONDS"] = "4"
        stack.redis()
        stack.watchdog()
        stack.worker()
        stack.lookout()
        shows(Verdict.ARMED)
        with silent(stack):
            tells(Fault.BROKER_SILENT)
            tells(Fault.BROKER_GONE)
        shows(Verdict.ARMED)
        told = [after for _, after in changes()]
        assert told.index("not_known") == 1
        assert "armed" not in told[1:-1], "it did not flicker"

    @pytest.mark.parametrize("call", ["version", "accounts"])
    def test_that_answers_slowly_once_changes_nothing(self, call: str, stack: Stack) -> None:
        stack.redis()
        stack.watchdog()
        stack.worker()
        stack.lookout(CLEAR_STREET_TIMEOUT_SECONDS="30")
        shows(Verdict.ARMED)
        stack.control.add_fault(match={"call": call}, do={"delay_ms": 4000}, times=1)

        def is_told() -> bool:
            return "; once since then: " in Finding.objects.get(part=Part.BROKER).says

        wait_for(is_told, "the slow answer to come")
        wait_for(lambda: not is_told(), "a good one after it")
        assert changes() == [("not_known", "armed")]

    def test_that_names_no_account_disarms(self, stack: Stack) -> None:
        stack.control.add_fault(match={"call": "accounts"}, do={"body": {"raw": NO_ACCOUNTS}})
        stack.redis()
        stack.watchdog()
        stack.worker()
        stack.lookout()
        shows(Verdict.NOT_ARMED, Fault.NO_ACCOUNTS)


def lose_one(stack: Stack) -> bool:
    """Lose one answer. Return whether a look has seen that, and went on by what was known before."""
    fault = stack.control.add_fault(match={"call": "version"}, do={"status": 503}, times=1)
    asked_before = len(stack.control.log(call="version"))
    seen: set[str] = set()

    def goes_on() -> bool:
        seen.add(Finding.objects.get(part=Part.BROKER).says)
        return len(stack.control.log(call="version")) > asked_before + 4

    wait_for(goes_on, "good answers after the one that is lost")
    stack.control.remove_fault(fault)
    return any("; once since then: 503" in says for says in seen)


@pytest.mark.usefixtures("transactional_db")
class TestAnotherBroker:
    def test_than_this_process_is_set_to_disarms(self, all_of_it: dict[str, Process], settings: Any) -> None:
        """The lookout is right and the page is not, or the other way round: neither can know."""
        here = settings.CLEAR_STREET_BASE_URL
        settings.CLEAR_STREET_BASE_URL = "https://elsewhere.example.com"
        light = shows(Verdict.NOT_ARMED, Fault.LOOKOUT_ELSEWHERE)
        assert part_of(light, Part.LOOKOUT).says.endswith(
            f" asks {here}; this page is set to https://elsewhere.example.com"
        )
        assert light.break_glass
        settings.CLEAR_STREET_BASE_URL = here
        shows(Verdict.ARMED)

    def test_of_a_watchdog_alone_leaves_a_kill_untouched_and_disarms(self, stack: Stack, press: Press) -> None:
        stack.redis()
        stack.watchdog(CLEAR_STREET_BASE_URL="http://127.0.0.1:9")
        stack.lookout()
        kill = press(account=19816)
        light = tells(Fault.KILL_LEFT)
        assert (light.verdict, Fault.WATCHDOG_ELSEWHERE in light.faults) == (Verdict.NOT_ARMED, True)
        carry_out(kill.id)
        wait_for(lambda: Fault.KILL_LEFT not in queries.light().faults, "the light to follow")


@pytest.mark.usefixtures("transactional_db")
class TestTwoLookouts:
    def test_take_turns_and_only_one_asks(self, stack: Stack) -> None:
        stack.redis()
        stack.watchdog()
        stack.worker()
        first = stack.lookout("first")
        shows(Verdict.ARMED)
        second = stack.lookout("second")
        token = Watch.objects.get().token
        count = asked(stack)
        looks = Watch.objects.get().seen_at
        wait_for(lambda: (Watch.objects.get().seen_at - looks).total_seconds() > 2, "some looks more")
        assert Watch.objects.get().token == token
        assert "looking" not in second.said
        assert asked(stack) - count < 12  # one of them, every 0.3 s
        first.terminate()
        began = time.monotonic()
        wait_for(lambda: first.exit_code is not None, "an end", 10)
        assert time.monotonic() - began < 6
        wait_for(lambda: Watch.objects.get().token not in (None, token), "the second to take over", 5)
        shows(Verdict.ARMED)
        assert changes() == [("not_known", "armed")]

    def test_are_missed_by_each_other_and_never_both(self, stack: Stack) -> None:
        stack.redis()
        stack.watchdog()
        stack.worker()
        first, second = stack.lookout("first"), stack.lookout("second")
        shows(Verdict.ARMED)
        holder = first if "looking" in first.said else second
        other = second if holder is first else first
        holder.freeze()
        wait_for(lambda: "looking" in other.said, "the other to take over", 15)
        holder.thaw()
        wait_for(lambda: "another lookout looks" in holder.said, "the first to notice", 10)
        assert Watch.objects.count() == 1
        shows(Verdict.ARMED)


def asked(stack: Stack) -> int:
    """Count how often the broker was asked for the accounts, but for those that answer canaries."""
    return len([request for request in stack.control.log() if request["call"] == "accounts"])


@pytest.mark.usefixtures("transactional_db")
class TestNobodyLooks:
    def test_is_not_known_from_the_start(self) -> None:
        light = queries.light()
        assert (light.verdict, light.faults) == (Verdict.NOT_KNOWN, [Fault.NOBODY_LOOKS])
        assert "manage.py lookout" in light.do
        assert light.break_glass

    def test_is_not_known_after_a_while_and_the_gap_is_an_entry(
        self, all_of_it: dict[str, Process], stack: Stack
    ) -> None:
        all_of_it["lookout"].kill()
        light = shows(Verdict.NOT_KNOWN, Fault.NOBODY_LOOKS)
        assert part_of(light, Part.LOOKOUT).word == "not known"
        stack.lookout()
        shows(Verdict.ARMED)
        assert changes() == [("not_known", "armed"), ("not_known", "armed")]
        assert "nobody_looked_since" in Entry.objects.filter(kind=Kind.LIGHT_CHANGED).latest("id").data


@pytest.mark.usefixtures("transactional_db")
def test_a_watchdog_beats_again_and_again_and_ends_when_it_is_told_to(stack: Stack) -> None:
    process = stack.watchdog()
    beat = wait_for(lambda: Heartbeat.objects.filter(who="watchdog").first(), "a beat")
    wait_for(lambda: Heartbeat.objects.get().seen_at > beat.seen_at, "the next beat", 8)
    process.terminate()
    wait_for(lambda: process.exit_code == 0, "its end", 10)


def test_ends_at_once_while_redis_broker_and_database_are_silent(stack: Stack) -> None:
    redis = stack.redis()
    process = stack.lookout()
    wait_for(lambda: "looking" in process.said, "a first look")
    redis.freeze()
    os.kill(stack.simulator.pid, signal.SIGSTOP)
    try:
        process.terminate()
        wait_for(lambda: process.exit_code is not None, "its end", 6)
        assert process.exit_code in (0, -signal.SIGTERM)
    finally:
        os.kill(stack.simulator.pid, signal.SIGCONT)
