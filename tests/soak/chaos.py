"""What goes wrong during a soak: processes that are killed, frozen and ended, and a broker that misbehaves."""

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from killswitch.simulator.process import Control, Refused

from .stack import END_SECONDS, Part, Stack

# Of whom something is taken away; the rest of the house has to stay for a press to arrive at all.
VICTIMS = ("worker-1", "worker-2", "watchdog-1", "watchdog-2", "redis")
LEAST_LIFE = 2.0  # seconds between a start and the next blow, so that somebody works at times
BLOWS_EVERY = (1.0, 5.0)  # seconds
DOWN_FOR = (0.1, 6.0)
FROZEN_FOR = (0.5, 15.0)  # shorter and longer than a lease
MIXES = ((signal.SIGKILL, 5), (signal.SIGSTOP, 3), (signal.SIGTERM, 3))


@dataclass
class Plan:
    """What becomes of a part next, and when."""

    at: float
    do: Callable[[], None]


class ProcessChaos:
    """Strikes processes at random. Call `tick` often, from one thread."""

    def __init__(self, stack: Stack, rng: random.Random, say: Callable[[str], None]) -> None:
        self._stack = stack
        self._rng = rng
        self._say = say
        self._plans: dict[str, Plan] = {}
        self._ending: dict[str, float] = {}
        self._born = {name: time.monotonic() for name in VICTIMS}
        self._next = time.monotonic() + 2.0
        self.blows: Counter[str] = Counter()
        self.died: list[str] = []
        self.overstayed: list[str] = []

    def tick(self, *, strikes: bool = True) -> None:
        """Do what is due; with `strikes`, begin something new at times."""
        now = time.monotonic()
        for name, plan in list(self._plans.items()):
            if plan.at <= now:
                del self._plans[name]
                plan.do()
        for name in list(self._ending):
            self._see_end(self._stack.parts[name], now)
        for part in self._stack.parts.values():
            if not part.is_alive and part.name not in self._plans and part.name not in self._ending:
                self.died.append(f"{part.name} ended by itself (exit code {part.exit_code}), see {part.log}")
                self._start(part)
        if strikes and now >= self._next:
            self._next = now + self._rng.uniform(*BLOWS_EVERY)
            self._strike(now)

    @property
    def is_calm(self) -> bool:
        """Say whether everything runs."""
        return not self._plans and not self._ending

    def _strike(self, now: float) -> None:
        free = [name for name in VICTIMS if name not in self._plans and name not in self._ending]
        free = [name for name in free if now - self._born[name] > LEAST_LIFE]
        if not free:
            return
        part = self._stack.parts[self._rng.choice(free)]
        kinds, weights = zip(*MIXES, strict=True)
        kind = self._rng.choices(kinds, weights)[0]
        part.measure()
        self.blows[f"{part.name.split('-')[0]} {kind.name}"] += 1
        self._say(f"{kind.name} to {part.name}")
        if kind == signal.SIGKILL:
            part.kill()
            self._plan(part, DOWN_FOR, lambda: self._start(part))
        elif kind == signal.SIGSTOP:
            part.signal(kind)
            self._plan(part, FROZEN_FOR, lambda: part.signal(signal.SIGCONT))
        else:
            part.signal(kind)
            self._ending[part.name] = now

    def _plan(self, part: Part, span: tuple[float, float], do: Callable[[], None]) -> None:
        self._plans[part.name] = Plan(time.monotonic() + self._rng.uniform(*span), do)

    def _see_end(self, part: Part, now: float) -> None:
        """Start a part anew that has ended as it was asked to, as a deploy does."""
        if part.is_alive and now - self._ending[part.name] < END_SECONDS:
            return
        if part.is_alive:
            self.overstayed.append(f"{part.name} did not end within {END_SECONDS:g} s of SIGTERM, see {part.log}")
            part.kill()
        del self._ending[part.name]
        self._start(part)

    def _start(self, part: Part) -> None:
        self._say(f"start {part.name}")
        part.start()
        self._born[part.name] = time.monotonic()


Match = dict[str, Any]
CANCELS = ["cancel_all", "cancel_one"]
READS = ["list_orders", "get_order", "executions"]
# What a fault does, which calls it is for, and how often it is chosen.
FAULTS: tuple[tuple[str, dict[str, Any], list[str], int], ...] = (
    ("429", {"status": 429}, [*CANCELS, *READS], 2),
    ("429 with Retry-After", {"status": 429, "retry_after": 2}, [*CANCELS, *READS], 2),
    ("429 with Retry-After 3600", {"status": 429, "retry_after": 3600}, CANCELS, 1),
    ("500", {"status": 500}, [*CANCELS, *READS], 2),
    ("500 after acting", {"status": 500, "act": True}, CANCELS, 2),
    ("403", {"status": 403}, CANCELS, 1),
    ("dropped before", {"drop": "before"}, [*CANCELS, *READS], 2),
    ("dropped after", {"drop": "after"}, CANCELS, 3),
    ("silent", {"silent": True}, CANCELS, 1),
    ("silent after acting", {"silent": True, "act": True}, CANCELS, 2),
    ("slow", {"delay_ms": 700}, [*CANCELS, *READS], 2),
    ("too slow", {"delay_ms": 3000}, CANCELS, 1),
    ("stuck", {"cancel": "stuck"}, CANCELS, 2),
    ("refuse", {"cancel": "refuse"}, CANCELS, 2),
    ("fill", {"cancel": "fill"}, CANCELS, 2),
    ("fill a part", {"cancel": "fill", "fill_quantity": "1"}, CANCELS, 2),
    ("half a body", {"body": "half"}, [*CANCELS, *READS], 2),
    ("HTML", {"body": "html"}, [*CANCELS, *READS], 1),
    ("empty body", {"body": "empty"}, [*CANCELS, *READS], 1),
    ("not JSON", {"body": "not_json"}, [*CANCELS, *READS], 1),
    ("error in a 200", {"error_in_200": {"code": 500, "message": "Internal"}, "act": True}, CANCELS, 1),
    ("closed when idle", {"close_idle": True}, [*CANCELS, *READS], 1),
    ("spares shorts", {"spare": ["SELL_SHORT"]}, ["cancel_all"], 1),
    ("orders arrive", {"arrive": 2}, [*CANCELS, "list_orders"], 2),
    ("a page fails", {"status": 500, "page": 2}, ["list_orders"], 2),
    ("no accounts", {"status": 500}, ["accounts"], 1),
)
FAULTS_AT_ONCE = 4
NEW_FAULT_EVERY = (0.3, 2.5)  # seconds
FAULT_LASTS = (0.5, 10.0)
CARRIED_OUT_AFTER = (2.0, 20.0)  # before and after a cancel is called stuck
LOOK_FOR_STUCK_EVERY = 3.0


class BrokerChaos(threading.Thread):
    """Adds faults to the simulator and removes them, lets orders flow, and carries stuck cancels out at last."""

    def __init__(self, control: Control, rng: random.Random, say: Callable[[str], None], accounts: list[int]) -> None:
        super().__init__(name="broker chaos", daemon=True)
        self._control = control
        self._rng = rng
        self._say = say
        self._accounts = accounts
        self._until: dict[str, float] = {}
        self._stuck: dict[str, float] = {}
        self._looked_at = 0.0
        self._stopping = threading.Event()
        self.added: Counter[str] = Counter()
        self.applied: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._flow()
            while not self._stopping.wait(self._rng.uniform(*NEW_FAULT_EVERY)):
                self._remove_due()
                if len(self._until) < FAULTS_AT_ONCE:
                    self._add()
                self._carry_out_stuck()
            self._make_well()
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """Add nothing more. Ends by itself when the broker is well again."""
        self._stopping.set()

    def _make_well(self) -> None:
        """Leave no faults, no flows, no order that waits for its cancel for ever."""
        for fault_id in list(self._until):
            self._remove(fault_id)
        self._control.flow()
        self._control.clear_faults()
        self._carry_out_stuck(all_of_them=True)

    def _flow(self) -> None:
        count = len(self._accounts)
        self._control.flow(arrivals_per_second=count * 0.15, fills_per_second=count * 0.08)

    def _add(self) -> None:
        name, do, calls, _ = self._rng.choices(FAULTS, [weight for *_, weight in FAULTS])[0]
        match: Match = {"call": self._rng.choice([calls, [self._rng.choice(calls)]])}
        do = dict(do)
        if "page" in do:
            match["page"] = do.pop("page")
        if self._rng.random() < 0.8 and calls != ["accounts"]:
            match["account_id"] = self._rng.sample(self._accounts, self._rng.randint(1, len(self._accounts)))
        # Without a bound on what arrives, looking would make more orders than a kill can take away.
        times = self._rng.choice([None if "arrive" not in do else 20, self._rng.randint(1, 50)])
        fault_id = self._control.add_fault(match=match, do=do, times=times)
        self._names[fault_id] = name
        self._until[fault_id] = time.monotonic() + self._rng.uniform(*FAULT_LASTS)
        self.added[name] += 1
        where = f"{len(match['account_id'])} accounts" if "account_id" in match else "all"
        self._say(f"fault: {name} on {', '.join(match['call'])} of {where}")

    def _remove_due(self) -> None:
        now = time.monotonic()
        for fault_id, until in list(self._until.items()):
            if until <= now:
                self._remove(fault_id)

    def _remove(self, fault_id: str) -> None:
        del self._until[fault_id]
        self._count_applied(fault_id)
        self._control.remove_fault(fault_id)

    def _count_applied(self, fault_id: str) -> None:
        for fault in self._control.faults():
            if fault["id"] == fault_id:
                self.applied[self._names[fault_id]] += fault["applied"]

    def _carry_out_stuck(self, *, all_of_them: bool = False) -> None:
        """Carry out cancels that nothing works on: a broker gets over it, too, sooner or later."""
        now = time.monotonic()
        if not all_of_them and now - self._looked_at < LOOK_FOR_STUCK_EVERY:
            return
        self._looked_at = now
        waiting = {order["id"] for order in self._control.book(open=True) if order["status"] == "PENDING_CANCEL"}
        for order_id in waiting - self._stuck.keys():
            self._stuck[order_id] = now + self._rng.uniform(*CARRIED_OUT_AFTER)
        for order_id, at in list(self._stuck.items()):
            if order_id not in waiting:
                del self._stuck[order_id]
            elif all_of_them or at <= now:
                with contextlib.suppress(Refused):
                    self._control.set_order(order_id, status="CANCELED", leaves_quantity="0")
