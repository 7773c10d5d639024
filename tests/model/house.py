"""The product in one process and in virtual time: its real core, recorder and client, and several workers of it."""

import importlib.util
import itertools
import random
import time
import uuid
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now
from django.utils import timezone

import killswitch.broker
from killswitch.audit.operations import Actor
from killswitch.broker import ClearStreet
from killswitch.kills import operations, watchdog
from killswitch.kills.decision import read_decision
from killswitch.kills.models import Kill, State
from killswitch.kills.operations import engage
from killswitch.kills.release import release
from tests.over_httpx import OverHttpx

from .judge import Judge
from .loop import PROCESS, START, Process, VirtualLoop
from .street import KEY, KILL, Street

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
ACCOUNTS = 3
# Between two looks of the watchdog, in seconds: the real one looks twice as often.
LOOK_EVERY = 1.0
# What a latched account may take to become quiet, where it can.
TO_BECOME_QUIET = 30.0
WORKERS = ("worker-1", "worker-2", "watchdog")
# Whoever reads a clock through one of these reads the model's.
READ_CLOCKS = (
    "killswitch.broker.client",
    "killswitch.kills.clock",
    "killswitch.simulator.log",
    "killswitch.simulator.population",
    "killswitch.simulator.wire",
)


class _Clock:
    """Stands in for the module `time`."""

    gmtime = staticmethod(time.gmtime)
    strftime = staticmethod(time.strftime)

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.time()

    def monotonic_ns(self) -> int:
        return round(self._loop.time() * 1_000_000_000)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self._loop.time() - START)

    def time(self) -> float:
        return self.now().timestamp()

    def time_ns(self) -> int:
        return round(self.time() * 1_000_000) * 1000


class Worker(Process):
    """One process of the product, on the loop that all share: its own client, and its own state of `carry_out`.

    `skew` is how far its machine's clock is ahead.
    """

    def __init__(self, house: "House", name: str, skew: timedelta) -> None:
        super().__init__(house.loop, name, house.after_write)
        self.skew = skew
        self.client = ClearStreet(api_key=KEY, base_url="http://street", transport=OverHttpx(house.street.exchange))
        self.carry_out: Any = _own_copy("killswitch.kills.carry_out")
        self.is_ending = False
        self._rung = house.rung

    def terminate(self) -> None:
        """Ask it to end, as SIGTERM does."""
        if not self.is_ending:
            self.is_ending = True
            self.call(self.carry_out.stop_all)
            Context().run(self.loop.call_later, self.carry_out.HAND_OVER_SECONDS, self.leave)

    @property
    def has_given_back(self) -> bool:
        return self.is_ending and not self.carry_out._under_way

    def leave(self) -> None:
        """End, and ring for what was given back."""
        if not self.is_dead and not self.is_frozen:
            self._rung += self.carry_out._to_ring_for
        self.die()


def _own_copy(name: str) -> ModuleType:
    """Load a module once more: what it keeps for its process is kept for one of the model's processes."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class House:
    """Everything between a press and the broker. The judge is told what happens."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.loop = VirtualLoop()
        self.clock = _Clock(self.loop)
        self.judge = Judge(self.clock.now)
        self.random = random.Random(0)
        self.workers: dict[str, Worker] = {}
        self.everybody: list[Worker] = []
        self.rung: list[uuid.UUID] = []
        self.skews: dict[str, timedelta] = {}
        self._numbers = itertools.count(1)
        self._move_in(patch)
        self.judge.street = self.street = self.loop.run_until_complete(self._open_street())

    async def _open_street(self) -> Street:
        return Street(self.loop, ACCOUNTS, self.judge)

    def after_write(self, process: Process) -> None:
        self.judge.something_was_written(process)

    def now(self) -> datetime:
        """Return the time as the clock of whoever asks has it."""
        process = PROCESS.get()
        return self.clock.now() + (process.skew if isinstance(process, Worker) else timedelta())

    def sql_now(self, _expression: Any, *_: Any, **__: Any) -> tuple[str, list[str]]:
        """Return the database's time, which is the true one.

        SQLite compares times as texts, so that 10 s is before 10.000 s: this one always has a fraction.
        """
        return "%s", [f"{self.clock.now():%Y-%m-%d %H:%M:%S.%f}"[:-3] + "001"]

    def new_uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    # --- what people and the queue do

    def press(self, values: dict[str, list[str]], known: list[int], actor: Actor) -> Kill:
        return engage(decision=read_decision(values), known_account_ids=known, actor=actor, now=self.now())

    def release(self, kill_id: uuid.UUID, actor: Actor) -> None:
        release(Kill.objects.get(id=kill_id), reason="model", actor=actor, now=self.now())
        self.judge.something_was_written(None)

    def worker(self, name: str) -> Worker:
        """Return a worker that takes messages: where the last one of that name is gone, it was restarted."""
        if name not in self.workers or self.workers[name].is_dead or self.workers[name].is_ending:
            self.workers[name] = Worker(self, f"{name}/{next(self._numbers)}", self.skews.get(name, timedelta()))
            self.everybody.append(self.workers[name])
        return self.workers[name]

    def deliver(self, kill_id: uuid.UUID, name: str) -> None:
        """Ring for a kill at one worker. A frozen one does not hear it now."""
        worker = self.worker(name)
        if worker.is_frozen:
            return
        held = self.judge.before_a_claim()
        token = KILL.set(kill_id)
        try:
            worker.call(lambda: worker.carry_out.begin(kill_id, who=name))
        finally:
            KILL.reset(token)
        self.judge.after_a_claim(worker, held)
        self.judge.something_was_written(worker)

    def deliver_what_rang(self) -> None:
        """Let those who are left hear of what was handed over."""
        for worker in self.everybody:
            if worker.has_given_back and not worker.is_dead:
                self.judge.a_process_leaves(worker)
                worker.leave()
        rung = dict.fromkeys(self.rung)
        self.rung.clear()
        for kill_id in rung:
            self.deliver(kill_id, WORKERS[1])

    def watchdog_looks(self) -> None:
        self.deliver_what_rang()
        if not self.worker("watchdog").is_frozen:
            watchdog.Watchdog()._look()

    def crash(self, name: str) -> None:
        if name in self.workers:
            self.workers[name].die()

    # --- the end

    def drive_to_the_end(self, seconds: float, another: Actor) -> None:
        """Let nothing break any more, and a watchdog look as it does, until every kill has ended.

        What is latched must first hold, and is then released by `another`.
        """
        self.everything_is_well()
        held = Kill.objects.filter(latched=True, released_at=None)
        self._let_pass(TO_BECOME_QUIET, lambda: held.exclude(state=State.LATCHED).exists())
        self._let_pass(seconds, lambda: held.filter(state=State.RUNNING).exists())
        self.judge.look_at_what_holds()
        for kill in held:
            self.release(kill.id, another)
        self._let_pass(seconds, lambda: Kill.objects.filter(ended_at=None).exists())
        # Late answers of whoever lost its lease.
        self.loop.tick(8)

    def close(self) -> None:
        for worker in self.everybody:
            worker.bury()
        self.loop.close()

    def _let_pass(self, seconds: float, condition: Callable[[], bool]) -> None:
        """Let time pass while `condition` holds, but not for longer than `seconds`."""
        end = self.loop.time() + seconds
        while condition() and self.loop.time() < end:
            self.watchdog_looks()
            self.loop.tick(LOOK_EVERY)

    def everything_is_well(self) -> None:
        """Let nothing break any more. What the venue does to cancels may stay as it is: that is not an error."""
        faults = self.street.faults.all
        for fault_id in [fault_id for fault_id, fault in faults.items() if fault.do.cancel is None]:
            del faults[fault_id]
        self.street.is_down = False
        for worker in self.everybody:
            worker.database_fails = 0
            worker.fate = None

    def _move_in(self, patch: pytest.MonkeyPatch) -> None:
        """Put the model's clocks, client and bell in place of the real ones."""
        for name in READ_CLOCKS:
            patch.setattr(import_module(name), "time", self.clock)
        patch.setattr(timezone, "now", self.now)
        patch.setattr(Now, "as_sqlite", lambda expression, *_, **__: self.sql_now(expression))
        patch.setattr(uuid, "uuid4", self.new_uuid)
        patch.setattr(killswitch.broker, "client", lambda: self._working().client)
        # All share the test's connection, which stays open.
        patch.setattr(BaseDatabaseWrapper, "close", lambda connection: None)
        patch.setattr(killswitch.broker, "start", self._start)
        patch.setattr(operations, "ring", lambda kill_id: True)
        patch.setattr(watchdog, "begin", lambda kill_id, who: self.deliver(kill_id, who))

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._working().start(coroutine)

    def _working(self) -> Worker:
        process = PROCESS.get()
        assert isinstance(process, Worker)
        return process
