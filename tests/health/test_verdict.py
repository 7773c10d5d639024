"""The rule of the armed light, over what can be wrong and what can be wrong together."""

import itertools

import pytest

from killswitch.health.verdict import BREAK_GLASS, CHECKED, Fault, Part, Verdict, judge

WELL: dict[Part, Fault | None] = dict.fromkeys((part for part in Part if part != Part.LOOKOUT), None)
UNCHECKED = (Fault.UNCHECKED, Fault.UNCHECKED_VITAL, Fault.NOBODY_LOOKS, Fault.NOBODY, Fault.LOOKOUT_ELSEWHERE)
OF_A_PART = [fault for fault in Fault if fault not in UNCHECKED]

F = Fault
TOGETHER = [
    ((), Verdict.ARMED, ()),
    # --- by the slower way, while one of the two ways is left
    ((F.REDIS_GONE,), Verdict.SLOWER, (F.REDIS_GONE,)),
    ((F.WORKER_GONE,), Verdict.SLOWER, (F.WORKER_GONE,)),
    ((F.REDIS_GONE, F.WORKER_GONE), Verdict.SLOWER, (F.REDIS_GONE,)),
    ((F.REDIS_GONE, F.WORKER_SLOW), Verdict.SLOWER, (F.REDIS_GONE,)),
    ((F.WATCHDOG_GONE,), Verdict.UNGUARDED, (F.WATCHDOG_GONE,)),
    ((F.WORKER_STUCK,), Verdict.SLOWER, (F.WORKER_STUCK,)),
    ((F.WATCHDOG_STUCK,), Verdict.UNGUARDED, (F.WATCHDOG_STUCK,)),
    ((F.WATCHDOG_GONE, F.WORKER_SLOW), Verdict.SLOWER, (F.WORKER_SLOW, F.WATCHDOG_GONE)),
    ((F.WATCHDOG_GONE, F.BROKER_SLOW), Verdict.SLOWER, (F.BROKER_SLOW, F.WATCHDOG_GONE)),
    # --- nobody is left
    ((F.WORKER_GONE, F.WATCHDOG_GONE), Verdict.NOT_ARMED, (F.NOBODY,)),
    ((F.REDIS_GONE, F.WATCHDOG_GONE), Verdict.NOT_ARMED, (F.NOBODY,)),
    ((F.REDIS_GONE, F.WORKER_GONE, F.WATCHDOG_GONE), Verdict.NOT_ARMED, (F.NOBODY,)),
    ((F.WORKER_GONE, F.WATCHDOG_CUT_OFF), Verdict.NOT_ARMED, (F.NOBODY,)),
    ((F.WORKER_STUCK, F.WATCHDOG_GONE), Verdict.NOT_ARMED, (F.NOBODY,)),
    ((F.WORKER_STUCK, F.WATCHDOG_STUCK), Verdict.NOT_ARMED, (F.NOBODY,)),
    ((F.WORKER_GONE, F.WATCHDOG_STUCK), Verdict.NOT_ARMED, (F.NOBODY,)),
    # --- nothing gets there
    ((F.BROKER_GONE,), Verdict.NOT_ARMED, (F.BROKER_GONE,)),
    ((F.KEY_REFUSED,), Verdict.NOT_ARMED, (F.KEY_REFUSED,)),
    ((F.DATABASE_GONE,), Verdict.NOT_ARMED, (F.DATABASE_GONE,)),
    ((F.WORKER_CUT_OFF,), Verdict.NOT_ARMED, (F.WORKER_CUT_OFF,)),
    ((F.WORKER_ELSEWHERE,), Verdict.NOT_ARMED, (F.WORKER_ELSEWHERE,)),
    ((F.WATCHDOG_ELSEWHERE,), Verdict.NOT_ARMED, (F.WATCHDOG_ELSEWHERE,)),
    ((F.BROKER_GONE, F.WATCHDOG_ELSEWHERE), Verdict.NOT_ARMED, (F.BROKER_GONE, F.WATCHDOG_ELSEWHERE)),
    ((F.REDIS_GONE, F.WATCHDOG_ELSEWHERE), Verdict.NOT_ARMED, (F.WATCHDOG_ELSEWHERE, F.REDIS_GONE)),
    ((F.BROKER_GONE, F.WORKER_CUT_OFF, F.WATCHDOG_CUT_OFF), Verdict.NOT_ARMED, (F.BROKER_GONE,)),
    ((F.BROKER_GONE, F.REDIS_GONE), Verdict.NOT_ARMED, (F.BROKER_GONE, F.REDIS_GONE)),
    # --- a fault beside the way
    ((F.TRAIL_BROKEN,), Verdict.FLAWED, (F.TRAIL_BROKEN,)),
    ((F.BOOK_OLD, F.DISK_LOW, F.CLOCK_OFF), Verdict.FLAWED, (F.DISK_LOW, F.BOOK_OLD, F.CLOCK_OFF)),
    ((F.TRAIL_BROKEN, F.WORKER_GONE), Verdict.SLOWER, (F.WORKER_GONE, F.TRAIL_BROKEN)),
]


def standing(*faults: Fault) -> dict[Part, Fault | None]:
    found = {fault.value.part: fault for fault in faults}
    assert len(found) == len(faults), "a part has one fault at a time"
    return {**WELL, **found}


class TestJudge:
    @pytest.mark.parametrize(("faults", "verdict", "told"), TOGETHER)
    def test_says_what_it_comes_to_and_what_is_told(
        self, faults: tuple[Fault, ...], verdict: Verdict, told: tuple[Fault, ...]
    ) -> None:
        judged = judge(standing(*faults))
        assert (judged.verdict, judged.faults) == (verdict, told)

    @pytest.mark.parametrize("fault", OF_A_PART)
    def test_comes_to_the_faults_own_verdict_where_it_is_alone(self, fault: Fault) -> None:
        assert judge(standing(fault)).verdict == fault.verdict

    @pytest.mark.parametrize("part", WELL)
    def test_does_not_take_a_part_for_well_that_was_not_checked(self, part: Part) -> None:
        judged = judge({other: None for other in WELL if other != part})
        is_vital = part in (Part.BROKER, Part.WORKER, Part.WATCHDOG, Part.DATABASE)
        assert judged.verdict == (Verdict.NOT_KNOWN if is_vital else Verdict.FLAWED)

    def test_knows_nothing_where_nothing_was_checked(self) -> None:
        assert judge({}).verdict == Verdict.NOT_KNOWN

    def test_says_once_that_the_broker_does_not_answer(self) -> None:
        found = standing(Fault.BROKER_GONE) | {Part.ACCOUNTS: Fault.UNCHECKED, Part.CLOCK: Fault.UNCHECKED}
        assert judge(found).faults == (Fault.BROKER_GONE,)

    def test_says_of_another_part_that_it_was_not_checked(self) -> None:
        found = standing(Fault.BROKER_GONE) | {Part.ACCOUNTS: Fault.UNCHECKED, Part.TRAIL: Fault.UNCHECKED}
        assert judge(found).faults == (Fault.BROKER_GONE, Fault.UNCHECKED)

    def test_never_gets_better_by_one_more_fault(self) -> None:
        for one, other in itertools.permutations(OF_A_PART, 2):
            if one.value.part != other.value.part:
                both = judge(standing(one, other)).verdict
                assert both.badness >= max(one.verdict, other.verdict, key=lambda each: each.badness).badness or (
                    # The broker does not answer anybody: that a worker is cut off, too, is the same.
                    {one, other} & {Fault.WORKER_CUT_OFF, Fault.WATCHDOG_CUT_OFF}
                )

    def test_is_armed_only_while_a_way_is_left(self) -> None:
        """Every combination of what happens to the two ways, without asking the rule how."""
        redis, worker = (None, Fault.REDIS_GONE), (None, Fault.WORKER_GONE, Fault.WORKER_SLOW, Fault.WORKER_STUCK)
        watchdog = (None, Fault.WATCHDOG_GONE, Fault.WATCHDOG_CUT_OFF, Fault.WATCHDOG_STUCK)
        for r, w, d in itertools.product(redis, worker, watchdog):
            by_queue = r is None and w not in (Fault.WORKER_GONE, Fault.WORKER_STUCK)
            judged = judge({**WELL, Part.REDIS: r, Part.WORKER: w, Part.WATCHDOG: d})
            assert judged.verdict.is_armed is (by_queue or d is None)


class TestWords:
    def test_are_there_for_every_part_and_fault(self) -> None:
        assert set(CHECKED) == set(Part)
        assert all(fault.value.says.endswith(".") and fault.value.do.endswith(".") for fault in Fault)

    def test_have_a_tone_for_every_verdict(self) -> None:
        assert [verdict.tone for verdict in Verdict] == ["green", "amber", "amber", "amber", "red", "red"]

    def test_name_the_command_of_the_page_for_three_in_the_morning(self) -> None:
        from tests.conftest import ROOT

        line = BREAK_GLASS.removesuffix('""')
        assert line in (ROOT / "docs/break-glass.md").read_text()
