"""The program: how it starts, what it refuses, how it ends."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from killswitch.simulator.control import Control
from killswitch.simulator.faults import Do, Match
from killswitch.simulator.process import ROOT, NotStarted, SimulatorProcess

from .conftest import FIRST
from .wire import Wire, wait_for

Start = Callable[..., SimulatorProcess]
COMMAND = [sys.executable, "-m", "killswitch.simulator"]
SDK = {"User-Agent": "ClearStreet/Python 0.11.0"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


class TestStarting:
    def test_says_where_it_listens_in_exactly_one_line(self) -> None:
        process = subprocess.Popen([*COMMAND, "--accounts", "1"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
        rest = process.stdout.read()
        process.stdout.close()
        assert process.wait(5) == 0
        assert line.startswith("listening on http://127.0.0.1:")
        assert rest == ""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--port", "many"],
            ["--port", "70000"],
            ["--accounts", "-1"],
            ["--latency-ms", "-1"],
            ["--wire", "2020"],
            ["--page-size-max", "0"],
            ["--page-size-max", "1001"],
            ["--api-key", ""],
            ["--unknown"],
        ],
    )
    def test_refuses_wrong_arguments_in_one_line(self, arguments: list[str]) -> None:
        ended = run(*arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("killswitch.simulator: ")
        assert ended.stderr.count("\n") == 1

    def test_refuses_a_port_that_is_taken_in_one_line(self, shared: SimulatorProcess) -> None:
        port = shared.url.rsplit(":", 1)[1]
        ended = run("--port", port, "--accounts", "1")
        assert ended.returncode == 2
        assert ended.stderr == f"killswitch.simulator: cannot listen on 127.0.0.1:{port}: Address already in use\n"

    def test_the_help_names_every_fault_and_every_call_that_steers_it(self) -> None:
        text = run("--help").stdout
        for field in (*Match.__struct_fields__, *Do.__struct_fields__):
            assert f"  {field:<14}" in text
        for method, path in Control(*[None] * 6).handlers:  # type: ignore[arg-type]
            assert re.search(rf"{method} +/_sim/{re.escape(path)} ", text), (method, path)

    def test_the_helper_raises_with_the_programs_own_words(self) -> None:
        with pytest.raises(NotStarted, match="argument --accounts: must be a whole number"):
            SimulatorProcess("--accounts", "few").start()

    def test_needs_nothing_of_the_rest_of_the_project(self) -> None:
        code = (
            "import sys, killswitch.simulator.__main__, killswitch.simulator.process\n"
            "ours = {n for n in sys.modules if n.startswith('killswitch.') and 'simulator' not in n}\n"
            "print(sorted(ours | {'django', 'celery', 'httpx', 'redis'} & set(sys.modules)))"
        )
        ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert ended.stdout == "[]\n"


class TestEnding:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_at_once_although_somebody_waits_for_an_answer(
        self, start: Start, number: signal.Signals
    ) -> None:
        simulator = start("--accounts", "1")
        simulator.control.add_fault(match={"call": "version"}, do={"silent": True})
        connection = Wire(simulator).connect()
        connection.request("GET", "/v1/version")
        wait_for(simulator.control.log, "the request")
        process = simulator.process
        assert process is not None
        process.send_signal(number)
        assert process.wait(5) == 0
        connection.close()

    def test_stop_gives_the_exit_status_and_can_be_called_twice(self) -> None:
        simulator = SimulatorProcess("--accounts", "1")
        with simulator:
            assert simulator.pid > 1
            assert simulator.stop() == 0
        assert simulator.stop() is None
        with pytest.raises(NotStarted):
            _ = simulator.pid


class TestOptions:
    def test_the_size_of_the_book(self, start: Start) -> None:
        summary = start("--accounts", "3", "--orders", "2", "--ended", "1").control.summary()
        assert (summary["accounts"], summary["open"], summary["orders"]) == (3, 6, 9)
        assert summary["open_by_account"] == {str(FIRST): 2, str(FIRST + 1): 2, str(FIRST + 2): 2}

    def test_most_accounts_are_active_and_a_closed_one_has_nothing_open(self, start: Start) -> None:
        simulator = start("--accounts", "60", "--orders", "1")
        accounts = Wire(simulator).get("/v1/accounts").data
        assert [a["status"] for a in accounts].count("ACTIVE") == 58
        [closed] = [a["id"] for a in accounts if a["status"] == "CLOSED"]
        assert simulator.control.summary()["open_by_account"][str(closed)] == 0
        assert len({a["short_name"] for a in accounts}) == 60

    def test_the_latency_is_added_to_every_answer(self, start: Start) -> None:
        wire, before = Wire(start("--accounts", "1", "--latency-ms", "120")), time.monotonic()
        assert wire.get("/v1/version").status == 200
        assert 0.12 <= time.monotonic() - before < 10

    def test_the_key_comes_from_the_environment_or_the_command_line(self, start: Start) -> None:
        with SimulatorProcess("--accounts", "1", api_key="from-the-environment") as simulator:
            assert Wire(simulator).get("/v1/accounts").status == 200
            headers = {"Authorization": "Bearer simulator-key"}
            assert Wire(simulator).call("GET", "/v1/accounts", headers=headers).status == 401
        simulator = start("--accounts", "1", "--api-key", "from-the-line")
        headers = {"Authorization": "Bearer from-the-line"}
        assert Wire(simulator).call("GET", "/v1/accounts", headers=headers).status == 200
        assert Wire(simulator).get("/v1/accounts").status == 401

    def test_an_algorithm_runs_away_faster_and_faster_until_its_orders_are_canceled(self, start: Start) -> None:
        simulator = start("--accounts", "3", "--orders", "1", "--ended", "0", "--runaway-after", "0")
        control = simulator.control

        def its_orders() -> list[dict[str, Any]]:
            return [o for o in control.book() if (o["client_order_id"] or "").startswith("algo-momentum-")]

        assert control.summary()["runaway"] == "runs"
        wait_for(lambda: len(its_orders()) >= 6, "orders of the algorithm", 30)
        arrived = [datetime.fromisoformat(order["created_at"]) for order in its_orders()]
        gaps = [later - earlier for earlier, later in pairwise(arrived)]
        assert gaps[-1] < gaps[0]
        assert {order["account_id"] for order in its_orders()} == {FIRST, FIRST + 1}
        Wire(simulator).call("DELETE", f"/v1/accounts/{FIRST}/orders")
        wait_for(lambda: control.summary()["runaway"] == "stopped", "it to notice", 10)

    def test_no_algorithm_runs_away_by_itself(self, start: Start) -> None:
        assert start("--accounts", "1").control.summary()["runaway"] == "none"

    @pytest.mark.parametrize(
        ("wire", "headers", "version"),
        [
            ("auto", {}, "2025-10-31"),
            ("auto", SDK, "2026-11"),
            ("auto", {"X-Stainless-Lang": "python"}, "2026-11"),
            ("2025-10-31", SDK, "2025-10-31"),
            ("2026-11", {}, "2026-11"),
        ],
    )
    def test_the_wire_decides_how_a_short_sell_looks_and_is_found(
        self, start: Start, wire: str, headers: dict[str, str], version: str
    ) -> None:
        simulator = start("--accounts", "1", "--orders", "0", "--ended", "0", "--wire", wire)
        [short] = simulator.control.add_orders(FIRST, order={"side": "SELL_SHORT", "time_in_force": "AT_THE_CLOSE"})
        assert short["side"] == "SELL_SHORT"
        client, path = Wire(simulator), f"/v1/accounts/{FIRST}/orders"
        assert client.call("GET", "/v1/version", headers=headers).data == {"version": version}
        newer = version == "2026-11"
        [shown] = client.call("GET", path, headers=headers).data
        expected = ("SELL", "AT_CLOSE") if newer else ("SELL_SHORT", "AT_THE_CLOSE")
        assert (shown["side"], shown["time_in_force"]) == expected
        sides = [client.call("DELETE", path, {"side": s}, headers=headers).status for s in ("SELL_SHORT", "SELL")]
        assert sides == ([400, 200] if newer else [200, 404])
