"""`make demo` as another program drives it: log in, kill in four ways, and hold the broker's log against the record."""

import errno
import http.cookiejar
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from killswitch.demo.__main__ import taken_port

from .conftest import ROOT, wait_for

CALLS = {"cancel_all": "cancel_all_open_orders", "cancel_one": "cancel_open_order"}
ENDS = {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "REPLACED"}


class Demo:
    """A running demo."""

    def __init__(self, folder: Path, runaway_after: str = "off") -> None:
        self.folder = folder
        options = {"DEMO_RUNAWAY_AFTER": runaway_after}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CLEAR_STREET")}
        with (folder / "out").open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "killswitch.demo"],
                cwd=ROOT,
                env={**outside, **options, "DEMO_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "killswitch.settings"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        told = folder / "demo.json"
        wait_for(lambda: told.exists() or self.process.poll() is not None, "demo.json", 90)
        assert self.process.poll() is None, (folder / "out").read_text()
        self.told: dict[str, Any] = json.loads(told.read_text())
        self.simulator = re.search(r"http://\S+", (folder / "logs" / "simulator.log").read_text()).group()  # type: ignore[union-attr]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def of_simulator(self, path: str) -> Any:
        with urllib.request.urlopen(self.simulator + path, timeout=20) as response:
            return json.load(response)

    def open_orders(self, account_id: int) -> list[dict[str, Any]]:
        orders = self.of_simulator(f"/_sim/book?account_id={account_id}")["orders"]
        return [order for order in orders if order["status"] not in ENDS]


class Person:
    """Somebody with a browser's cookies and no browser."""

    def __init__(self, demo: Demo, name: str) -> None:
        self._url = demo.told["url"].rstrip("/")
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        self.get("/login/")
        self.post("/login/", username=name, password=demo.told["users"][name])

    def get(self, path: str) -> str:
        with self._opener.open(self._url + path, timeout=20) as response:
            return str(response.read(), "utf-8")

    def post(self, path: str, **fields: Any) -> str:
        """Post a form and return the address where it led."""
        token = next(cookie.value for cookie in self._cookies if cookie.name == "csrftoken")
        form = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}, doseq=True).encode()
        with self._opener.open(self._url + path, form, timeout=20) as response:
            return str(response.geturl()).removeprefix(self._url)

    def kill(self, **fields: Any) -> dict[str, Any]:
        path = self.post("/kills/", idempotency_key=uuid.uuid4(), reason="a drill", **fields)
        return dict(
            wait_for(
                lambda: kill if (kill := json.loads(self.get(f"{path[:-1]}.json")))["state"] != "running" else None,
                "an end",
                60,
            )
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    demo.stop()


def test_the_desk_kills_a_part_an_order_an_account_and_everything(demo: Demo) -> None:
    desk = Person(demo, "desk")
    first, second, third = (19816 + number for number in range(3))
    demo_quiet(demo)
    part = desk.kill(account=first, side="BUY")
    assert (part["state"], part["engaged_by"]) == ("flat", "desk")
    assert {order["side"] for order in demo.open_orders(first)} == {"SELL", "SELL_SHORT"}
    order = demo.open_orders(second)[0]["id"]
    one = desk.kill(account=second, order_id=order)
    assert (one["state"], one["outcomes"]) == ("flat", {"canceled": 1})
    assert desk.kill(account=[third])["state"] == "flat"
    assert demo.open_orders(third) == []
    everything = desk.kill(all_accounts="on")
    assert (everything["state"], len(everything["sweeps"])) == ("flat", 8)
    assert all(demo.open_orders(sweep["account_id"]) == [] for sweep in everything["sweeps"])
    check_agreement(demo)


def demo_quiet(demo: Demo) -> None:
    """Let no order arrive or fill by itself, so that every outcome can be checked."""
    body = json.dumps({"arrivals_per_second": 0, "fills_per_second": 0}).encode()
    request = urllib.request.Request(f"{demo.simulator}/_sim/flow", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def check_agreement(demo: Demo) -> None:
    """Request for request and order for order, from the database file itself."""
    log = demo.of_simulator("/_sim/log")["requests"]
    arrived = [r for r in log if r["call"] in CALLS]
    database = sqlite3.connect(f"file:{demo.folder}/killswitch.sqlite3?mode=ro", uri=True)
    announced = database.execute(
        "SELECT json_extract(data, '$.call'), account_id, order_id FROM audit_entry WHERE kind = 'attempt.announced'"
    ).fetchall()
    assert Counter((CALLS[r["call"]], r["account_id"], r["order_id"] or "") for r in arrived) == Counter(announced)
    answers = database.execute("SELECT request_id FROM audit_entry WHERE kind = 'attempt.answered'").fetchall()
    assert Counter(r["request_id"] for r in arrived) == Counter(request_id for (request_id,) in answers)
    book = {order["id"]: order["status"] for order in demo.of_simulator("/_sim/book")["orders"]}
    ended = database.execute("SELECT order_id, broker_status FROM audit_entry WHERE kind = 'order.ended'").fetchall()
    assert len(ended) > 100
    assert {order_id: book[order_id] for order_id, _ in ended} == dict(ended)
    database.close()


def test_the_end_of_a_kill_is_anchored(demo: Demo) -> None:
    Person(demo, "desk").kill(account=19816, dry_run="on")
    database = sqlite3.connect(f"file:{demo.folder}/killswitch.sqlite3?mode=ro", uri=True)
    [(end, own_hash)] = database.execute("SELECT max(id), hash FROM audit_entry WHERE kind = 'kill.ended'").fetchall()
    database.close()
    file = demo.folder / "anchors.jsonl"
    last = wait_for(lambda: told if (told := last_line(file)).get("sequence", 0) >= end else None, "the anchor")
    assert last["sequence"] > end or last["hash"] == own_hash
    page = Person(demo, "compliance").get("/audit/")
    assert f"<dt>Copy at file {file}</dt>" in page
    assert "ANCHORS" not in page


def last_line(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text().splitlines()[-1])) if file.exists() else {}


def test_only_the_desk_may_kill(demo: Demo) -> None:
    for name in ("compliance", "admin"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            Person(demo, name).kill(account=19816)


def test_all_ends_on_sigterm_and_starts_again_on_the_same_data(tmp_path: Path) -> None:
    first = Demo(tmp_path)
    assert set(first.told["processes"]) == {
        "redis",
        "simulator",
        "worker",
        "beat",
        "watchdog",
        "notary",
        "lookout",
        "teller",
        "web",
    }
    kill = Person(first, "desk2").kill(account=19816)
    os.kill(first.told["processes"]["web"], signal.SIGTERM)
    wait_for(lambda: is_refused(first.told["url"]), "the port of a web process that is gone to be closed")
    assert first.stop() == 0
    assert not (tmp_path / "demo.json").exists()
    assert [pid for pid in first.told["processes"].values() if is_alive(pid)] == []
    second = Demo(tmp_path)
    try:
        again = json.loads(Person(second, "compliance").get(f"/kills/{kill['id']}.json"))
        assert again == kill
    finally:
        second.stop()


def test_two_demos_that_start_at_once_take_two_ports() -> None:
    with taken_port() as first, taken_port() as second:
        assert first.getsockname()[1] != second.getsockname()[1]


def is_refused(url: str) -> bool:
    address = urllib.parse.urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((str(address.hostname), int(address.port or 0))) == errno.ECONNREFUSED


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_algorithm_runs_away_and_is_killed_by_how_its_orders_begin(tmp_path: Path) -> None:
    demo = Demo(tmp_path, runaway_after="1")
    try:
        assert "kill algo-momentum-" in (tmp_path / "out").read_text()
        desk = Person(demo, "desk")
        assert "kill algo-momentum-" in desk.get("/")
        wait_for(lambda: len(of_the_algorithm(demo)) > 10, "the algorithm to run away", 60)
        found = json.loads(desk.get("/go.json?q=kill+algo-momentum-"))["choices"][0]
        fields = dict(urllib.parse.parse_qsl(found["address"].partition("?")[2]))
        kill = desk.kill(**fields)
        assert kill["state"] == "flat"
        assert kill["outcomes"]["canceled"] > 10
        wait_for(lambda: demo.of_simulator("/_sim/summary")["runaway"] == "stopped", "the algorithm to stop", 30)
        # It goes on for a while after the first cancel: what came when the kill had ended takes another one.
        assert desk.kill(**fields)["state"] == "flat"
        assert of_the_algorithm(demo) == []
    finally:
        demo.stop()


def of_the_algorithm(demo: Demo) -> list[str]:
    """Return the ids of the algorithm's open orders."""
    orders = [order for account_id in (19816, 19817) for order in demo.open_orders(account_id)]
    return [order["id"] for order in orders if (order["client_order_id"] or "").startswith("algo-momentum-")]
