"""`manage.py kill --break-glass`: a process with the broker and nothing else, and the journal that it leaves."""

import json
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from killswitch.simulator.process import SimulatorProcess
from tests.conftest import ROOT, wait_for
from tests.kills.agreement import deletes, open_orders

from .conftest import CLOSED, FIRST, KEY, Shell, glass_at, journals, lines_of


def told(journal: Path, kind: str) -> list[dict[str, Any]]:
    entries = [line["entry"] for line in lines_of(journal) if "entry" in line]
    return [entry for entry in entries if entry["kind"] == kind]


def break_glass(shell: Shell, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return shell.kill("--break-glass", *arguments, **options)


class TestFlat:
    def test_needs_the_key_and_the_address_and_nothing_else(self, glass: Shell, simulator: SimulatorProcess) -> None:
        result = break_glass(glass, "--account", str(FIRST), "--reason", "all else is gone")
        assert (result.returncode, result.stderr) == (0, ""), result
        assert "FLAT after" in result.stdout
        assert open_orders(simulator, FIRST) == []
        [journal] = journals(glass)
        assert result.stdout.splitlines()[0] == f"Journal: {journal}"
        assert f"manage.py import_journal {journal}" in result.stdout
        assert stat.S_IMODE(journal.stat().st_mode) == 0o600
        assert KEY not in result.stdout + journal.read_text()

    @pytest.mark.parametrize("settings", ["killswitch.settings", "no.such.settings"])
    def test_looks_at_no_other_variable(self, glass: Shell, simulator: SimulatorProcess, settings: str) -> None:
        shell = glass.with_(**CLOSED, DJANGO_SETTINGS_MODULE=settings, SECRET_KEY="", WEB_WORKERS="odd")
        result = break_glass(shell, "--account", str(FIRST))
        assert (result.returncode, open_orders(simulator, FIRST)) == (0, []), result

    def test_every_touch_of_a_database_raises(self, glass: Shell) -> None:
        code = (
            "import django; django.setup();"
            "from killswitch.kills.models import Kill; from django.core.exceptions import ImproperlyConfigured\n"
            "try: Kill.objects.exists()\n"
            "except ImproperlyConfigured: print('raised')"
        )
        environment = {**glass.environment, "DJANGO_SETTINGS_MODULE": "killswitch.break_glass_settings"}
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert result.stdout == "raised\n", result.stderr

    def test_takes_all_accounts_that_the_broker_names(self, glass: Shell, simulator: SimulatorProcess) -> None:
        result = break_glass(glass, "--all-accounts", "--side", "SELL")
        assert result.returncode == 0, result
        assert "flat 4 of 4 accounts" in result.stdout
        left = simulator.control.book(open=True)
        assert left
        assert all(order["side"] != "SELL" for order in left)

    def test_names_what_traded_on_the_way(self, glass: Shell, simulator: SimulatorProcess) -> None:
        values = {"side": "SELL", "quantity": "500", "limit_price": "20", "status": "NEW"}
        order = simulator.control.add_orders(FIRST, order=values)[0]
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "fill"}, times=1)
        result = break_glass(glass, "--account", str(FIRST))
        assert result.returncode == 0, result
        line = next(line for line in result.stdout.splitlines() if order["id"] in line)
        assert "got away" in line
        assert "500 worth" in line

    def test_json_is_the_only_thing_on_stdout(self, glass: Shell) -> None:
        result = break_glass(glass, "--account", str(FIRST), "--json")
        answer = json.loads(result.stdout)
        assert (answer["state"], answer["sweeps"][0]["account_id"], len(answer["orders"])) == ("flat", FIRST, 6)
        assert "Journal: " in result.stderr


class TestOtherEnds:
    def test_not_flat_is_1_and_names_the_order(self, glass: Shell, simulator: SimulatorProcess) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "stuck"}, times=1)
        result = break_glass(glass.with_(KILL_STUCK_SECONDS="0.3"), "--account", str(FIRST))
        assert result.returncode == 1, result
        assert all(order["id"] in result.stdout for order in open_orders(simulator, FIRST))

    def test_a_wrong_key_is_2_and_is_shown_nowhere(self, glass: Shell) -> None:
        wrong = "sk-wrong-and-secret"
        result = break_glass(glass.with_(CLEAR_STREET_API_KEY=wrong), "--account", str(FIRST), str(FIRST + 1))
        assert result.returncode == 2, result
        assert "UNKNOWN after" in result.stdout
        [journal] = journals(glass)
        assert wrong not in result.stdout + result.stderr + journal.read_text()

    def test_no_broker_is_2(self, glass: Shell) -> None:
        shell = glass.with_(CLEAR_STREET_BASE_URL="http://127.0.0.1:9", KILL_PATIENCE_SECONDS="1")
        result = break_glass(shell, "--all-accounts")
        assert result.returncode == 2, result
        assert "The accounts could not be listed: no connection to http://127.0.0.1:9" in result.stdout

    def test_what_goes_wrong_on_an_account_is_said_while_it_goes_wrong(self, glass: Shell) -> None:
        shell = glass.with_(CLEAR_STREET_BASE_URL="http://127.0.0.1:9", KILL_PATIENCE_SECONDS="1")
        result = break_glass(shell, "--account", str(FIRST))
        [line, *_] = [line for line in result.stdout.splitlines() if "no connection to" in line]
        assert "RUNNING" in line and f"account {FIRST}: " in line

    def test_accounts_that_were_named_are_swept_though_the_list_breaks_off(
        self, make_broker: Callable[..., SimulatorProcess], tmp_path: Path
    ) -> None:
        simulator = make_broker("--accounts", "4", "--orders", "3", "--cancel-ms", "20", "--page-size-max", "2")
        simulator.control.add_fault(match={"call": "accounts", "page": 2}, do={"status": 503})
        shell = glass_at(simulator, tmp_path).with_(KILL_PATIENCE_SECONDS="1")
        result = break_glass(shell, "--all-accounts")
        assert result.returncode == 2, result
        assert "flat 2 of 2 accounts" in result.stdout
        assert [bool(open_orders(simulator, FIRST + number)) for number in range(4)] == [False, False, True, True]

    def test_a_dry_run_sends_nothing_and_says_so_on_every_line(self, glass: Shell, simulator: SimulatorProcess) -> None:
        simulator.control.add_orders(FIRST, 20)
        result = break_glass(glass, "--account", str(FIRST), "--dry-run")
        assert result.returncode == 1, result
        assert deletes(simulator) == []
        assert "DRY RUN, nothing was sent: NOT FLAT" in "".join(result.stdout.splitlines()[-4:]), "the end is in sight"
        entries = [line["entry"] for line in lines_of(journals(glass)[0]) if "entry" in line]
        assert [entry for entry in entries if not entry["sentence"].startswith("DRY RUN: ")] == []

    @pytest.mark.parametrize("arguments", [["--side", "SELZ"], ["--latched", "--dry-run"], ["--odd"]])
    def test_bad_options_are_3_and_nothing_is_sent(
        self, glass: Shell, simulator: SimulatorProcess, arguments: list[str]
    ) -> None:
        result = break_glass(glass, "--account", str(FIRST), *arguments)
        assert (result.returncode, result.stdout) == (3, ""), result
        assert result.stderr.startswith("NOT SENT: ")
        assert deletes(simulator) == []

    def test_no_key_is_3(self, glass: Shell) -> None:
        result = break_glass(glass.with_(CLEAR_STREET_API_KEY=""), "--all-accounts")
        assert result.returncode == 3
        assert result.stderr.startswith("NOT SENT: killswitch: CLEAR_STREET_API_KEY is missing")


class TestAnnouncedBeforeSent:
    def test_what_is_killed_on_its_first_cancel_has_announced_it_on_disk(
        self, glass: Shell, simulator: SimulatorProcess
    ) -> None:
        process = glass.start("kill", "--break-glass", "--account", str(FIRST))
        simulator.control.add_fault(
            match={"call": "cancel_all"}, do={"kill_pid": process.pid, "drop": "after"}, times=1
        )
        assert process.wait(30) == -signal.SIGKILL
        process.communicate()
        [journal] = journals(glass)
        [announced] = told(journal, "attempt.announced")
        [arrived] = deletes(simulator)
        assert announced["account_id"] == arrived["account_id"] == FIRST
        assert datetime.fromisoformat(announced["at"]) <= datetime.fromisoformat(arrived["at"])
        assert told(journal, "attempt.answered") == []

    def test_single_cancels_are_announced_too(self, glass: Shell, simulator: SimulatorProcess) -> None:
        result = break_glass(glass, "--account", str(FIRST), "--status", "NEW,PARTIALLY_FILLED,QUEUED,PENDING_NEW")
        assert result.returncode == 0, result
        announced = {entry["order_id"]: entry["at"] for entry in told(journals(glass)[0], "attempt.announced")}
        arrived = deletes(simulator)
        assert len(arrived) == len(announced) > 0
        assert all(announced[request["order_id"]] <= request["at"] for request in arrived)


class TestPlaces:
    def limited(self, size: int) -> Callable[[], None]:
        """Let no file of the process grow beyond `size`: to it, a disk that is full."""
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    def test_the_chosen_file_is_taken(self, glass: Shell) -> None:
        result = break_glass(glass, "--account", str(FIRST), "--journal", "record.jsonl")
        assert result.returncode == 0, result
        assert journals(glass) == [glass.folder / "record.jsonl"]

    def test_a_file_that_is_there_is_never_written_over(self, glass: Shell) -> None:
        (glass.folder / "record.jsonl").write_text("mine")
        result = break_glass(glass, "--account", str(FIRST), "--journal", "record.jsonl")
        assert result.returncode == 0, result
        assert "No journal there: record.jsonl: File exists" in result.stdout
        assert (glass.folder / "record.jsonl").read_text() == "mine"
        assert any(path.name.startswith("killswitch-") for path in journals(glass))

    def test_a_folder_that_takes_no_file_gives_way_to_the_home_folder(
        self, glass: Shell, simulator: SimulatorProcess, tmp_path: Path
    ) -> None:
        glass.folder.rmdir()
        result = subprocess.run(
            ["/bin/sh", "-c", f"mkdir {glass.folder} && cd {glass.folder} && rmdir {glass.folder} && exec "
             f"{sys.executable} {ROOT / 'manage.py'} kill --break-glass --account {FIRST}"],
            env=glass.environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert result.returncode == 0, result
        assert [path.parent for path in journals(glass)] == [tmp_path / "home"]
        assert open_orders(simulator, FIRST) == []

    def test_a_full_disk_leaves_the_record_on_standard_error(self, glass: Shell, simulator: SimulatorProcess) -> None:
        result = break_glass(glass, "--account", str(FIRST), preexec_fn=self.limited(0))
        assert result.returncode == 0, result
        for folder in (glass.folder, glass.environment["HOME"]):
            assert f"No journal there: {folder}/killswitch-" in result.stdout
        assert "Journal: standard error" in result.stdout
        assert [json.loads(line)["n"] for line in result.stderr.splitlines()] == list(
            range(1, len(result.stderr.splitlines()) + 1)
        )
        assert journals(glass) == []
        assert open_orders(simulator, FIRST) == []

    def test_a_disk_that_fills_in_the_middle_stops_no_cancel(self, glass: Shell, simulator: SimulatorProcess) -> None:
        result = break_glass(glass, "--all-accounts", preexec_fn=self.limited(12_000))
        assert result.returncode == 0, result
        assert "CANNOT BE WRITTEN ANY MORE (File too large)" in result.stdout
        assert simulator.control.book(open=True) == []
        numbers = {line["n"] for path in journals(glass) for line in lines_of(path)}
        numbers |= {json.loads(line)["n"] for line in result.stderr.splitlines()}
        assert numbers == set(range(1, max(numbers) + 1))
        assert journals(glass)

    def test_without_any_place_for_a_record_nothing_is_sent(self, glass: Shell, simulator: SimulatorProcess) -> None:
        command = f"exec 2>&-; exec {sys.executable} {ROOT / 'manage.py'} kill --break-glass --account {FIRST}"
        result = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=glass.folder,
            env=glass.environment,
            stdout=subprocess.PIPE,
            timeout=60,
            preexec_fn=self.limited(0),
        )
        assert result.returncode == 3, result
        assert deletes(simulator) == []


class TestInterrupted:
    def follow(self, glass: Shell, *arguments: str) -> subprocess.Popen[str]:
        return glass.start("kill", "--break-glass", "--account", str(FIRST), *arguments)

    def test_a_latched_kill_sweeps_on_until_it_is_asked_to_end(self, glass: Shell, simulator: SimulatorProcess) -> None:
        process = self.follow(glass, "--latched")
        try:
            wait_for(lambda: journals(glass) and told(journals(glass)[0], "sweep.holds"), "the account to be quiet")
            [late] = simulator.control.add_orders(FIRST, count=1)
            wait_for(lambda: late["id"] not in {o["id"] for o in open_orders(simulator, FIRST)}, "the late order")
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=30)
        finally:
            process.kill()
        assert (process.returncode, errors) == (0, ""), out
        assert "Released: it ends as soon as every account is quiet" in out
        [released] = told(journals(glass)[0], "kill.released")
        assert "was asked to end (Ctrl-C)" in released["sentence"]
        assert [entry["order_id"] for entry in told(journals(glass)[0], "order.arrived")] == [late["id"]]

    def test_the_first_ask_leaves_a_kill_going_and_the_second_ends_it(
        self, glass: Shell, simulator: SimulatorProcess
    ) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "stuck"}, times=1)
        process = self.follow(glass)
        try:
            wait_for(lambda: journals(glass) and told(journals(glass)[0], "attempt.answered"), "the first answer")
            process.send_signal(signal.SIGTERM)
            first = [process.stdout.readline() for _ in range(5)] if process.stdout else []
            assert any("The kill goes on: nobody else would finish it" in line for line in first), first
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=30)
        finally:
            process.kill()
        assert (process.returncode, errors) == (2, ""), out
        assert "it was ended before that was known" in out
        [end] = told(journals(glass)[0], "kill.ended")
        assert end["outcome"] == "unknown"

    def test_a_terminal_that_hangs_up_does_not_end_it(self, glass: Shell, simulator: SimulatorProcess) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"delay_ms": 1500}, times=1)
        process = self.follow(glass)
        wait_for(lambda: deletes(simulator), "the first cancel")
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
        assert (process.returncode, open_orders(simulator, FIRST)) == (0, [])
