"""What the light shows over time: worse at once, better once it has held."""

from datetime import UTC, datetime, timedelta

import pytest

from killswitch.health.shown import HOLD, Shown, follow
from killswitch.health.verdict import Fault, Judgement, Verdict

START = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
JUDGED = {
    Verdict.ARMED: Judgement(Verdict.ARMED, ()),
    Verdict.FLAWED: Judgement(Verdict.FLAWED, (Fault.DISK_LOW,)),
    Verdict.SLOWER: Judgement(Verdict.SLOWER, (Fault.WORKER_GONE,)),
    Verdict.NOT_KNOWN: Judgement(Verdict.NOT_KNOWN, (Fault.UNCHECKED_VITAL,)),
    Verdict.NOT_ARMED: Judgement(Verdict.NOT_ARMED, (Fault.BROKER_GONE,)),
}


def shown(verdict: Verdict, better_since: datetime | None = None) -> Shown:
    return Shown(verdict, frozenset(JUDGED[verdict].faults), START, better_since)


class TestFollow:
    @pytest.mark.parametrize("worse", [Verdict.FLAWED, Verdict.SLOWER, Verdict.NOT_KNOWN, Verdict.NOT_ARMED])
    def test_shows_what_is_worse_at_once(self, worse: Verdict) -> None:
        after = follow(shown(Verdict.ARMED), JUDGED[worse], START + SECOND)
        assert (after.verdict, after.since) == (worse, START + SECOND)

    def test_shows_what_is_better_once_it_has_held(self) -> None:
        light = shown(Verdict.NOT_ARMED)
        for seconds in range(1, 11):
            light = follow(light, JUDGED[Verdict.ARMED], START + seconds * SECOND)
            assert (light.verdict, light.since) == (Verdict.NOT_ARMED, START)
        light = follow(light, JUDGED[Verdict.ARMED], START + SECOND + HOLD)
        assert (light.verdict, light.since, light.better_since) == (Verdict.ARMED, START + SECOND + HOLD, None)

    def test_begins_to_wait_anew_when_it_got_worse_again(self) -> None:
        light = follow(shown(Verdict.NOT_ARMED), JUDGED[Verdict.ARMED], START + SECOND)
        light = follow(light, JUDGED[Verdict.NOT_ARMED], START + 5 * SECOND)
        assert light.better_since is None
        light = follow(light, JUDGED[Verdict.ARMED], START + SECOND + HOLD)
        assert light.verdict == Verdict.NOT_ARMED

    def test_shows_in_the_end_what_is_true_then(self) -> None:
        light = follow(shown(Verdict.NOT_ARMED), JUDGED[Verdict.SLOWER], START)
        assert follow(light, JUDGED[Verdict.FLAWED], START + HOLD).verdict == Verdict.FLAWED

    def test_tells_of_another_fault_that_comes_to_the_same(self) -> None:
        key = Judgement(Verdict.NOT_ARMED, (Fault.KEY_REFUSED,))
        light = follow(shown(Verdict.NOT_ARMED), key, START + SECOND)
        assert (light.since, light.faults) == (START + SECOND, {Fault.KEY_REFUSED, Fault.BROKER_GONE})

    def test_tells_once_of_a_fault_that_comes_and_goes(self) -> None:
        both = Judgement(Verdict.FLAWED, (Fault.DISK_LOW, Fault.BOOK_OLD))
        light = follow(shown(Verdict.FLAWED), both, START + SECOND)
        for seconds in range(2, 40):
            judged = JUDGED[Verdict.FLAWED] if seconds % 2 else both
            light = follow(light, judged, START + seconds * SECOND)
            assert light.since == START + SECOND

    def test_does_not_wait_where_nothing_was_known(self) -> None:
        assert follow(shown(Verdict.NOT_KNOWN), JUDGED[Verdict.ARMED], START + SECOND).verdict == Verdict.ARMED
