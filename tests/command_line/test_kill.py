"""`manage.py kill` with the database: a process of its own, with no Redis behind it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.health.models import Heartbeat
from killswitch.kills.models import Kill, State
from killswitch.kills.queries import as_json
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import database_url, end, start, wait_for
from tests.kills.agreement import check_agreement, deletes, open_orders

from .conftest import CLOSED, FIRST, KEY, Shell

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def watchdog(shell: Shell) -> Iterator[subprocess.Popen[bytes]]:
    process = start([sys.executable, "manage.py", "watchdog"], {"DATABASE_URL": database_url()})
    try:
        # A press waits a few seconds for somebody; on a busy machine the start of Python takes longer.
        wait_for(lambda: Heartbeat.objects.filter(who=Heartbeat.Who.WATCHDOG).exists(), "the watchdog")
        yield process
    finally:
        end(process)


class TestFlat:
    def test_carries_it_out_itself_where_there_is_neither_worker_nor_watchdog(
        self, shell: Shell, simulator: SimulatorProcess
    ) -> None:
        result = shell.kill("--account", str(FIRST), "--reason", "runaway algo")
        assert (result.returncode, result.stderr) == (0, ""), result
        assert "No worker has taken it up: this process carries it out" in result.stdout
        assert "FLAT after" in result.stdout
        kill = Kill.objects.get()
        assert (kill.state, kill.reason, kill.engaged_by_id) == (State.FLAT, "runaway algo", None)
        assert kill.source.split()[0] == "shell"
        assert Entry.objects.get(kind=Kind.ATTEMPT_ANSWERED).source.startswith("command line ")
        assert open_orders(simulator, FIRST) == []
        check_agreement(simulator)

    def test_takes_what_matches_the_filter_and_nothing_else(self, shell: Shell, simulator: SimulatorProcess) -> None:
        for number, side in enumerate(["BUY", "SELL"] * 2):
            client_order_id = f"{'wild' if number < 2 else 'calm'}-{number}"
            simulator.control.add_orders(FIRST, order={"side": side, "client_order_id": client_order_id})
        before = len(open_orders(simulator, FIRST))
        result = shell.kill("--account", str(FIRST), "--side", "SELL", "--client-order-id-prefix", "wild-")
        assert result.returncode == 0, result
        left = {order["client_order_id"] for order in open_orders(simulator, FIRST)}
        assert len(left) == before - 1
        assert {"wild-0", "calm-2", "calm-3"} <= left
        check_agreement(simulator)

    def test_names_what_traded_on_the_way(self, shell: Shell, simulator: SimulatorProcess) -> None:
        order = simulator.control.add_orders(FIRST, order={"side": "SELL", "quantity": "500", "limit_price": "20"})[0]
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "fill"}, times=1)
        result = shell.kill("--account", str(FIRST))
        assert result.returncode == 0, result
        line = next(line for line in result.stdout.splitlines() if order["id"] in line)
        assert "got away" in line
        assert "500 worth" in line

    def test_takes_all_accounts_that_the_broker_names(self, shell: Shell, simulator: SimulatorProcess) -> None:
        result = shell.kill("--all-accounts")
        assert result.returncode == 0, result
        assert "flat 4 of 4 accounts" in result.stdout
        assert simulator.control.book(open=True) == []
        check_agreement(simulator)

    def test_follows_what_others_carry_out(
        self, shell: Shell, simulator: SimulatorProcess, watchdog: subprocess.Popen[bytes]
    ) -> None:
        result = shell.kill("--account", str(FIRST))
        assert result.returncode == 0, result
        assert Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED).count() == 1
        check_agreement(simulator)

    def test_goes_on_when_nobody_reads_what_it_says(self, shell: Shell, simulator: SimulatorProcess) -> None:
        process = shell.start("kill", "--account", str(FIRST))
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stderr.close()
        assert process.wait(30) == 0
        assert open_orders(simulator, FIRST) == []


class TestJson:
    def test_is_the_only_thing_on_stdout(self, shell: Shell) -> None:
        result = shell.kill("--account", str(FIRST), "--json")
        assert json.loads(result.stdout) == json.loads(json.dumps(as_json(Kill.objects.get())))
        assert "FLAT after" in result.stderr


class TestOtherEnds:
    def test_not_flat_is_1_and_names_the_order(self, shell: Shell, simulator: SimulatorProcess) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "stuck"}, times=1)
        result = shell.with_(KILL_STUCK_SECONDS="0.3").kill("--account", str(FIRST))
        assert result.returncode == 1, result
        assert "NOT FLAT after" in result.stdout
        for order in open_orders(simulator, FIRST):
            line = next(line for line in result.stdout.splitlines() if order["id"] in line)
            assert "PENDING_CANCEL" in line
            assert "request id" in line
        check_agreement(simulator)

    def test_unknown_is_2_and_says_why(self, shell: Shell, simulator: SimulatorProcess) -> None:
        simulator.control.add_fault(match={"call": "list_orders"}, do={"status": 500, "message": "down"})
        result = shell.with_(KILL_PATIENCE_SECONDS="1").kill("--account", str(FIRST))
        assert result.returncode == 2, result
        assert "UNKNOWN after" in result.stdout
        assert "the orders could not be listed: down" in result.stdout

    def test_a_wrong_key_is_2_and_is_shown_nowhere(self, shell: Shell) -> None:
        result = shell.with_(CLEAR_STREET_API_KEY="sk-wrong-and-secret").kill("--all-accounts")
        assert result.returncode == 2, result
        assert "sk-wrong" not in result.stdout + result.stderr

    def test_a_dry_run_sends_nothing_and_is_1_while_orders_are_open(
        self, shell: Shell, simulator: SimulatorProcess
    ) -> None:
        result = shell.kill("--account", str(FIRST), "--dry-run")
        assert result.returncode == 1, result
        assert "DRY RUN, nothing was sent" in result.stdout
        assert result.stdout.count("would cancel: ") == len(open_orders(simulator, FIRST)) > 0
        assert deletes(simulator) == []

    def test_a_dry_run_is_0_where_nothing_is_open(self, shell: Shell, simulator: SimulatorProcess) -> None:
        result = shell.kill("--account", str(FIRST), "--dry-run", "--client-order-id-prefix", "nobody-")
        assert result.returncode == 0, result
        assert deletes(simulator) == []


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--account", str(FIRST), "--side", "SELZ", "--status", "WILD"], ["--side: ", "--status: "]),
            (["--all-acc"], ["unrecognized arguments: --all-acc"]),
            (["--account"], ["expected at least one argument"]),
            ([], ["say which accounts, or --all-accounts"]),
            (["--account", str(FIRST), "--latched", "--dry-run"], ["--dry-run: a dry run cannot be latched"]),
        ],
        ids=["filters", "abbreviation", "nothing", "no account", "two that exclude each other"],
    )
    def test_bad_options_are_3_and_nothing_is_sent(
        self, shell: Shell, simulator: SimulatorProcess, arguments: list[str], told: list[str]
    ) -> None:
        result = shell.kill(*arguments)
        assert (result.returncode, result.stdout) == (3, ""), result
        assert all(words in result.stderr for words in told)
        assert all(line.startswith("NOT SENT: ") for line in result.stderr.splitlines())
        assert deletes(simulator) == []
        assert Kill.objects.count() == 0

    def test_a_refusal_is_recorded(self, shell: Shell) -> None:
        shell.kill("--account", "x")
        assert "“x” is not an account number" in Entry.objects.get(kind=Kind.KILL_REFUSED).sentence


class TestNoDatabase:
    @pytest.fixture
    def garbage(self, tmp_path: Path) -> Path:
        file = tmp_path / "garbage.sqlite3"
        file.write_bytes(b"no database at all " * 1000)
        return file

    def check(self, result: subprocess.CompletedProcess[str], simulator: SimulatorProcess) -> None:
        assert (result.returncode, result.stdout) == (3, ""), result
        assert result.stderr.startswith("NOT SENT: ")
        assert f"manage.py kill --break-glass --account {FIRST} --side SELL" in result.stderr
        assert "Traceback" not in result.stderr
        assert "secret" not in result.stderr
        assert KEY not in result.stderr
        assert deletes(simulator) == []

    @pytest.mark.parametrize("name", ["garbage.sqlite3", "no/such/folder.sqlite3", "not-migrated.sqlite3"])
    def test_a_file_that_is_no_database_is_3(
        self, shell: Shell, simulator: SimulatorProcess, garbage: Path, name: str
    ) -> None:
        url = f"sqlite:///{garbage.parent / name}"
        self.check(shell.with_(DATABASE_URL=url).kill("--account", str(FIRST), "--side", "SELL"), simulator)

    def test_a_server_that_does_not_answer_is_3(self, shell: Shell, simulator: SimulatorProcess) -> None:
        self.check(shell.with_(**CLOSED).kill("--account", str(FIRST), "--side", "SELL"), simulator)

    def test_an_environment_that_is_not_set_up_is_3(self, shell: Shell, simulator: SimulatorProcess) -> None:
        self.check(shell.with_(DATABASE_URL="").kill("--account", str(FIRST), "--side", "SELL"), simulator)


@pytest.mark.parametrize("asked", [["kill", "--help"], ["kill", "-h"], ["help", "kill"]])
def test_help_needs_nothing_that_is_set_up(asked: list[str], shell: Shell) -> None:
    names = ("CLEAR_STREET_API_KEY", "DATABASE_URL", "SECRET_KEY", "REDIS_URL")
    bare = {name: value for name, value in shell.environment.items() if name not in names}
    result = Shell(bare, shell.folder).run(*asked)
    assert (result.returncode, "--all-accounts" in result.stdout, result.stderr) == (0, True, ""), result


class TestLatched:
    def test_stays_while_it_sweeps_itself_and_hands_over_when_asked_to_end(
        self, shell: Shell, simulator: SimulatorProcess
    ) -> None:
        process = shell.start("kill", "--account", str(FIRST), "--latched")
        try:
            wait_for(lambda: Kill.objects.filter(state=State.LATCHED).exists(), "the kill to be quiet")
            late = simulator.control.add_orders(FIRST, count=1)[0]["id"]
            wait_for(lambda: late not in {order["id"] for order in open_orders(simulator, FIRST)}, "the late order")
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 2, out
        assert "No worker sweeps it, this process does: it stays" in out
        assert "NOBODY WORKS ON THE KILL" in out
        assert Entry.objects.filter(kind=Kind.SWEEP_HANDED_OVER).exists()
        assert not Kill.objects.get().is_over

    def test_ends_with_0_once_others_hold_it_quiet(
        self, shell: Shell, watchdog: subprocess.Popen[bytes], simulator: SimulatorProcess
    ) -> None:
        result = shell.kill("--account", str(FIRST), "--latched", "--reason", "hold it")
        assert result.returncode == 0, result
        assert "another person than" in result.stdout
        assert f"/kills/{Kill.objects.get().id}/" in result.stdout


class TestInterrupted:
    def test_says_that_the_kill_goes_on_in_other_hands(
        self, shell: Shell, simulator: SimulatorProcess, watchdog: subprocess.Popen[bytes]
    ) -> None:
        simulator.control.add_fault(match={"call": "cancel_all"}, do={"cancel": "stuck"}, times=1)
        process = shell.start("kill", "--account", str(FIRST))
        try:
            wait_for(lambda: Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED).exists(), "the first answer")
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 2, errors
        assert "The kill goes on without this terminal" in out
        assert "Traceback" not in errors
