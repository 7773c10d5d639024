"""A kill, whatever happens in whatever order: Hypothesis presses, delivers, kills processes and spoils the broker.

Everything of the product is real but the network, the clock and the queue. What must hold is in `judge`. By default
the same examples run every time; MODEL_EXAMPLES=5000 runs that many new ones.
"""

import os
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from killswitch.audit.models import Entry
from killswitch.audit.operations import Actor
from killswitch.kills.models import Kill, KilledOrder
from killswitch.kills.release import NotReleased, SamePerson
from killswitch.simulator.book import FIRST_ACCOUNT_ID
from killswitch.simulator.life import can_fill
from killswitch.simulator.shapes import Order

from .house import ACCOUNTS, LOOK_EVERY, WORKERS, House
from .loop import Fate, Process

Values = dict[str, list[str]]
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
STEPS = 40
MOST_KILLS = 4
# What a kill may take once nothing breaks any more, in seconds.
LONGEST_END = 150.0
DESK = Actor(id=1, name="desk", source="model")
DESK2 = Actor(id=2, name="desk2", source="model")


class How(NamedTuple):
    """How a kill is pressed: latched or a dry run, at which worker it rings, and what happens to that one."""

    mode: Values
    rings_at: str | None
    fate: Fate | None


ACCOUNT = st.integers(FIRST_ACCOUNT_ID, FIRST_ACCOUNT_ID + ACCOUNTS - 1)
WORKER = st.sampled_from(WORKERS)
MODE = st.sampled_from([{}, {}, {"latched": ["on"]}, {"latched": ["on"]}, {"dry_run": ["on"]}])
RINGS_AT = st.sampled_from([WORKERS[0], WORKERS[0], WORKERS[1], None])
# Where a worker dies or is frozen for longer than a lease lasts, as right after it has claimed.
POINT = st.sampled_from([*Process.POINTS, "statement", "written"])
FATE = (
    st.none()
    | st.just(Fate("written", 0, 15.0))
    | st.builds(
        Fate,
        point=POINT,
        number=st.integers(0, 6) | st.integers(0, 40),
        frozen_for=st.sampled_from([0.0, 0.0, 15.0]),
    )
)
HOW = st.builds(How, mode=MODE, rings_at=RINGS_AT, fate=FATE)
PICK = st.integers(0, 30)
SECONDS = st.sampled_from([0.01, 0.3, 3.0, 11.0])
# A request takes 5 ms, a write 2 ms, a cancel 60 ms.
AFTER = st.sampled_from([0.0, 0.003, 0.006, 0.01, 0.03, 0.07, 0.3, 1.0])
# An order is a kind of the simulator's population.
KINDS = st.sampled_from(
    [
        {},
        {"side": "SELL"},
        {"side": "SELL_SHORT", "status": "QUEUED"},
        {"side": "SELL", "status": "PARTIALLY_FILLED", "quantity": "300"},
        {"time_in_force": "GOOD_TILL_CANCEL", "status": "DONE_FOR_DAY"},
        {"queue_state": "AWAITING_RELEASE"},
        {"status": "HELD_BY_MARTIANS"},
        {"client_order_id": "rogue"},
    ]
)
WANTED = st.sampled_from(
    [
        {},
        {},
        {"side": ["SELL"]},
        {"instruments": ["TSLA"]},
        {"client_order_id_prefix": ["rogue"]},
        {"status": ["NEW"]},
    ]
)
# What the broker can do to a request, as the simulator's faults say it.
ANSWERS = [
    {"drop": "before"},
    {"drop": "after"},
    {"silent": True},
    {"silent": True, "act": True},
    {"delay_ms": 700},
    {"delay_ms": 6000},
    {"status": 500},
    {"status": 503, "act": True, "retry_after": 2},
    {"status": 429},
    {"status": 429, "retry_after": 1},
    {"status": 429, "retry_after": 5},
    {"status": 429, "retry_after": 3600},
    {"status": 401},
    {"status": 404},
    {"body": "html"},
    {"body": "half"},
    {"error_in_200": {"code": 500, "message": "sorry"}},
]
ENDINGS = [{"cancel": "stuck"}, {"cancel": "refuse"}, {"cancel": "fill"}, {"cancel": "fill", "fill_quantity": "1"}]
ON_CANCELS = [*ENDINGS, {"spare": ["SELL"]}, {"spare": ["BUY"]}, {"spare": ["AWAITING_RELEASE", "QUEUED"]}]
OFTEN = {"times": st.sampled_from([1, 1, 2, 6, None]), "skip": st.integers(0, 2)}
CALLS = ["any", "list_orders", "cancel_all", "cancel_one", "get_order", "accounts"]


def faults_at(calls: list[str], answers: list[dict[str, Any]], **match: Any) -> st.SearchStrategy[dict[str, Any]]:
    matches = [{"call": call, **match} for call in calls]
    return st.fixed_dictionaries({"do": st.sampled_from(answers), "match": st.sampled_from(matches), **OFTEN})


THROTTLES = [answer for answer in ANSWERS if answer.get("status") == 429]
FAULT = st.one_of(
    faults_at(CALLS, ANSWERS),
    faults_at(["any", "list_orders"], THROTTLES),
    faults_at(["accounts"], ANSWERS),
    faults_at(["list_orders"], ANSWERS, page=2),
    # Not for ever: each page of a list would make the list longer.
    faults_at(["cancel_all", "cancel_one", "list_orders"], [{"arrive": 1}]).filter(lambda fault: fault["times"]),
    faults_at(["cancel_all"], ON_CANCELS),
    faults_at(["cancel_one"], ENDINGS),
)


def step(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """Make a rule after which a little time passes and the judge looks."""

    def decorate(function: Callable[..., None]) -> Any:
        @wraps(function)
        def run(self: "Desk", after: float, **values: Any) -> None:
            function(self, **values)
            self.pass_time(after)

        return rule(after=AFTER, **strategies)(run)

    return decorate


class Desk(RuleBasedStateMachine):
    """Press, deliver, break, tick; at the end everything is well again and every kill must end."""

    counted: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        self.house = House(self.patch)
        self.street = self.house.street
        self.kills: list[uuid.UUID] = []
        self.pressed: list[tuple[Values, list[int]]] = []
        self.rogues = 0
        self.watchdog_lives = False
        self.next_look = 0.0

    @initialize(
        kinds=st.lists(st.tuples(ACCOUNT, KINDS), min_size=4, max_size=9),
        faults=st.lists(FAULT, max_size=3),
        venue=st.none() | st.none() | st.sampled_from(ENDINGS),
        wanted=WANTED,
        how=HOW,
        watchdog_lives=st.booleans(),
        hours_ahead=st.sampled_from([0, 0, 1, -1]),
    )
    def open_the_book(
        self,
        kinds: list[tuple[int, dict[str, Any]]],
        faults: list[dict[str, Any]],
        venue: dict[str, Any] | None,
        wanted: Values,
        how: How,
        watchdog_lives: bool,
        hours_ahead: int,
    ) -> None:
        self.house.skews[WORKERS[1]] = timedelta(hours=hours_ahead)
        for account_id, kind in kinds:
            self.add_order(account_id, kind)
        for fault in faults:
            self.street.faults.add(fault)
        if venue:
            self.venue_does(venue)
        self.watchdog_lives = watchdog_lives
        self.engage({"account": [str(kinds[0][0])], **wanted}, [], how)

    def add_order(self, account_id: int, kind: dict[str, Any]) -> None:
        self.rogues += 1
        named = {"client_order_id": f"rogue-{self.rogues}"} if "client_order_id" in kind else {}
        self.street.population.add(account_id, {"symbol": "TSLA", **kind, **named}, age_ns=0)

    def pass_time(self, seconds: float) -> None:
        self.house.judge.look()
        while seconds > 0:
            self.house.deliver_what_rang()
            if self.watchdog_lives and self.house.loop.time() >= self.next_look:
                self.next_look = self.house.loop.time() + LOOK_EVERY
                self.house.watchdog_looks()
            self.house.loop.tick(min(seconds, LOOK_EVERY))
            self.house.judge.look()
            seconds -= LOOK_EVERY
        Desk.counted["steps"] += 1

    # --- people

    @precondition(lambda self: len(self.kills) < MOST_KILLS)
    @step(account_ids=st.sets(ACCOUNT, min_size=1, max_size=ACCOUNTS), wanted=WANTED, how=HOW)
    def press(self, account_ids: set[int], wanted: Values, how: How) -> None:
        self.engage({"account": [str(each) for each in sorted(account_ids)], **wanted}, [], how)

    @precondition(lambda self: len(self.kills) < MOST_KILLS)
    @step(known=st.sets(ACCOUNT, max_size=2), wanted=WANTED, how=HOW)
    def press_for_all_accounts(self, known: set[int], wanted: Values, how: How) -> None:
        self.engage({"all_accounts": ["on"], **wanted}, sorted(known), how)

    @precondition(lambda self: len(self.kills) < MOST_KILLS)
    @step(picks=st.lists(PICK, min_size=1, max_size=3), how=HOW)
    def press_for_single_orders(self, picks: list[int], how: How) -> None:
        order = self.any_order(picks[0])
        ids = [order.id, *(self.any_order(pick).id for pick in picks[1:])]
        # Nothing that arrives is meant by single orders, so they cannot be latched.
        mode = {} if "latched" in how.mode else how.mode
        self.engage({"account": [str(order.account_id)], "order_id": ids}, [], how._replace(mode=mode))

    def engage(self, values: Values, known: list[int], how: How) -> None:
        values = {**values, **how.mode, "idempotency_key": [str(self.house.new_uuid())], "reason": ["model"]}
        self.kills.append(self.house.press(values, known, DESK).id)
        self.pressed.append((values, known))
        if how.rings_at is not None:
            if how.fate is not None:
                self.house.worker(how.rings_at).fate = how.fate
            self.house.deliver(self.kills[-1], how.rings_at)

    @step(pick=PICK)
    def press_again(self, pick: int) -> None:
        """The same form once more: a double click, or a retry of the browser."""
        number = pick % len(self.kills)
        assert self.house.press(*self.pressed[number], DESK).id == self.kills[number]

    @step(pick=PICK, who=st.sampled_from([DESK, DESK2]))
    def release(self, pick: int, who: Actor) -> None:
        kill = Kill.objects.get(id=self.kills[pick % len(self.kills)])
        may = kill.is_held and who is DESK2
        try:
            self.house.release(kill.id, who)
        except NotReleased as refusal:
            assert not may, refusal
            assert isinstance(refusal, SamePerson) == (kill.is_held and who is DESK)
        else:
            assert may, f"{who.name} released what was not to be released"

    # --- the queue and the processes

    @step(pick=PICK, worker=WORKER)
    def deliver(self, pick: int, worker: str) -> None:
        self.house.deliver(self.kills[pick % len(self.kills)], worker)

    @step(pick=PICK)
    def deliver_twice(self, pick: int) -> None:
        for worker in WORKERS[:2]:
            self.house.deliver(self.kills[pick % len(self.kills)], worker)

    @step()
    def the_watchdog_looks(self) -> None:
        self.house.watchdog_looks()

    @step(worker=WORKER)
    def crash(self, worker: str) -> None:
        self.house.crash(worker)

    @step(worker=WORKER)
    def deploy(self, worker: str) -> None:
        """Tell a worker to end; the next message starts another."""
        self.house.worker(worker).terminate()

    @step(worker=WORKER, fate=FATE)
    def something_will_happen(self, worker: str, fate: Fate | None) -> None:
        self.house.worker(worker).fate = fate

    @step(worker=WORKER, seconds=SECONDS)
    def freeze(self, worker: str, seconds: float) -> None:
        self.house.worker(worker).freeze(seconds)

    @step(worker=WORKER, times=st.sampled_from([1, 3, 60]))
    def the_database_fails(self, worker: str, times: int) -> None:
        self.house.worker(worker).database_fails = times

    @step(seconds=st.sampled_from([0.5, 3.0, 11.0]))
    def tick(self, seconds: float) -> None:
        self.pass_time(seconds)

    # --- the broker

    @step(account_id=ACCOUNT, kind=KINDS)
    def arrive(self, account_id: int, kind: dict[str, Any]) -> None:
        self.add_order(account_id, kind)

    @step(pick=PICK, in_part=st.booleans())
    def fill(self, pick: int, in_part: bool) -> None:
        for order in filter(can_fill, self.exposed(pick)):
            part = "1" if in_part and order.leaves_quantity != "1" else None
            self.street.outside(self.street.life.fill, order, part)

    @step(pick=PICK, answers_for_both=st.booleans())
    def replace(self, pick: int, answers_for_both: bool) -> None:
        for order in self.exposed(pick):
            self.street.replace(order, answers_for_both=answers_for_both)

    @step(pick=PICK, status=st.sampled_from(["REJECTED", "EXPIRED"]))
    def end_otherwise(self, pick: int, status: str) -> None:
        for order in self.exposed(pick):
            self.street.end(order, status)

    @step(fault=FAULT)
    def fault(self, fault: dict[str, Any]) -> None:
        self.street.faults.add(fault)

    @step(do=st.sampled_from(ENDINGS))
    def the_venue_does_not_cancel(self, do: dict[str, Any]) -> None:
        self.street.faults.all.clear()
        self.venue_does(do)

    def venue_does(self, do: dict[str, Any]) -> None:
        """Decide what becomes of every cancel that the broker accepts from now on."""
        self.street.faults.add({"do": do, "match": {"call": ["cancel_all", "cancel_one"]}})

    @step(is_down=st.booleans())
    def the_broker_goes_down(self, is_down: bool) -> None:
        self.street.is_down = is_down

    @step()
    def unstick(self) -> None:
        self.street.unstick()

    @step()
    def the_broker_is_well(self) -> None:
        self.street.faults.all.clear()
        self.street.is_down = False

    def exposed(self, pick: int) -> list[Order]:
        """Return one open order, or none: of those that a kill is after, as long as there are some."""
        touched = set(KilledOrder.objects.filter(sweep__ended_at=None).values_list("order_id", flat=True))
        opened = self.street.open_orders()
        found = [order for order in opened if order.id in touched] or opened
        return found[pick % len(found) :][:1] if found else []

    def any_order(self, pick: int) -> Order:
        orders = list(self.street.book.orders.values())
        return orders[pick % len(orders)]

    def count_up(self) -> None:
        counted = Desk.counted
        counted["kills"] += len(self.kills)
        counted["requests"] += len(self.street.requests)
        counted["died"] += sum(worker.is_dead for worker in self.house.everybody)
        for request in self.street.requests:
            counted[request.call] += 1
        for kind in ("sweep.taken_over", "attempt.unanswered"):
            counted[kind] += Entry.objects.filter(kind=kind).count()
        for state in Kill.objects.values_list("state", flat=True):
            counted["kill " + state] += 1
        for outcome in KilledOrder.objects.values_list("outcome", flat=True):
            counted["order " + outcome] += 1

    # --- the end

    def teardown(self) -> None:
        try:
            self.house.drive_to_the_end(LONGEST_END, DESK2)
            self.house.judge.look_at_the_end(self.kills)
            self.count_up()
        finally:
            self.house.close()
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)
            self.patch.undo()


def profile() -> settings:
    return settings(
        max_examples=EXAMPLES or 140,
        stateful_step_count=STEPS,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=True,
        phases=[Phase.generate] if os.environ.get("MODEL_SHRINK") == "off" else [Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.django_db
def test_whatever_happens_a_kill_ends_and_tells_the_truth(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.KILL_PATIENCE_SECONDS = 12.0
    settings.KILL_LIMIT_SECONDS = 60.0
    settings.KILL_STUCK_SECONDS = 6.0
    Desk.counted.clear()
    try:
        run_state_machine_as_test(Desk, settings=profile())
    finally:
        with capsys.disabled():
            print("\n" + ", ".join(f"{count} {name}" for name, count in Desk.counted.most_common()))
