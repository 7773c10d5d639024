"""One soak from start to verdict."""

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from .chaos import BrokerChaos, ProcessChaos
from .evidence import Evidence, LogReader, gather
from .judge import Verdict, judge
from .presser import Person, Press, Presser
from .report import figures, table
from .stack import SETTINGS, SoakFailed, Stack

# Everything has ended by then: no sweep goes on for longer, and a lease is taken over within seconds.
END_WITHIN = float(SETTINGS["KILL_LIMIT_SECONDS"]) + 120.0
LAST_KILL_WITHIN = 60.0
TELL_EVERY = 5.0  # seconds
READ_EVERY = 10.0
DESK = ("desk", "desk2")
WORTH_COUNTING = ("is lost", "nobody works on all of it", "the database does not answer", "Traceback")
# What the product says when something happened that nobody thought of.
UNEXPECTED = ("broke off", "could not be written", "could not be taken up", "could not look", "never retrieved")


class Soak:
    """Owns everything that is started. Call `end` whatever happens."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self._asked = asked
        self._folder = folder
        self._started = time.monotonic()
        self._diary: TextIO = (folder / "soak.log").open("w")
        url = asked.postgres or f"sqlite:///{folder / 'soak.sqlite3'}"
        self._stack = Stack(folder, url, self._simulator_arguments())
        self._people: list[Person] = []
        self._told_at = self._read_at = 0.0

    def _simulator_arguments(self) -> list[str]:
        asked = self._asked
        size = ["--accounts", str(asked.accounts), "--orders", str(asked.orders), "--seed", str(asked.seed)]
        return [*size, "--cancel-ms", "150", "--latency-ms", "5", "--page-size-max", "50"]

    def run(self) -> int:
        """Soak and judge. Return the exit code. Raises SoakFailed."""
        self._prepare()
        self._go_through_chaos()
        self._come_to_rest()
        self._press_a_last_time()
        found = gather(self._presser.presses, self._accounts, self._log, self._stack.control)
        return self._tell(found, [*judge(found), *self._verdicts_of_our_own(found)])

    def end(self) -> None:
        """End every process."""
        for person in self._people:
            person.close()
        self._stack.end()
        self._diary.close()

    # --- the way

    def _prepare(self) -> None:
        self._stack.start()
        import django

        django.setup()
        if _count_kills():
            raise SoakFailed("there are kills in this database: give an empty one")
        self._log = LogReader(self._stack.control)
        self._accounts = [int(number) for number in self._stack.control.summary()["open_by_account"]]
        self._people = [Person(self._stack.address, name) for name in DESK]
        rng: Callable[[], random.Random] = lambda: random.Random(self._asked.random.random())  # noqa: E731
        self._processes = ProcessChaos(self._stack, rng(), self._say)
        self._broker = BrokerChaos(self._stack.control, rng(), self._say, self._accounts)
        self._presser = Presser(self._people, self._stack.control, self._accounts, rng(), self._say)

    def _go_through_chaos(self) -> None:
        self._broker.start()
        self._presser.start()
        until = time.monotonic() + self._asked.minutes * 60
        while time.monotonic() < until:
            self._tick("chaos")

    def _come_to_rest(self) -> None:
        """Let everything be well, and wait until every kill has ended."""
        self._presser.stop()
        self._broker.stop()
        # Whoever is frozen must be let go while presses are still on their way: it may keep the database locked.
        while self._presser.is_alive() or self._broker.is_alive():
            self._tick("the last presses", strikes=False)
        until = time.monotonic() + END_WITHIN
        while not self._processes.is_calm or (_count_running() and time.monotonic() < until):
            self._tick("coming to rest", strikes=False)

    def _press_a_last_time(self) -> None:
        """With nothing wrong any more, one kill must take away everything."""
        self._last = Press(DESK[0], kind="the last one")
        presser = Presser(self._people, self._stack.control, self._accounts, random.Random(0), self._say)
        presser.presses = self._presser.presses
        (pressed,) = presser.press(self._last)
        while not pressed.done():
            self._tick("the last kill", strikes=False)
        until = time.monotonic() + LAST_KILL_WITHIN
        while _count_running() and time.monotonic() < until:
            self._tick("the last kill", strikes=False)

    def _tick(self, phase: str, *, strikes: bool = True) -> None:
        time.sleep(0.1)
        self._processes.tick(strikes=strikes)
        self._check_threads()
        now = time.monotonic()
        if now - self._told_at > TELL_EVERY:
            self._told_at = now
            self._stack.measure()
            print(self._progress(phase), flush=True)
        if now - self._read_at > READ_EVERY:
            self._read_at = now
            self._log.read()

    def _check_threads(self) -> None:
        for part in (self._broker, self._presser):
            if part.error is not None:
                raise SoakFailed(f"the {part.name} broke: {part.error!r}") from part.error

    def _progress(self, phase: str) -> str:
        summary = self._stack.control.summary()
        seconds = time.monotonic() - self._started
        return (
            f"{seconds:5.0f} s  {phase}: {len(self._presser.presses)} presses, {_count_running()} kills running, "
            f"{summary['open']} orders open of {summary['orders']}, {summary['requests']} requests, "
            f"{self._processes.blows.total()} blows, {self._broker.added.total()} faults"
        )

    def _say(self, words: str) -> None:
        self._diary.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {words}\n")
        self._diary.flush()

    # --- the verdict

    def _verdicts_of_our_own(self, found: Evidence) -> list[Verdict]:
        refused = [
            f"{press.by} pressed ({press.kind}) and was only ever answered {press.answers}"
            for press in found.presses
            if not press.kill_ids
        ]
        unexpected = self._stack.count_in_logs(*UNEXPECTED)
        return [
            Verdict("presses not taken", refused),
            Verdict("processes that died", self._processes.died),
            Verdict("processes that stayed", self._processes.overstayed),
            Verdict("unexpected errors", [f"{count} × “{words}” in the logs" for words, count in unexpected.items()]),
            Verdict("released by the same", self._presser.released_by_the_same),
            Verdict("open after the last kill", self._left_open(found)),
        ]

    def _left_open(self, found: Evidence) -> list[str]:
        kill = next((kill for kill in found.kills if kill["idempotency_key"] == self._last.key), None)
        if kill is None or kill["state"] != "flat":
            return [f"the last kill is {kill['state'] if kill else 'not there'}"]
        open_by_account = self._stack.control.summary()["open_by_account"]
        return [f"account {number} has {count} open orders" for number, count in open_by_account.items() if count]

    def _tell(self, found: Evidence, verdicts: list[Verdict]) -> int:
        self._stack.measure()
        told = {**figures(found), **self._figures_of_our_own()}
        print("\n" + table(told, verdicts))
        is_well = not any(verdict.found for verdict in verdicts)
        file = self._folder / "figures.json"
        zeros = {verdict.name: verdict.found for verdict in verdicts}
        file.write_text(json.dumps({"is_well": is_well, **told, "must be zero": zeros}, indent=2))
        print(f"\n{'All is well' if is_well else 'NOT WELL'}: {file}", flush=True)
        if is_well and not self._asked.keep:
            for path in self._folder.glob("soak.sqlite3*"):
                path.unlink()
        return 0 if is_well else 1

    def _figures_of_our_own(self) -> dict[str, Any]:
        return {
            "run": {
                "seed": self._asked.seed,
                "minutes": self._asked.minutes,
                "accounts": self._asked.accounts,
                "orders of each": self._asked.orders,
                "database": "PostgreSQL" if self._asked.postgres else "SQLite",
            },
            "requests": {"all": self._log.requests, **dict(self._log.calls)},
            "processes": {
                "struck": dict(sorted(self._processes.blows.items())),
                "largest MB": {name: size // 2**20 for name, size in self._stack.rss().items()},
                "lines in logs": dict(self._stack.count_in_logs(*WORTH_COUNTING)),
            },
            "faults": {
                "added": self._broker.added.total(),
                "applied to requests": self._broker.applied.total(),
                "requests by fault": dict(sorted((+self._broker.applied).items())),
            },
            "releases": dict(self._presser.releases),
        }


def _count_kills() -> int:
    from killswitch.kills.models import Kill

    return Kill.objects.count()


def _count_running() -> int:
    from killswitch.kills.models import Kill

    return Kill.objects.filter(ended_at=None).count()
