"""The chain in the database verified: asked for, carried out once, resumed, recorded, from the shell."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections

from killswitch.audit import verification
from killswitch.audit.models import AnchorKey, Entry, Kind, Verification
from killswitch.audit.operations import Actor
from killswitch.audit.rows import BATCH
from killswitch.audit.verification import (
    Evidence,
    LostLease,
    ask,
    ask_daily,
    broken,
    carry_out_next,
    carry_out_now,
    resume,
    standing,
)
from killswitch.audit.verify_export import PublicKey
from killswitch.database_clock import now as database_now
from tests.audit.evidence import Signer, run, take_off_the_triggers, write
from tests.conftest import ROOT, database_url, end, start, wait_for

ANN = Actor(id=7, name="ann", source="web 10.0.0.1")
NOTHING = Evidence()
State = Verification.State
LONG = BATCH * 2 + 10


def last_entry() -> Entry:
    return Entry.objects.latest("id")


def spoil(sequence: int = 3) -> None:
    take_off_the_triggers()
    run("UPDATE audit_entry SET sentence = 'never happened' WHERE id = %s", sequence)


def stop_after(pieces: int) -> Callable[[], bool]:
    asked = iter(range(1, 1_000))
    return lambda: next(asked) >= pieces


def age(row: Verification, by: timedelta) -> None:
    Verification.objects.filter(id=row.id).update(asked_at=database_now() - by)


@pytest.mark.django_db
class TestAsk:
    def test_keeps_who_asked(self) -> None:
        row = ask(actor=ANN)
        row.refresh_from_db()
        assert (row.state, row.asked_by_name, row.source, row.first, row.last) == (
            State.ASKED,
            "ann",
            "web 10.0.0.1",
            1,
            None,
        )

    def test_does_not_ask_twice(self) -> None:
        assert ask(actor=ANN).id == ask(actor=Actor(name="bob")).id
        write(2)
        assert carry_out_next() is not None
        assert ask(actor=ANN).id == Verification.objects.latest("id").id
        assert Verification.objects.count() == 2

    def test_daily_not_before_there_is_an_entry(self) -> None:
        assert ask_daily(actor=ANN) is None

    def test_daily_once_a_day(self) -> None:
        write(1)
        first = ask_daily(actor=ANN)
        assert first is not None
        assert ask_daily(actor=ANN) is None
        age(first, timedelta(hours=25))
        assert ask_daily(actor=ANN) is not None

    def test_daily_is_not_done_by_a_range(self) -> None:
        write(1)
        ask(actor=ANN, first=3)
        ask(actor=ANN, last=3)
        assert ask_daily(actor=ANN) is not None


@pytest.mark.django_db
class TestCarryOutNext:
    def test_does_nothing_where_nothing_is_asked_for(self) -> None:
        assert carry_out_next() is None

    def test_records_that_it_holds_under_the_name_of_who_asked(self) -> None:
        write(20)
        ask(actor=ANN)
        row = carry_out_next()
        assert row is not None
        assert (row.state, row.last, row.checked) == (State.HOLDS, 20, 20)
        assert row.started_at is not None
        assert row.ended_at is not None
        entry = last_entry()
        assert (entry.kind, entry.actor_id, entry.actor_name, entry.source) == (
            Kind.TRAIL_VERIFIED,
            7,
            "ann",
            "web 10.0.0.1",
        )
        assert entry.sentence == "Verified the audit trail: HOLDS: entries 1 to 20, complete, in order, unchanged."
        assert (entry.data["verdict"], entry.data["verification"]) == ("holds", row.id)
        assert carry_out_next() is None

    def test_records_what_does_not_hold(self) -> None:
        write(20)
        spoil(3)
        ask(actor=ANN)
        row = carry_out_next()
        assert row is not None
        assert row.state == State.BROKEN
        entry = last_entry()
        assert (entry.kind, entry.sentence) == (
            Kind.TRAIL_BROKEN,
            "The audit trail DOES NOT HOLD: EDITED, entry 3.",
        )
        assert entry.data["findings"][0]["first"] == 3

    def test_says_that_nothing_is_there(self) -> None:
        ask(actor=ANN)
        row = carry_out_next()
        assert row is not None
        assert row.state == State.FAILED
        assert row.finding == {"error": "There is no entry in that range: nothing was checked."}
        assert not Entry.objects.exists()
        assert standing().failed == row

    def test_leaves_what_somebody_else_holds(self) -> None:
        write(2)
        row = ask(actor=ANN)
        Verification.objects.filter(id=row.id).update(
            state=State.RUNNING, lease_until=database_now() + timedelta(seconds=5)
        )
        assert carry_out_next() is None
        Verification.objects.filter(id=row.id).update(lease_until=database_now() - timedelta(seconds=5))
        taken = carry_out_next()
        assert taken is not None
        assert taken.state == State.HOLDS

    def test_gives_up_when_somebody_else_took_it(self) -> None:
        write(BATCH + 1)
        row = ask(actor=ANN)

        def take_it_away() -> bool:
            Verification.objects.filter(id=row.id).update(lease_token="00000000-0000-0000-0000-000000000001")
            return True

        with pytest.raises(LostLease):
            carry_out_next(is_ending=take_it_away)
        row.refresh_from_db()
        assert row.state == State.RUNNING
        assert Entry.objects.count() == BATCH + 1

    def test_goes_on_where_it_stood(self) -> None:
        write(LONG)
        ask(actor=ANN)
        row = carry_out_next(is_ending=stop_after(1))
        assert row is not None
        assert (row.state, row.checked, row.next) == (State.ASKED, BATCH, BATCH + 1)
        write(1)  # comes after what it set out to verify
        row = carry_out_next()
        assert row is not None
        assert (row.state, row.checked, row.last) == (State.HOLDS, LONG, LONG)

    def test_goes_on_with_what_it_found(self) -> None:
        write(LONG)
        spoil(3)
        ask(actor=ANN)
        carry_out_next(is_ending=stop_after(1))
        run("DELETE FROM audit_entry WHERE id = %s", BATCH + 5)
        row = carry_out_next()
        assert row is not None
        assert row.finding is not None
        ways = [(one["kind"], one["first"]) for one in row.finding["findings"]]
        assert ways == [("edited", 3), ("missing", BATCH + 5)]

    def test_sees_what_was_changed_just_where_it_stood(self) -> None:
        write(LONG)
        take_off_the_triggers()
        ask(actor=ANN)
        carry_out_next(is_ending=stop_after(1))
        run("DELETE FROM audit_entry WHERE id = %s", BATCH + 1)
        row = carry_out_next()
        assert row is not None
        assert row.finding is not None
        assert [(one["kind"], one["first"]) for one in row.finding["findings"]] == [("missing", BATCH + 1)]

    def test_counts_anchors_once_however_often_it_is_resumed(self) -> None:
        signer = Signer()
        write(LONG)
        signer.sign_table(10, BATCH, BATCH + 1, LONG)
        ask(actor=ANN)
        for _ in range(4):
            carry_out_next(public_keys=signer.pem, is_ending=stop_after(1))
        row = Verification.objects.get()
        assert row.finding is not None
        assert (row.finding["anchors"]["hold"], row.finding["proven_by_anchors"]) == (4, LONG)
        assert not any("known from this database only" in note for note in row.finding["notes"])

    def test_an_anchor_made_meanwhile_is_not_beyond_the_end(self) -> None:
        signer = Signer()
        write(LONG)
        ask(actor=ANN)
        carry_out_next(is_ending=stop_after(1))
        write(5)
        signer.sign_table(LONG + 5)
        row = carry_out_next()
        assert row is not None
        assert (row.state, row.last) == (State.HOLDS, LONG)

    def test_a_key_in_the_table_that_is_none_vouches_for_nothing(self) -> None:
        signer = Signer()
        write(5)
        signer.sign_table(5)
        take_off_the_triggers()
        AnchorKey.objects.update(public="nonsense")
        ask(actor=ANN)
        row = carry_out_next()
        assert row is not None
        assert row.state == State.BROKEN


@pytest.mark.django_db(transaction=True)
def test_two_notaries_do_not_do_the_same() -> None:
    write(LONG)
    ask(actor=ANN)
    done: list[Verification | None] = []
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        done.append(carry_out_next())
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([row for row in done if row is not None]) == 1
    assert Entry.objects.filter(kind=Kind.TRAIL_VERIFIED).count() == 1


@pytest.mark.django_db
class TestRange:
    def now(self, **values: Any) -> Verification:
        return carry_out_now(actor=ANN, evidence=NOTHING, **values)

    def test_looks_at_that_alone(self) -> None:
        write(20)
        spoil(15)
        row = self.now(first=5, last=10)
        assert (row.state, row.checked, row.last) == (State.HOLDS, 6, 10)
        assert row.finding is not None
        assert any("begins with entry 5" in note for note in row.finding["notes"])
        assert self.now(first=16).state == State.HOLDS
        assert self.now(last=15).state == State.BROKEN

    def test_holds_its_first_entry_against_the_one_before(self) -> None:
        write(20)
        take_off_the_triggers()
        run("UPDATE audit_entry SET hash = %s WHERE id = 4", "a" * 64)
        assert self.now(first=5).state == State.BROKEN

    def test_to_an_entry_that_is_not_there(self) -> None:
        write(20)
        row = self.now(last=25)
        assert row.finding is not None
        assert [(one["kind"], one["first"], one["last"]) for one in row.finding["findings"]] == [("cut off", 21, 25)]

    def test_sees_an_end_that_was_cut_off_too(self) -> None:
        write(20)
        Signer().sign_table(20)
        take_off_the_triggers()
        run("DELETE FROM audit_entry WHERE id > 12")
        row = self.now(last=5)
        assert row.finding is not None
        assert [(one["kind"], one["first"], one["last"]) for one in row.finding["findings"]] == [("cut off", 13, 20)]


@pytest.mark.django_db
class TestStanding:
    def test_of_nothing(self) -> None:
        now = standing()
        assert (now.last, now.broken, now.under_way, now.failed) == (None, None, None, None)

    def test_is_broken_until_the_whole_trail_holds(self) -> None:
        write(20)
        spoil(15)
        carry_out_now(actor=ANN, evidence=NOTHING)
        found = broken()
        carry_out_now(actor=ANN, evidence=NOTHING, last=10)
        assert broken() == found is not None
        assert standing().last == found
        run("UPDATE audit_entry SET sentence = '“number” 15\n' WHERE id = 15")
        carry_out_now(actor=ANN, evidence=NOTHING)
        assert broken() is None

    def test_says_when_nobody_takes_it_up(self) -> None:
        row = ask(actor=ANN)
        assert not standing().is_waited_for
        age(row, timedelta(seconds=31))
        assert standing().is_waited_for
        Verification.objects.update(state=State.RUNNING, lease_until=database_now() + timedelta(seconds=5))
        assert not standing().is_waited_for


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", *arguments)
    return int(ended.value.code or 0)


@pytest.mark.django_db
class TestCommand:
    def test_that_it_holds(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(20)
        assert called() == 0
        assert capsys.readouterr().out.startswith("HOLDS: entries 1 to 20, complete, in order, unchanged.")
        assert last_entry().source.startswith("verify_audit ")
        assert last_entry().actor_name

    def test_that_it_does_not(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(20)
        spoil(3)
        assert called("--json") == 1
        assert json.loads(capsys.readouterr().out)["headline"] == "DOES NOT HOLD: EDITED, entry 3."
        assert called("--from", "4", "--to", "19") == 0

    def test_against_anchors_kept_elsewhere(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        signer = Signer()
        write(20)
        take_off_the_triggers()
        [line] = signer.sign_table(20)
        run("DELETE FROM audit_anchor")
        run("DELETE FROM audit_entry WHERE id > 12")
        (tmp_path / "anchors.jsonl").write_bytes(line)
        (tmp_path / "key.pem").write_text(signer.pem)
        assert called() == 0
        assert called("--anchors", str(tmp_path / "anchors.jsonl"), "--public-key", str(tmp_path / "key.pem")) == 1
        assert "DOES NOT HOLD: CUT OFF, entries 14 to 20." in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ((), "no entry in that range"),
            (("--anchors", "none.jsonl"), "none.jsonl cannot be read"),
            (("--resume",), "none that was stopped"),
            (("--resume", "--from", "3"), "leave out --from and --to"),
        ],
    )
    def test_that_it_cannot(self, arguments: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert called(*arguments) == 2
        assert why in capsys.readouterr().err

    def test_goes_on_after_it_was_stopped(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(LONG)
        stopped = carry_out_now(actor=ANN, evidence=NOTHING, is_ending=stop_after(1))
        assert (stopped.state, stopped.next) == (State.STOPPED, BATCH + 1)
        assert carry_out_next() is None, "it is for whoever stopped it to go on"
        assert called("--resume") == 0
        stopped.refresh_from_db()
        assert (stopped.state, stopped.checked) == (State.HOLDS, LONG)
        assert resume(evidence=NOTHING) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_how_far_it_came(how: signal.Signals) -> None:
    write(60_000)
    process = start([sys.executable, "manage.py", "verify_audit"], {"DATABASE_URL": database_url()})
    try:
        wait_for(lambda: Verification.objects.filter(state=State.RUNNING).exists(), "the verification")
        process.send_signal(how)
        assert process.wait(15) == 2
    finally:
        end(process)
    row = Verification.objects.get()
    assert row.state == State.STOPPED
    assert 0 < row.checked < 60_000
    done = subprocess.run(
        [sys.executable, "manage.py", "verify_audit", "--resume"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Checked: 60,000 entries" in done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "killswitch.settings"}


@pytest.mark.django_db
def test_holds_as_much_of_the_trail_as_it_needs() -> None:
    """A walk keeps what it found in the database: it must not grow with the number of places that are broken."""
    write(BATCH * 2)
    take_off_the_triggers()
    run("UPDATE audit_entry SET sentence = 'x'")
    row = carry_out_now(actor=ANN, evidence=Evidence(keys=[PublicKey(Signer().raw)]), is_ending=stop_after(1))
    assert len(json.dumps(row.kept)) < 50_000
    assert row.kept is not None
    assert row.kept["break_count"] == BATCH
    assert connection.in_atomic_block
    assert verification.last_sequence() == BATCH * 2


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is missing"),
        ({"DATABASE_URL": "postgresql://nobody:x@127.0.0.1:9/none"}, "the database does not answer"),
        ({"DATABASE_URL": "sqlite:////dev/null"}, "the database does not answer"),
    ],
    ids=["settings", "no-server", "no-tables"],
)
def test_what_could_not_be_checked_is_not_said_not_to_hold(spoilt: dict[str, str], said: str) -> None:
    command = [sys.executable, "manage.py", "verify_audit"]
    given = {**os.environ, "DJANGO_SETTINGS_MODULE": "killswitch.settings", **spoilt}
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("COULD NOT BE CHECKED: ")
    assert said in done.stderr
