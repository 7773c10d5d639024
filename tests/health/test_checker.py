"""A check in a thread of its own: time limit, one lost packet, and what breaks off."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from killswitch.health.checker import Checker, Line
from killswitch.health.found import Found
from killswitch.health.verdict import Fault, Part
from tests.conftest import wait_for

WELL, GONE = Found(Part.REDIS, None, "answers"), Found(Part.REDIS, Fault.REDIS_GONE, "no answer")
SILENCE = {Part.REDIS: Fault.REDIS_GONE}


def checker_of(*answers: Sequence[Found] | Exception, strikes: int = 1) -> Checker:
    """Return a checker that finds one after the other."""
    coming: Iterator[Sequence[Found] | Exception] = iter(answers)

    def check() -> Sequence[Found]:
        answer = next(coming)
        if isinstance(answer, Exception):
            raise answer
        return answer

    checker = Checker(Line("a test", check, SILENCE, limit=5, every=0.01, strikes=strikes))
    checker.resume()
    return checker


def fault_of(checker: Checker) -> Fault | None:
    told = checker.told()
    assert told is not None
    return told[0][0].fault


class TestChecker:
    def test_knows_nothing_at_first(self) -> None:
        assert checker_of().told() is None

    def test_does_not_believe_the_first_failure_after_something_good(self) -> None:
        checker = checker_of([WELL], [GONE], [WELL], [GONE], [GONE], strikes=2)
        faults = []
        for _ in range(5):
            checker.once()
            faults.append(fault_of(checker))
        assert faults == [None, None, None, None, Fault.REDIS_GONE]

    def test_believes_what_fails_every_other_time(self) -> None:
        checker = checker_of(*[[WELL], [GONE]] * 4, strikes=2)
        faults = []
        for _ in range(8):
            checker.once()
            faults.append(fault_of(checker))
        assert faults[1::2] == [None, None, Fault.REDIS_GONE, Fault.REDIS_GONE]

    def test_forgets_failures_that_are_long_ago(self) -> None:
        checker = checker_of(*[[WELL], [WELL], [WELL], [GONE]] * 4, strikes=2)
        for _ in range(16):
            checker.once()
            assert fault_of(checker) is None

    def test_says_what_it_does_not_believe_yet(self) -> None:
        checker = checker_of([WELL], [GONE], strikes=2)
        checker.once()
        checker.once()
        told = checker.told()
        assert told is not None
        assert told[0][0].says == "answers; once since then: no answer"

    def test_believes_the_very_first_answer(self) -> None:
        checker = checker_of([GONE], strikes=2)
        checker.once()
        assert fault_of(checker) == Fault.REDIS_GONE

    def test_tells_that_a_check_broke_off_and_makes_the_next(self) -> None:
        checker = checker_of(RuntimeError("broken by a test"), [WELL])
        checker.once()
        assert fault_of(checker) == Fault.REDIS_GONE
        checker.once()
        assert fault_of(checker) is None

    def test_tells_that_a_check_hangs_while_it_hangs(self) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def hang() -> list[Found]:
            begun.set()
            go_on.wait(30)
            return [WELL]

        checker = Checker(Line("a test", hang, SILENCE, limit=0.1, every=0.01))
        checker.start()
        checker.resume()
        assert begun.wait(10)
        try:
            wait_for(lambda: checker.told() is not None, "an answer without the check")
            assert fault_of(checker) == Fault.REDIS_GONE
        finally:
            go_on.set()
        wait_for(lambda: fault_of(checker) is None, "what the check found in the end")
        checker.pause()

    def test_tells_what_can_be_told_meanwhile_and_does_not_take_it_back(self) -> None:
        begun, go_on = threading.Event(), threading.Event()
        silent = Found(Part.REDIS, Fault.BROKER_SILENT, "silent")
        answers = iter([WELL, GONE])
        is_silent = False

        def check() -> list[Found]:
            if is_silent:
                begun.set()
                go_on.wait(30)
            return [next(answers)]

        line = Line("a test", check, SILENCE, limit=30, every=0, strikes=2, meanwhile=lambda: [silent] * is_silent)
        checker = Checker(line)
        checker.resume()
        checker.once()
        assert not checker.has_news()
        is_silent = True
        thread = threading.Thread(target=checker.once)
        thread.start()
        assert begun.wait(10)
        assert checker.has_news()
        assert fault_of(checker) == Fault.BROKER_SILENT
        assert not checker.has_news()
        go_on.set()
        thread.join(10)
        assert fault_of(checker) == Fault.REDIS_GONE, "at the first strike: it was told before"

    def test_tells_nothing_better_meanwhile_than_what_it_found(self) -> None:
        checker = checker_of([GONE])
        checker.once()
        checker.line = replace(checker.line, meanwhile=lambda: [Found(Part.REDIS, Fault.REDIS_GONE, "silent")])
        assert not checker.has_news()

    def test_forgets_what_it_found_when_somebody_else_looks(self) -> None:
        checker = checker_of([WELL], [WELL])
        checker.once()
        checker.pause()
        assert checker.told() is None
        checker.once()
        assert checker.told() is None

    @pytest.mark.parametrize("found", [[], [Found(Part.WORKER, None)]])
    def test_tells_nothing_before_each_of_its_parts_is_known(self, found: list[Found]) -> None:
        checker = checker_of(found)
        checker.once()
        assert checker.told() is None
