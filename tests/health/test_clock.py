"""How far the broker's clock is from ours: narrowed by many answers, and written down now and then."""

import random

import pytest

from killswitch import broker
from killswitch.audit.models import Entry, Kind
from killswitch.broker import ClockBounds
from killswitch.broker._clock import LONGEST, BrokerClock
from killswitch.health import clock
from killswitch.health.clock import CHANGED, FIRST, HOURLY, ClockWatch
from killswitch.health.record import ask, look
from killswitch.simulator.process import SimulatorProcess
from killswitch.starting import Start

T0 = 1_000_000.0


def answers(true_offset: float, times: list[float], *, latency: float = 0.02, held: float = 0.5) -> ClockBounds:
    """Let a broker whose clock is `true_offset` ahead answer at `times` of ours; `held` of the latency lie before."""
    kept = BrokerClock()
    for at in times:
        kept.note(float(int(at + true_offset)), sent_at=at - held * latency, answered_at=at + (1 - held) * latency)
    assert kept.bounds is not None
    return kept.bounds


class TestBounds:
    def test_one_answer_says_no_more_than_to_a_second(self) -> None:
        bounds = answers(3.3, [T0])
        assert bounds.least <= 3.3 <= bounds.most
        assert bounds.uncertainty == pytest.approx(0.51)

    @pytest.mark.parametrize("true_offset", [0.0, 0.4, -0.7, 3600.25, -86_400.0])
    @pytest.mark.parametrize("held", [0.0, 0.5, 1.0])
    def test_many_narrow_it_and_never_leave_the_truth_out(self, true_offset: float, held: float) -> None:
        moments = random.Random(7)
        bounds = answers(true_offset, [T0 + moments.uniform(0, 50) for _ in range(300)], held=held)
        assert bounds.least <= true_offset <= bounds.most
        assert bounds.uncertainty < 0.03
        assert bounds.answers == 300

    def test_a_clock_that_jumps_begins_anew(self) -> None:
        kept = BrokerClock()
        for number in range(100):
            kept.note(float(int(T0 + number * 0.1)), sent_at=T0 + number * 0.1, answered_at=T0 + number * 0.1)
        kept.note(T0 + 3600, sent_at=T0 + 10, answered_at=T0 + 10)
        assert kept.bounds is not None
        assert (kept.bounds.least, kept.bounds.most, kept.bounds.answers) == (3590, 3591, 1)

    def test_what_was_told_long_ago_is_not_mixed_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [0.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        kept = BrokerClock()
        kept.note(T0, sent_at=T0, answered_at=T0)
        now[0] = LONGEST
        kept.note(T0, sent_at=T0, answered_at=T0)
        assert kept.bounds is not None
        assert kept.bounds.answers == 1


def bounds_of(offset: float, *, near: float = 0.02, since: float = 0.0, last: float | None = None) -> ClockBounds:
    return ClockBounds(offset - near / 2, offset + near / 2, since=since, last=since if last is None else last)


class TestWatch:
    def test_writes_first_once_it_is_near_or_nothing_nearer_comes(self) -> None:
        watch = ClockWatch(0)
        assert watch.wants(None, 1) == ""
        assert watch.wants(bounds_of(0, near=1.0), 1) == ""
        assert watch.wants(bounds_of(0, near=0.2), 1) == FIRST
        assert watch.wants(bounds_of(0, near=1.0), clock.WAIT) == FIRST

    def test_writes_once_an_hour_where_there_was_an_answer(self) -> None:
        watch = ClockWatch(0)
        watch.note(bounds_of(0), 10)
        assert watch.wants(bounds_of(0, last=3600), 3609) == ""
        assert watch.wants(bounds_of(0, last=9), 3610) == ""
        assert watch.wants(bounds_of(0, last=3600), 3610) == HOURLY

    def test_writes_a_change_that_is_beyond_doubt_and_only_so_often(self) -> None:
        watch = ClockWatch(0)
        watch.note(bounds_of(0), 10)
        assert watch.wants(bounds_of(0.11), 700) == "", "0.09 s apart"
        assert watch.wants(bounds_of(0.5, near=1.0), 700) == "", "it may be the same"
        assert watch.wants(bounds_of(0.13), 700) == CHANGED
        assert watch.wants(bounds_of(-0.13), 700) == CHANGED
        assert watch.wants(bounds_of(5.0), 609) == ""

    def test_a_clock_that_jumps_all_day_is_no_flood(self) -> None:
        watch, written = ClockWatch(0), 0
        for second in range(0, 86_400, 5):
            bounds = bounds_of(second % 7, since=second - 40)
            if watch.wants(bounds, second):
                watch.note(bounds, second)
                written += 1
        assert written <= 86_400 / clock.LEAST_BETWEEN

    def test_asks_only_where_too_little_was_answered_for_long(self) -> None:
        watch = ClockWatch(0)
        assert not watch.should_ask(None, clock.ASK_AFTER - 1)
        assert watch.should_ask(None, clock.ASK_AFTER)
        assert not watch.should_ask(bounds_of(0), clock.ASK_AFTER), "what is known is enough"
        watch.rest(clock.ASK_AFTER)
        assert not watch.should_ask(None, clock.ASK_AFTER + 1)
        watch.note(bounds_of(0), 200)
        assert not watch.should_ask(bounds_of(0), 300)
        assert watch.should_ask(bounds_of(0), 200 + clock.EVERY)


@pytest.mark.django_db
class TestEntry:
    @pytest.fixture
    def simulator(self, make_simulator) -> SimulatorProcess:  # type: ignore[no-untyped-def]
        return make_simulator("--accounts", "0")  # type: ignore[no-any-return]

    def test_is_written_once_and_says_how_sure_it_is(self, simulator: SimulatorProcess) -> None:
        start, watch = Start("watchdog"), ClockWatch(0)
        for number in range(5):
            look(start, watch, clock.ASK_AFTER + number * 0.001)
        assert [request["call"] for request in simulator.control.log()] == ["version"] * 5
        bounds = broker.clock_bounds()
        assert bounds is not None
        assert bounds.answers == 5
        for _ in range(2):
            look(start, watch, bounds.since + clock.WAIT)
        [entry] = Entry.objects.all()
        assert (entry.kind, entry.source.split(" ")[0], entry.actor_name) == (Kind.CLOCK_OFFSET, "watchdog", "")
        assert entry.sentence.startswith("The broker’s clock is 0.")
        assert abs(float(entry.data["offset_seconds"])) <= float(entry.data["uncertainty_seconds"]) + 0.01
        assert float(entry.data["uncertainty_seconds"]) <= 0.6
        assert (entry.data["answers"], entry.data["why"]) == (5, "first")

    def test_is_none_where_the_broker_cannot_be_reached(self) -> None:
        watch = ClockWatch(0)
        look(Start("watchdog"), watch, clock.ASK_AFTER)
        assert not watch.should_ask(None, clock.ASK_AFTER + 10), "it is let rest"
        assert not ask()
        assert not Entry.objects.exists()
