"""What reads as if it held, and does not: found, named, and never in the way of whoever appends."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from killswitch.audit import chain, guard, verification, verify_export
from killswitch.audit.models import Entry, Kind, Span, Verification
from killswitch.audit.operations import Actor, Draft, append
from killswitch.audit.queries import find
from killswitch.audit.rows import sealed
from killswitch.audit.search import Search

from .evidence import NOON, Signer, check, write

pytestmark = pytest.mark.django_db


def verified() -> Verification:
    return verification.carry_out_now(actor=Actor(name="x"), evidence=verification.Evidence())


def spoil(statement: str) -> None:
    guard.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute(statement)
    guard.install(connection)


def test_a_trail_that_was_cut_off_can_grow_again() -> None:
    write(Span.SIZE + 10)
    spoil(f"DELETE FROM audit_entry WHERE id > {Span.SIZE - 10}")
    write(20)
    assert Entry.objects.count() == Span.SIZE + 10


def test_what_grew_again_is_found_by_its_time_and_an_old_note_of_times_is_named() -> None:
    write(Span.SIZE)
    spoil(f"DELETE FROM audit_entry WHERE id > {Span.SIZE - 10}")
    later = NOON + timedelta(days=1)
    append([Draft(kind=Kind.DENIED, at=later, sentence="grown again")])
    assert [entry.sentence for entry in find(Search(since=later)).entries] == ["grown again"]
    assert verified().words == "DOES NOT HOLD: EDITED, entries 1 to 2,000."


def test_a_note_of_times_that_was_changed_is_named() -> None:
    write(2 * Span.SIZE)
    assert verified().state == Verification.State.HOLDS
    spoil("UPDATE audit_span SET last_at = first_at WHERE id = 2")
    missed = Search(since=NOON + timedelta(seconds=Span.SIZE + 100), until=NOON + timedelta(seconds=Span.SIZE + 200))
    assert find(missed).entries == [], "a search by time goes by the notes: what it hides must be found elsewhere"
    found = verified()
    assert (found.state, found.words) == ("broken", "DOES NOT HOLD: EDITED, entries 2,001 to 4,000.")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET symbol = x'0003CB' WHERE id = 20",  # in base64 that is AAPL
        "UPDATE audit_entry SET at = replace(at, ' ', 'T') || '.000000Z' WHERE id = 20",
        "UPDATE audit_entry SET at = CAST(at AS BLOB) WHERE id = 20",
        "UPDATE audit_entry SET actor_name = CAST(actor_name AS BLOB) WHERE id = 20",
    ],
    ids=["text-as-bytes", "time-of-another-form", "time-as-bytes", "name-as-bytes"],
)
def test_a_column_that_only_reads_the_same_is_named(statement: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite keeps anything in any column")
    write(30)
    spoil(statement)
    found = verified()
    assert (found.state, found.words) == ("broken", "DOES NOT HOLD: EDITED, entry 20.")


def test_an_export_that_leaves_entries_out_is_not_called_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(20)
    lines = [row.skeleton if row.sequence in (7, 8) else row.line for row in sealed(Entry.objects.all())]
    (tmp_path / "trail.jsonl").write_bytes(b"\n".join([*lines, b""]))
    assert verify_export.main([str(tmp_path / "trail.jsonl")]) == 0
    headline = capsys.readouterr().out.splitlines()[0]
    assert headline.startswith("HOLDS: entries 1 to 20, in order, unchanged. 2 of them are left out of this file")


def test_anchors_of_a_key_that_only_the_database_knows_vouch_for_nothing() -> None:
    ours, theirs = Signer(), Signer()
    write(20)
    ours.sign_table(5)
    theirs.sign_table(10, 20)
    evidence = verification.Evidence.of_keys(ours.pem)
    found = verification.carry_out_now(actor=Actor(name="x"), evidence=evidence)
    told = found.finding or {}
    assert (found.state, told["proven_by_anchors"], told["anchors"]["last"]["sequence"]) == ("holds", 5, 5)
    assert any(theirs.name in note and "vouch for nothing" in note for note in told["notes"])


def test_of_a_huge_entry_only_near_numbers_are_tried(tmp_path: Path) -> None:
    huge, previous = b"x" * 1_000_000, b"0" * 64
    sealed_as = b'{"sentence":"%b","sequence":20,"side":""}' % huge
    own = chain.link(chain.hash_of(sealed_as), previous.decode()).encode()
    near, far = (sealed_as.replace(b":20,", number) for number in (b":23,", b":70,"))
    assert verify_export._sealed_as(near, own, previous) == 20
    assert verify_export._sealed_as(far, own, previous) is None, "one that is huge may take minutes"


@pytest.mark.parametrize("signed", [[20], [2, 20]], ids=["beyond", "before-and-beyond"])
def test_anchors_that_say_nothing_of_a_part_are_no_comfort(signed: list[int], tmp_path: Path) -> None:
    signer = Signer()
    write(20)
    anchors = signer.sign_table(*signed)
    lines = [row.line for row in sealed(Entry.objects.all())]
    cut = check(tmp_path, lines[4:15], anchors=anchors, signers=[signer])
    assert (cut.code, cut.told and cut.told["verdict"]) == (2, "not_vouched_for")
    assert cut.text.startswith(
        "NOT VOUCHED FOR: entries 5 to 15, complete, in order, unchanged, and none of the anchors"
    )
    whole = check(tmp_path, lines[4:], anchors=anchors, signers=[signer])
    assert (whole.code, whole.told and whole.told["verdict"]) == (0, "holds")
