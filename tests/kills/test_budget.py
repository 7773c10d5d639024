"""The budget for repeats, on a clock of the test's own."""

import asyncio

import pytest

from killswitch.kills import clock
from killswitch.kills.budget import ASK, CANCEL, LEAST, RETRY_AFTER_CAP, Budget


class Clock:
    """A monotonic clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await _real_sleep(0)


_real_sleep = asyncio.sleep


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clock, "monotonic", lambda: made.now)
    monkeypatch.setattr("killswitch.kills.budget.asyncio.sleep", made.sleep)
    return made


def seconds_for(fake: Clock, budget: Budget, turns: int, rank: int = ASK) -> float:
    async def take() -> None:
        await asyncio.gather(*(budget.turn(rank) for _ in range(turns)))

    before = fake.now
    asyncio.run(take())
    return fake.now - before


def test_a_seconds_worth_leaves_at_once_and_the_rest_at_the_rate(fake: Clock) -> None:
    budget = Budget(100)
    assert seconds_for(fake, budget, 100) == pytest.approx(0, abs=0.02)
    assert seconds_for(fake, budget, 50) == pytest.approx(0.5, abs=0.05)


def test_a_refusal_halves_it_and_many_at_once_are_one_piece_of_news(fake: Clock) -> None:
    budget = Budget(100)
    for _ in range(50):
        budget.throttled(None, "too many requests")
    assert budget.portion == 25
    fake.now += 2
    budget.throttled(None, "too many requests")
    assert 25 <= budget.portion * 2 <= 31, "it recovers a little in two seconds"


def test_it_never_stops_and_recovers(fake: Clock) -> None:
    budget = Budget(100)
    for _ in range(30):
        budget.throttled(None, "too many requests")
        fake.now += 1.0
    assert budget.portion * 2 >= LEAST
    fake.now += 60
    seconds_for(fake, budget, 1)
    assert budget.portion == 50


def test_it_waits_as_long_as_it_is_asked_to_but_not_for_an_hour(fake: Clock) -> None:
    budget = Budget(100)
    budget.throttled(3, "too many requests")
    assert budget.wait == 3
    assert seconds_for(fake, budget, 1) == pytest.approx(3)
    budget.throttled(3600, "too many requests")
    assert budget.wait == RETRY_AFTER_CAP


def test_cancels_go_before_lists(fake: Clock) -> None:
    budget, order = Budget(2), []

    async def take(rank: int) -> None:
        await budget.turn(rank)
        order.append(rank)

    async def everybody() -> None:
        await asyncio.gather(*(take(rank) for rank in (ASK, ASK, ASK, CANCEL, CANCEL)))

    seconds_for(fake, budget, 2)
    asyncio.run(everybody())
    assert order == [CANCEL, CANCEL, ASK, ASK, ASK]


def test_whoever_gives_up_waiting_costs_nothing(fake: Clock) -> None:
    budget = Budget(2)

    async def give_up() -> None:
        waiting = asyncio.ensure_future(budget.turn(ASK))
        await _real_sleep(0)
        waiting.cancel()
        await budget.turn(ASK)

    seconds_for(fake, budget, 2)
    before = fake.now
    asyncio.run(give_up())
    assert fake.now - before == pytest.approx(0.5, abs=0.1)
