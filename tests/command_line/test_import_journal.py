"""A break-glass journal comes into the audit trail once, whole, or not at all."""

import json
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.kills.claims import overdue
from killswitch.kills.journal_import import NotImported, _close, _part, read
from killswitch.kills.journal_lines import FORMAT, encode
from killswitch.kills.models import Kill, KilledOrder, Outcome, State, Sweep
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import wait_for
from tests.kills.agreement import check_agreement

from .conftest import FIRST, KEY, Shell, journals, lines_of

pytestmark = pytest.mark.django_db(transaction=True)

KILL = {
    "id": "0c17a67f-54aa-417e-8eeb-67dd57fe46fe",
    "idempotency_key": "1a273395-5637-4c44-9917-54b5e46c19d3",
    "engaged_at": "2026-11-21T10:00:00+00:00",
    "engaged_by_name": "desk",
    "filter_data": {"side": "SELL"},
    "scope": "all SELL orders on account 7",
}
ENTRY = {"kind": "kill.engaged", "at": "2026-11-21T10:00:00+00:00", "kill_id": KILL["id"], "sentence": "…"}
SMALL = [
    encode(number, line)
    for number, line in enumerate(
        [
            {"journal": FORMAT, "version": 1, "kill": KILL, "broker": "https://broker.test"},
            {"sweep": {"account_id": 7}},
            {"entry": ENTRY},
            {"order": {"account_id": 7, "order_id": "a", "updated_at": "2026-11-21T10:00:01+00:00"}},
            {"kill": {"state": "flat", "ended_at": "2026-11-21T10:00:02+00:00"}},
        ],
        start=1,
    )
]
Change = Callable[[dict[str, Any]], object]
SPOILED: list[tuple[int, Change, str]] = [
    (1, lambda line: line.update(version=2), "is of version 2"),
    (1, lambda line: line.update(journal="diary"), "is not the beginning of a break-glass journal"),
    (1, lambda line: line.update(kill=[]), "holds no object"),
    (1, lambda line: line["kill"].update(id=None), "holds no kill"),
    (1, lambda line: line["kill"].pop("id"), "holds no kill"),
    (1, lambda line: line["kill"].update(ended_at=KILL["engaged_at"]), "holds no kill as it begins"),
    (1, lambda line: line["kill"].update(filter_data={"odd": 1}), "holds no kill"),
    (1, lambda line: line["kill"].update(filter_data={"side": 1}), "holds no kill"),
    (1, lambda line: line["kill"].update(engaged_at="2026-11-21T10:00:00"), "cannot be read"),
    (1, lambda line: line["kill"].update(engaged_by_name="x" * 151), "holds no kill"),
    (2, lambda line: line["sweep"].update(lease_token="x"), "has a field that nobody knows"),
    (2, lambda line: line["sweep"].update(account_id=2**63), "names no account"),
    (2, lambda line: line["sweep"].update(account_id=True), "names no account"),
    (3, lambda line: line["entry"].update(kind="access.logged_in"), "is no entry of this kill"),
    (3, lambda line: line["entry"].update(kill_id=KILL["idempotency_key"]), "is no entry of this kill"),
    (3, lambda line: line["entry"].update(at="yesterday"), "has a value that cannot be read"),
    (3, lambda line: line["entry"].update(data=[1]), "has data that are no object"),
    (4, lambda line: line.update(entry=ENTRY), "holds not exactly one thing"),
    (4, lambda line: line["order"].update(outcome="gone"), "has a word that nobody knows"),
    (4, lambda line: line["order"].update(account_id=8), "of an account that was not named before"),
    (4, lambda line: line["order"].update(quantity="many"), "has a value that cannot be read"),
    (-1, lambda line: line["kill"].update(state="wonderful"), "has a word that nobody knows"),
    (-1, lambda line: line["kill"].update(engaged_at=KILL["engaged_at"]), "has a field that nobody knows"),
]


def write_journal(glass: Shell, *arguments: str, status: int = 0, **options: Any) -> Path:
    result = glass.kill("--break-glass", *(arguments or ("--account", str(FIRST))), **options)
    assert result.returncode == status, result
    return journals(glass)[0]


def take(shell: Shell, *paths: Path) -> subprocess.CompletedProcess[str]:
    result = shell.run("import_journal", *map(str, paths))
    assert KEY not in result.stdout + result.stderr
    return result


def nothing_was_taken() -> bool:
    return not (Kill.objects.exists() or Sweep.objects.exists() or Entry.objects.exists())


class TestWhole:
    def test_agrees_with_the_broker_and_says_what_the_process_said(
        self, shell: Shell, glass: Shell, simulator: SimulatorProcess
    ) -> None:
        [order] = simulator.control.add_orders(FIRST, order={"side": "SELL", "quantity": "7", "status": "NEW"})
        simulator.control.add_fault(match={"call": "cancel_all", "account_id": FIRST}, do={"cancel": "fill"}, times=1)
        journal = write_journal(glass, "--all-accounts", "--side", "SELL", "--reason", "Redis and database gone")
        result = take(shell, journal)
        assert result.returncode == 0, result
        check_agreement(simulator)
        kill = Kill.objects.get()
        assert (kill.state, kill.is_over, kill.reason) == (State.FLAT, True, "Redis and database gone")
        assert kill.source.startswith("break-glass ")
        assert kill.sweeps.filter(state=State.FLAT).count() == kill.sweeps.count() == 4
        assert KilledOrder.objects.get(order_id=order["id"]).outcome == Outcome.FILLED

    def test_every_entry_is_there_in_its_order_and_one_more_says_where_from(self, shell: Shell, glass: Shell) -> None:
        journal = write_journal(glass)
        take(shell, journal)
        written = [line["entry"] for line in lines_of(journal) if "entry" in line]
        *taken, last = Entry.objects.order_by("id")
        assert [(entry.kind, entry.sentence, entry.at.isoformat()) for entry in taken] == [
            (entry["kind"], entry["sentence"], entry["at"]) for entry in written
        ]
        assert last.kind == Kind.JOURNAL_IMPORTED
        [file] = last.data["files"]
        sha256 = subprocess.run(["sha256sum", journal], capture_output=True, text=True, check=True).stdout.split()[0]
        assert file == {"name": journal.name, "sha256": sha256, "lines": len(lines_of(journal)), "torn": False}
        assert last.source.startswith("import_journal ")

    def test_shows_on_the_pages_like_any_other(self, shell: Shell, glass: Shell, people: dict[str, User]) -> None:
        take(shell, write_journal(glass, "--account", str(FIRST), "--reason", "by the glass"))
        client = Client()
        client.force_login(people["desk"])
        kill = Kill.objects.get()
        assert "by the glass" in client.get("/kills/").content.decode()
        page = client.get(f"/kills/{kill.id}/").content.decode()
        assert "FLAT" in page
        assert "break-glass" in page

    def test_a_dry_run_comes_in_as_one(self, shell: Shell, glass: Shell, simulator: SimulatorProcess) -> None:
        take(shell, write_journal(glass, "--account", str(FIRST), "--dry-run", status=1))
        kill = Kill.objects.get()
        assert (kill.dry_run, kill.state) == (True, State.NOT_FLAT)
        assert set(KilledOrder.objects.values_list("outcome", flat=True)) == {Outcome.WOULD_CANCEL}
        check_agreement(simulator)

    def test_a_latched_one_comes_in_released(self, shell: Shell, glass: Shell, simulator: SimulatorProcess) -> None:
        process = glass.start("kill", "--break-glass", "--account", str(FIRST), "--latched")
        wait_for(lambda: journals(glass) and '"sweep.holds"' in journals(glass)[0].read_text(), "it to be quiet")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert take(shell, journals(glass)[0]).returncode == 0
        kill = Kill.objects.get()
        assert (kill.state, kill.latched, kill.is_held) == (State.FLAT, True, False)
        assert "was asked to end (SIGTERM)" in kill.release_reason
        check_agreement(simulator)


class TestOnce:
    @pytest.mark.parametrize("is_broker_there", [True, False])
    def test_a_second_time_changes_nothing(self, shell: Shell, glass: Shell, is_broker_there: bool) -> None:
        if not is_broker_there:  # a kill without any account
            glass = glass.with_(CLEAR_STREET_BASE_URL="http://127.0.0.1:9", KILL_PATIENCE_SECONDS="1")
        journal = write_journal(glass, "--all-accounts", status=0 if is_broker_there else 2)
        take(shell, journal)
        assert Sweep.objects.exists() == is_broker_there
        before = list(Entry.objects.values()), list(KilledOrder.objects.values())
        result = take(shell, journal)
        assert (result.returncode, "Already there" in result.stdout) == (0, True), result
        assert before == (list(Entry.objects.values()), list(KilledOrder.objects.values()))

    def test_three_at_once_take_it_once(self, shell: Shell, glass: Shell, simulator: SimulatorProcess) -> None:
        journal = write_journal(glass)
        processes = [shell.start("import_journal", str(journal)) for _ in range(3)]
        told = [process.communicate(timeout=60)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0], told
        assert sorted(words.split(":")[0] for words in told) == ["Already there", "Already there", "Imported"]
        assert Kill.objects.count() == Entry.objects.filter(kind=Kind.JOURNAL_IMPORTED).count() == 1
        check_agreement(simulator)


class TestCutOff:
    def test_a_process_that_was_killed_leaves_an_unknown_kill(
        self, shell: Shell, glass: Shell, simulator: SimulatorProcess
    ) -> None:
        process = glass.start("kill", "--break-glass", "--account", str(FIRST))
        simulator.control.add_fault(
            match={"call": "cancel_all"}, do={"kill_pid": process.pid, "drop": "after"}, times=1
        )
        process.communicate(timeout=30)
        assert take(shell, journals(glass)[0]).returncode == 0
        kill = Kill.objects.get()
        assert (kill.state, kill.sweeps.get().state) == (State.UNKNOWN, State.UNKNOWN)
        assert Entry.objects.filter(kind=Kind.ATTEMPT_UNANSWERED).count() == 1
        assert "counts as unknown" in Entry.objects.get(kind=Kind.JOURNAL_IMPORTED).sentence
        check_agreement(simulator)

    def test_a_torn_last_line_is_left_out_and_named(
        self, shell: Shell, glass: Shell, simulator: SimulatorProcess
    ) -> None:
        journal = write_journal(glass)
        journal.write_bytes(journal.read_bytes()[:-20])
        assert take(shell, journal).returncode == 0
        assert Kill.objects.get().state == State.UNKNOWN
        assert "Its last line is torn" in Entry.objects.get(kind=Kind.JOURNAL_IMPORTED).sentence
        check_agreement(simulator)

    def test_nobody_takes_it_up_again(self, shell: Shell, glass: Shell) -> None:
        process = glass.start("kill", "--break-glass", "--all-accounts", "--latched")
        wait_for(lambda: journals(glass) and '"sweep.holds"' in journals(glass)[0].read_text(), "it to be quiet")
        process.kill()
        process.communicate()
        assert take(shell, journals(glass)[0]).returncode == 0
        kill = Kill.objects.get()
        assert (kill.state, kill.is_over, kill.is_held, kill.released_by_name) == (State.UNKNOWN, True, False, "")
        assert overdue(grace=timedelta(days=-1)) == []

    def test_wherever_it_is_cut_it_can_be_read_and_closed(self, glass: Shell) -> None:
        data = write_journal(glass, "--all-accounts").read_bytes()
        ends = [number for number, byte in enumerate(data) if byte == ord("\n")]
        for cut in [*ends, *(end + 1 for end in ends), *(end + 40 for end in ends[:-1])]:
            journal = read([_part("cut", data[:cut])], source="test")
            closing = _close(journal, timezone.now())
            told = [*journal.entries, *closing]
            is_whole = cut >= ends[-1]
            assert journal.ledger.kill.is_over
            assert journal.ledger.kill.state == (State.FLAT if is_whole else State.UNKNOWN)
            announced = {entry.attempt_id for entry in told if entry.kind == Kind.ATTEMPT_ANNOUNCED}
            ended = [e.attempt_id for e in told if e.kind in (Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED)]
            assert announced == set(ended)
            assert len(ended) == len(announced)
            last = {entry.order_id: entry.outcome for entry in told if entry.kind == Kind.ORDER_ENDED}
            assert last == {row.order_id: row.outcome for row in journal.ledger.orders()}


class TestParts:
    @pytest.fixture
    def parts(self, glass: Shell, tmp_path: Path) -> list[Path]:
        """A journal in two files and on standard error, because every disk filled up."""
        limit = (12_000, 12_000)
        result = glass.kill(
            "--break-glass", "--all-accounts", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        )
        assert result.returncode == 0, result
        (tmp_path / "stderr.jsonl").write_text(result.stderr)
        return journals(glass)

    def test_all_at_once_are_one_journal(self, shell: Shell, parts: list[Path], simulator: SimulatorProcess) -> None:
        assert len(parts) > 1
        result = take(shell, *parts)
        assert result.returncode == 0, result
        assert Kill.objects.get().state == State.FLAT
        assert len(Entry.objects.get(kind=Kind.JOURNAL_IMPORTED).data["files"]) == len(parts)
        check_agreement(simulator)

    def test_what_would_be_left_out_because_a_part_was_taken_before_is_said(
        self, shell: Shell, parts: list[Path]
    ) -> None:
        first = next(path for path in parts if lines_of(path)[1]["n"] == 2)
        assert take(shell, first).returncode == 0
        result = take(shell, *parts)
        assert result.returncode == 3, result
        assert "is there already, from a journal that ends earlier: this one holds more" in result.stderr

    def test_a_part_that_is_missing_is_named(self, shell: Shell, parts: list[Path]) -> None:
        first = next(path for path in parts if lines_of(path)[1]["n"] == 2)
        result = take(shell, *(path for path in parts if path != first))
        assert result.returncode == 3, result
        assert "line 2 is missing" in result.stderr
        assert nothing_was_taken()


class TestRefused:
    @pytest.fixture
    def lines(self, glass: Shell) -> Iterator[list[bytes]]:
        yield write_journal(glass).read_bytes().splitlines(keepends=True)

    def spoil(self, lines: list[bytes], number: int, change: Change) -> list[bytes]:
        value = json.loads(lines[number - 1])
        change(value)
        del value["n"]
        return [*lines[: number - 1], encode(number, value), *lines[number:]]

    @pytest.mark.parametrize("case", range(len(SPOILED)))
    def test_what_no_journal_says(self, case: int) -> None:
        number, change, why = SPOILED[case]
        number = number if number > 0 else len(SMALL)
        with pytest.raises(NotImported, match=f"line {number} .*{why}"):
            read([_part("spoiled", b"".join(self.spoil(SMALL, number, change)))], source="test")

    def test_what_is_not_spoiled_is_read(self) -> None:
        assert read([_part("good", b"".join(SMALL))], source="test").is_finished

    def test_a_file_that_is_spoiled_in_the_middle_or_none_at_all(
        self, shell: Shell, lines: list[bytes], tmp_path: Path
    ) -> None:
        bad = {
            "middle": b"".join([*lines[:5], b"{broken\n", *lines[6:]]),
            "without": b"".join([*lines[:5], *lines[6:]]),
            "empty": b"",
            "binary": bytes(range(256)) * 50,
            "other-json": b'{"n": 1, "hello": "world"}\n',
        }
        paths = []
        for name, data in bad.items():
            paths.append(tmp_path / name)
            paths[-1].write_bytes(data)
        result = take(shell, *paths, tmp_path, tmp_path / "not-there")
        assert result.returncode == 3, result
        told = {Path(line.split(": ")[1]).name: line for line in result.stderr.splitlines()}
        assert "line 6 is not JSON" in told["middle"]
        assert "line 6 is missing" in told["without"]
        assert "it has no first line" in told["empty"]
        assert "is not JSON" in told["binary"]
        assert "is not the beginning of a break-glass journal" in told["other-json"]
        assert len(told) == 7
        assert "Traceback" not in result.stderr
        assert nothing_was_taken()

    def test_a_file_that_is_still_being_written(self, shell: Shell, glass: Shell) -> None:
        process = glass.start("kill", "--break-glass", "--account", str(FIRST), "--latched")
        try:
            wait_for(lambda: journals(glass) and '"sweep.holds"' in journals(glass)[0].read_text(), "it to be quiet")
            result = take(shell, journals(glass)[0])
        finally:
            process.kill()
            process.communicate()
        assert result.returncode == 3, result
        assert "is still being written" in result.stderr
        assert nothing_was_taken()

    def test_a_good_one_beside_a_bad_one_is_taken(self, shell: Shell, glass: Shell, tmp_path: Path) -> None:
        (tmp_path / "bad").write_text("no")
        result = take(shell, tmp_path / "bad", write_journal(glass))
        assert (result.returncode, Kill.objects.count()) == (3, 1), result
