"""How long the server takes for the first page of every kind of search, and for a page far back."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.test import Client

from killswitch.access.roles import COMPLIANCE, give_role
from killswitch.audit.models import Entry, Kind
from killswitch.audit.queries import head

from .made_up import ACCOUNTS, EARLY_SYMBOL, PEOPLE, SYMBOLS

RUNS = 5
BOUND = 0.2  # seconds of server time
NOWHERE = "00000000-0000-4000-8000-000000000000"


def reader() -> Client:
    user, _ = User.objects.get_or_create(username="bench-reader")
    give_role(user, COMPLIANCE)
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return client


def searches() -> Iterator[dict[str, Any]]:
    """Yield each filter with a common value, a rare one, and one that is nowhere; alone and within a time."""
    last = head()
    middle = Entry.objects.filter(id__gt=last // 2, kind=Kind.ATTEMPT_ANSWERED).exclude(order_id="").order_by("id")[0]
    mass = Entry.objects.filter(id__gt=last // 2, kind=Kind.ORDER_ACCEPTED).order_by("id")[0]
    assert middle.kill_id and mass.request_id
    alone: list[dict[str, Any]] = [
        {"person": PEOPLE[0]},
        {"person": "nobody"},
        {"account": ACCOUNTS[0]},
        {"account": 7},
        {"symbol": SYMBOLS[0]},
        {"symbol": SYMBOLS[-1]},
        {"symbol": EARLY_SYMBOL},
        {"symbol": "NONE"},
        {"order": middle.order_id},
        {"order": middle.order_id, "replacements": "on", "sort": "oldest"},
        {"order": NOWHERE},
        {"client_order": middle.client_order_id},
        {"client_order": "none"},
        {"request": mass.request_id},
        {"request": "none"},
        {"kill": str(middle.kill_id)},
        {"kill": str(middle.kill_id)[:8]},
        {"kill": NOWHERE},
        {"attempt": str(mass.attempt_id)},
        {"attempt": NOWHERE},
        {"kind": "order.ended"},
        {"kind": "journal.imported"},
        {"kind": "drill.scheduled"},
        {"outcome": "canceled"},
        {"outcome": "stuck"},
        {"outcome": "not_found"},
    ]
    yield {}
    yield {"sort": "oldest"}
    yield {"before": last // 2}
    for text in (middle.order_id, SYMBOLS[0], PEOPLE[0], "nothing of that name"):
        yield {"q": text}
    yield from alone
    first_at = Entry.objects.order_by("id")[0].at
    last_at = Entry.objects.order_by("-id")[0].at
    early = {"since": f"{first_at:%Y-%m-%d}", "until": f"{first_at + timedelta(days=1):%Y-%m-%d}"}
    week = {"since": f"{middle.at:%Y-%m-%d}", "until": f"{middle.at + timedelta(days=7):%Y-%m-%d}"}
    always = {"since": f"{first_at:%Y-%m-%d}", "until": f"{last_at:%Y-%m-%d}"}
    nowhere = {"since": "2035-01-01"}
    for span in (early, week, always, nowhere, {"since": week["since"], "until": f"{middle.at:%Y-%m-%d %H:%M:%S}"}):
        yield span
    for span in (early, week, always):
        for search in alone:
            yield {**search, **span}
    for search in alone:
        yield {**search, "before": last // 3}
    yield {"symbol": SYMBOLS[0], "outcome": "stuck"}
    yield {"kind": "order.ended", "account": ACCOUNTS[0], "symbol": SYMBOLS[0]}
    yield {"kind": "attempt.announced", "outcome": "canceled"}


@dataclass(frozen=True, order=True)
class Measured:
    """Seconds of server time for one page. Where others use the machine as well, the best says most."""

    median: float
    best: float
    worst: float
    computing: float  # of the best: what this process itself computed, the database of SQLite included
    found: int
    search: str

    def __str__(self) -> str:
        times = " ".join(f"{seconds * 1000:8.1f}" for seconds in (self.median, self.best, self.worst, self.computing))
        return f"{' ' if self.median < BOUND else '!'} {times} ms {self.found:4} found  {self.search}"


def measure() -> list[Measured]:
    """Ask for every page RUNS times, the slowest first."""
    client, measured = reader(), []
    client.get("/audit/")
    for search in searches():
        address = f"/audit/?{urlencode(search)}"
        times: list[tuple[float, float]] = []
        for _ in range(RUNS):
            began, computed = time.perf_counter(), time.process_time()
            response = client.get(address)
            times.append((time.perf_counter() - began, time.process_time() - computed))
            assert response.status_code == 200, (address, response.status_code)
        found = response.content.count(b'<th scope="row"')
        told = urlencode(search) or "(everything)"
        median = statistics.median(took for took, _ in times)
        measured.append(Measured(median, min(times)[0], max(times)[0], min(c for _, c in times), found, told))
    return sorted(measured, reverse=True)


def show(measured: list[Measured]) -> None:
    print(f"{head():,} entries; server time of one page: median of {RUNS}, best, worst, computing")
    for one in measured:
        print(one)
