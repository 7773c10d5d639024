"""What is measured, one row of the table each. Every figure is of runs side by side on the same stand-in broker.

`python -m tests.speed.races NAME DATABASE` measures one of them, and prints a line of JSON for each row.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.__main__ import set_up

if __name__ == "__main__":
    set_up(sys.argv[2], is_writing=False)

from killswitch.kills.models import Kill
from killswitch.simulator.process import SimulatorProcess
from tests.bench.pages import measure
from tests.nothing_secret import API_KEY

from . import tls
from .firm import CANCEL_ALL, CANCEL_ONE, Broker, Firm, firm
from .people import People
from .row import Row
from .standing import standing

RUNS = 5
PRESSES = 200
PREFIX = "vwap-bench-"


def bare(what: str, *given: Any, secure: tls.Tls | None = None) -> Any:
    """Measure without the product, in a process of its own."""
    command = [sys.executable, "-m", "tests.speed.bare", json.dumps([what, *given])]
    environment = os.environ | {"CLEAR_STREET_API_KEY": API_KEY}
    if secure is not None:
        environment["SSL_CERT_FILE"] = str(secure.certificate)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=600)
    return json.loads(done.stdout)


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def fill(running: Firm, accounts: list[int], count: int) -> None:
    for account in accounts:
        running.control.add_orders(account, count)


# --- the press


def first_delete(database: str) -> Iterator[Row]:
    """Press for one small account again and again, with the product warm."""
    with firm(database, Broker(accounts=20, orders=3, cancel=20)) as running:
        accounts = running.accounts()
        trips = bare("trips", running.stack.simulator.url, str(running.stack.redis_socket), PRESSES)
        # The stand-in broker's own latency is no part of a trip.
        trip = median(trips) - 0.05
        times = [_first(running, accounts[number % 20]) for number in range(PRESSES + 5)][5:]
    yield _within("press to first DELETE, median of 200", median(times), "a Redis and an HTTP round trip", trip, 0.025)
    worst = percentile(trips, 0.99) - 0.05
    yield _within("the same, 99th percentile", percentile(times, 0.99), "the same", worst, 0.060)


def _first(running: Firm, account: int) -> float:
    running.control.add_orders(account, 1)
    running.control.clear_log()
    press = running.press(account=[account])
    running.ended(press)
    return running.arrivals(press, CANCEL_ALL)[0]


def _within(what: str, ours: float, against: str, theirs: float, more: float) -> Row:
    return Row(what, ours * 1000, against, theirs * 1000, f"+ {more * 1000:.0f} ms", ours <= theirs + more)


# --- all accounts


def mass(database: str, accounts: int, secure: tls.Tls | None = None) -> Iterator[Row]:
    """Press for all accounts; and the same mass cancels with nothing around them."""
    with firm(database, Broker(accounts=accounts, orders=20), secure) as running:
        known = running.accounts()
        ours, theirs, others = [], [], {"sdk_one_by_one": [], "sdk_threads": [], "sdk_async": []}
        url = running.stack.simulator.url
        for number in range(RUNS + 1):
            ours.append(_all(running, known))
            fill(running, known, 20)
            theirs.append(bare("mass", url, known, secure=secure))
            for name, times in others.items():
                if accounts == 200 and secure is None and number < (1 if name == "sdk_one_by_one" else RUNS):
                    fill(running, known, 20)
                    times.append(bare(name, url, known))
    ours = ours[1:]  # the first is not warm
    over = "" if secure is None else ", TLS"
    words = f"press to last mass cancel answered, {accounts:,} accounts{over}"
    took, base = median(ours), median(theirs)
    yield Row(words, took * 1000, f"bare aiohttp{over}", base * 1000, "1.5 x + 50 ms", took <= 1.5 * base + 0.05)
    for name, least in (("sdk_one_by_one", 20), ("sdk_threads", 3), ("sdk_async", 5)):
        if others[name]:
            theirs_ = median(others[name])
            said = {"sdk_one_by_one": "SDK, one by one", "sdk_threads": "SDK, 32 threads", "sdk_async": "SDK, async"}
            faster = theirs_ / took
            yield Row("the same", took * 1000, said[name], theirs_ * 1000, f"{least} x faster", faster >= least)


def _all(running: Firm, accounts: list[int]) -> float:
    if running.control.summary()["open"] < len(accounts) * 10:
        fill(running, accounts, 20)
    running.control.clear_log()
    press = running.press(all_accounts="on")
    state = running.ended(press)
    if state != "flat":
        raise RuntimeError(f"the kill ended {state}")
    return running.last_answer(press, CANCEL_ALL)


# --- single orders


def single(database: str, count: int) -> Iterator[Row]:
    """Press for the orders of one algorithm in one account: listed, announced and canceled one by one."""
    with firm(database, Broker(accounts=2 * RUNS + 2, orders=3)) as running:
        accounts, url, ours, theirs = iter(running.accounts()), running.stack.simulator.url, [], []
        # An account for each run: its list holds what was ended, too.
        for mine, other in zip(accounts, accounts, strict=True):
            _add_prefixed(running, mine, count)
            running.control.clear_log()
            press = running.press(account=[mine], client_order_id_prefix=PREFIX)
            running.ended(press)
            ours.append(running.last_answer(press, CANCEL_ONE))
            _add_prefixed(running, other, count)
            theirs.append(bare("single", url, other, PREFIX, 200))
    took, base = median(ours[1:]), median(theirs[1:])
    words = f"press to last of {count:,} single cancels answered"
    yield Row(words, took * 1000, "bare aiohttp, 200 connections", base * 1000, "1.5 x", took <= 1.5 * base)


def _add_prefixed(running: Firm, account: int, count: int) -> None:
    for number in range(count):
        order = {"client_order_id": f"{PREFIX}{time.monotonic_ns()}-{number}", "quantity": "100"}
        running.control.add_orders(account, order=order)


# --- lists


def listed(database: str) -> Iterator[Row]:
    """List 100,000 orders with our client and with the least that can be written. No product runs."""
    arguments = ["--accounts", "1", "--orders", "100000", "--ended", "0"]
    with SimulatorProcess(*arguments, api_key=API_KEY) as simulator:
        account = int(next(iter(simulator.control.summary()["open_by_account"])))
        both = [
            (bare("listed_by_us", simulator.url, account), bare("listed", simulator.url, account)) for _ in range(RUNS)
        ]
    for index, words, unit, scale in ((0, "list 100,000 orders", "ms", 1000), (1, "the same, memory", "MB", 1)):
        ours, theirs = (median(pair[index] for pair in side) for side in zip(*both, strict=True))
        yield Row(words, ours * scale, "aiohttp and msgspec", theirs * scale, "1.5 x", ours <= 1.5 * theirs, unit)


# --- what people see


def seen(database: str) -> Iterator[Row]:
    """Poll the page of a kill once a second, as a browser does, until it says flat."""
    with firm(database, Broker(accounts=20, orders=20)) as running:
        accounts = running.accounts()
        times = []
        for _ in range(RUNS + 1):
            fill(running, accounts, 20)
            press = running.press(all_accounts="on")
            times.append(_until_flat(running, press.kill_id, press.monotonic))
    least = 0.2 + 1
    took = median(times[1:])
    yield _within("press to flat on the page", took, "200 ms and one poll", least, 1.0)


def _until_flat(running: Firm, kill_id: str, pressed: float) -> float:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        page = running.http.get(f"/kills/{kill_id}/", headers={"HX-Request": "true"}).text
        if 'hx-trigger="every 1s"' not in page:  # it follows no more
            return time.monotonic() - pressed
        time.sleep(1)  # what is measured is a page that asks once a second
    raise RuntimeError("the page does not say that it is over")


def watched(database: str) -> Iterator[Row]:
    """Kill 200 accounts while 50 people follow it, and while one does."""
    with firm(database, Broker(accounts=200, orders=20)) as running:
        accounts = running.accounts()
        one, many = [], []
        for _ in range(RUNS):
            for people, times in ((1, one), (50, many)):
                fill(running, accounts, 20)
                running.control.clear_log()
                times.append(_followed(running, people))
    for index, words in ((0, "last mass cancel answered"), (1, "flat")):
        ours, theirs = median(pair[index] for pair in many), median(pair[index] for pair in one)
        yield Row(
            f"kill of 200 accounts, 50 people following: {words}",
            ours * 1000,
            "1 person",
            theirs * 1000,
            "1.3 x",
            ours <= 1.3 * theirs,
        )


def _followed(running: Firm, count: int) -> tuple[float, float]:
    """Let so many look at the desk, kill everything, and let them all follow that kill to its end."""
    with People(running.address, dict(running.http.cookies), count) as people:
        press = running.press(all_accounts="on")
        people.follow(press.kill_id)
        running.ended(press)
    ended_at = Kill.objects.get(id=press.kill_id).ended_at
    assert ended_at is not None
    return running.last_answer(press, CANCEL_ALL), ended_at.timestamp() - press.wall


def pages(database: str) -> Iterator[Row]:
    """Make the pages that are full in an incident. `python -m tests.bench pages` has more of them."""
    timed = {page.name: page for page in measure()}
    empty = timed["an empty page (/kills/)"].median
    for name in ("desk, 1,000 accounts", "10,000 orders, first screen, nothing kept"):
        took = timed[name].median
        yield Row(name, took * 1000, "an empty page", empty * 1000, "+ 100 ms", took <= empty + 0.1)


# --- without Redis


def without_redis(database: str) -> Iterator[Row]:
    with firm(database, Broker(accounts=20, orders=3)) as running:
        accounts = running.accounts()
        normal = [_first(running, accounts[number]) for number in range(RUNS)]
        running.redis.kill()
        times = [_first(running, accounts[number]) for number in range(RUNS)]
    yield Row(
        "press to first DELETE with Redis gone (watchdog)",
        median(times) * 1000,
        "the normal way",
        median(normal) * 1000,
        "3 s",
        median(times) <= 3,
    )


def over_tls(database: str) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield from mass(database, 200, tls.make(Path(folder)))


RACES: dict[str, Callable[[str], Iterator[Row]]] = {
    "first": first_delete,
    "50": lambda database: mass(database, 50),
    "200": lambda database: mass(database, 200),
    "500": lambda database: mass(database, 500),
    "1000": lambda database: mass(database, 1000),
    "tls": over_tls,
    "single1000": lambda database: single(database, 1000),
    "single5000": lambda database: single(database, 5000),
    "list": listed,
    "seen": seen,
    "pages": pages,
    "redis": without_redis,
    "watched": watched,
    "standing": standing,
}


if __name__ == "__main__":
    for row in RACES[sys.argv[1]](sys.argv[2]):
        print(json.dumps(asdict(row)), flush=True)
