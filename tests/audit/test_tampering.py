"""What somebody may do to the trail who can do everything with the database: each is found, by both verifiers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from killswitch.audit import chain, verification
from killswitch.audit.anchors import anchor_line
from killswitch.audit.models import Anchor, AnchorKey, Entry, Kind, Verification
from killswitch.audit.operations import Actor
from killswitch.audit.verification import Evidence
from killswitch.audit.verify_export import PublicKey
from tests.audit.evidence import (
    NOON,
    Answer,
    Signer,
    check,
    copy,
    exchange,
    export,
    renumber,
    run,
    seal_anew,
    take_off_the_triggers,
    write,
)

pytestmark = pytest.mark.django_db

COUNT = 40
ANCHORED = (10, 20, 30, 40)
ME = Actor(name="auditor")


def verify(*signers: Signer) -> Answer:
    """Verify the database; the record of it is taken away again, so that the export is of the same trail."""
    evidence = Evidence(keys=[PublicKey(signer.raw) for signer in signers])
    row = verification.carry_out_now(actor=ME, evidence=evidence)
    assert row.finding is not None
    Entry.objects.filter(kind__in=(Kind.TRAIL_VERIFIED, Kind.TRAIL_BROKEN)).delete()
    return Answer(0 if row.state == Verification.State.HOLDS else 1, row.finding["headline"], row.finding)


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture
def anchors(signer: Signer) -> list[bytes]:
    write(COUNT)
    take_off_the_triggers()
    return signer.sign_table(*ANCHORED)


def edit_text() -> None:
    run("UPDATE audit_entry SET sentence = 'nothing happened' WHERE id = 17")


def edit_data() -> None:
    run("""UPDATE audit_entry SET data = '{"call":"cancel_open_order","clock_offset":"0.251"}' WHERE id = 17""")


def edit_data_to_what_reads_the_same() -> None:
    run("""UPDATE audit_entry SET data = '{"call": "cancel_open_order","clock_offset":"0.250"}' WHERE id = 17""")


def empty_a_field() -> None:
    run("UPDATE audit_entry SET actor_id = NULL WHERE id = 17")


def shift_a_time() -> None:
    Entry.objects.filter(id=17).update(at=NOON)


def move_to_another_account() -> None:
    run("UPDATE audit_entry SET account_id = 1002 WHERE id = 17")


def edit_own_hash() -> None:
    run("UPDATE audit_entry SET hash = %s WHERE id = 17", "a" * 64)


def edit_previous_hash() -> None:
    run("UPDATE audit_entry SET previous_hash = %s WHERE id = 17", "a" * 64)


def delete_one() -> None:
    run("DELETE FROM audit_entry WHERE id = 17")


def delete_several() -> None:
    run("DELETE FROM audit_entry WHERE id BETWEEN 17 AND 19")


def delete_the_beginning() -> None:
    run("DELETE FROM audit_entry WHERE id < 6")


def delete_and_renumber() -> None:
    run("DELETE FROM audit_entry WHERE id BETWEEN 17 AND 18")
    renumber(19, -2)


def delete_twice_and_renumber() -> None:
    run("DELETE FROM audit_entry WHERE id = 17")
    renumber(18, -1)
    run("DELETE FROM audit_entry WHERE id = 25")
    renumber(26, -1)


def cut_off_the_end() -> None:
    run("DELETE FROM audit_entry WHERE id > 33")


def insert_and_renumber() -> None:
    renumber(17, 1)
    copy(16, 17)


def insert_with_its_hash_and_renumber() -> None:
    insert_and_renumber()
    seal_anew(17, 17)


def swap_two() -> None:
    exchange(17, 23)


def swap_neighbours() -> None:
    exchange(17, 18)


def number_one_anew() -> None:
    run("UPDATE audit_entry SET id = 117 WHERE id = 40")


def write_one_anew() -> None:
    edit_text()
    seal_anew(17, 17)


def write_all_anew() -> None:
    edit_text()
    seal_anew(17)


def write_all_anew_without_one() -> None:
    run("DELETE FROM audit_entry WHERE id = 17")
    renumber(18, -1)
    seal_anew(17)


def replace_the_first() -> None:
    run("UPDATE audit_entry SET sentence = 'began otherwise' WHERE id = 1")
    seal_anew(1, 1)


def replace_everything() -> None:
    run("UPDATE audit_entry SET sentence = 'began otherwise' WHERE id = 1")
    seal_anew(1)


def hang_the_first_on_another() -> None:
    run("UPDATE audit_entry SET previous_hash = %s WHERE id = 1", "a" * 64)
    first = export()[0].partition(b',"hash"')[0] + b"}"
    run("UPDATE audit_entry SET hash = %s WHERE id = 1", chain.link(chain.hash_of(first), "a" * 64))


def empty_it() -> None:
    run("DELETE FROM audit_entry")


Tamper = Callable[[], None]
Way = tuple[str, int, int]
WAYS: dict[Tamper, Way] = {
    edit_text: ("edited", 17, 17),
    edit_data: ("edited", 17, 17),
    edit_data_to_what_reads_the_same: ("edited", 17, 17),
    empty_a_field: ("edited", 17, 17),
    shift_a_time: ("edited", 17, 17),
    move_to_another_account: ("edited", 17, 17),
    edit_own_hash: ("edited", 17, 17),
    edit_previous_hash: ("edited", 17, 17),
    delete_one: ("missing", 17, 17),
    delete_several: ("missing", 17, 19),
    delete_and_renumber: ("missing", 17, 18),
    delete_twice_and_renumber: ("missing", 17, 17),
    cut_off_the_end: ("cut off", 34, 40),
    insert_and_renumber: ("inserted", 17, 17),
    insert_with_its_hash_and_renumber: ("inserted", 17, 17),
    swap_two: ("re-ordered", 17, 17),
    swap_neighbours: ("re-ordered", 17, 17),
    number_one_anew: ("edited", 40, 40),
    write_one_anew: ("edited", 17, 17),
    write_all_anew: ("forked", 11, 20),
    write_all_anew_without_one: ("forked", 11, 20),
    replace_the_first: ("edited", 1, 1),
    replace_everything: ("forked", 1, 10),
    hang_the_first_on_another: ("forked", 1, 1),
}
# What a chain that holds together does not show by itself: an anchor is needed.
ONLY_AN_ANCHOR_SHOWS = {cut_off_the_end, write_all_anew, write_all_anew_without_one, replace_everything}
# What is shown in any case, though an anchor tells more.
WITHOUT_AN_ANCHOR: dict[Tamper, Way] = {
    write_one_anew: ("forked", 17, 17),
    replace_the_first: ("forked", 1, 1),
}


def test_what_nobody_touched_holds(signer: Signer, anchors: list[bytes], tmp_path: Path) -> None:
    assert verify(signer).code == 0
    answer = check(tmp_path, export(), anchors=anchors, signers=[signer])
    assert answer.code == 0
    assert answer.told is not None
    assert answer.told["proven_by_anchors"] == COUNT


@pytest.mark.parametrize("tamper", WAYS, ids=lambda tamper: tamper.__name__)
class TestTampering:
    def test_is_found_and_named(self, tamper: Tamper, signer: Signer, anchors: list[bytes], tmp_path: Path) -> None:
        tamper()
        in_database, exported = verify(signer), check(tmp_path, export(), anchors=anchors, signers=[signer])
        assert (in_database.code, exported.code) == (1, 1)
        assert in_database.ways[0] == exported.ways[0] == WAYS[tamper]

    def test_is_found_without_anchors_where_the_chain_shows_it(
        self, tamper: Tamper, signer: Signer, anchors: list[bytes], tmp_path: Path
    ) -> None:
        run("DELETE FROM audit_anchor")
        tamper()
        in_database, exported = verify(signer), check(tmp_path, export())
        assert in_database.ways[:1] == exported.ways[:1]
        if tamper in ONLY_AN_ANCHOR_SHOWS:
            assert (in_database.code, exported.code) == (0, 0)
            assert "whether the chain was written anew" in exported.text
        else:
            assert in_database.ways[0] == WITHOUT_AN_ANCHOR.get(tamper, WAYS[tamper])


class TestOnlyTheDatabaseKnowsWhereItBegins:
    """An export may begin anywhere; the chain in the database begins with the first entry."""

    def test_its_beginning_taken_away(self, signer: Signer, anchors: list[bytes], tmp_path: Path) -> None:
        delete_the_beginning()
        assert verify(signer).ways[0] == ("cut off", 1, 5)
        given = {"anchors": anchors, "signers": [signer]}
        ranged = check(tmp_path, export(), **given)
        assert ranged.code == 0
        assert "nothing is said about entries before" in ranged.text
        assert check(tmp_path, export(), "--from", "1", **given).ways[0] == ("cut off", 1, 5)

    def test_an_entry_before_the_first(self, signer: Signer, anchors: list[bytes]) -> None:
        copy(1, 0)
        assert verify(signer).ways[0] == ("inserted", 0, 0)

    def test_everything_taken_away(self, signer: Signer, anchors: list[bytes]) -> None:
        empty_it()
        assert verify(signer).ways[0] == ("cut off", 1, 40)


class TestAnchors:
    def both(self, anchors: list[bytes], tmp_path: Path, *signers: Signer) -> list[tuple[str, int | None, int | None]]:
        in_database, exported = verify(*signers), check(tmp_path, export(), anchors=anchors, signers=signers)
        assert (in_database.code, exported.code) == (1, 1)
        assert in_database.ways == exported.ways
        return in_database.ways

    def test_signed_by_another_key(self, signer: Signer, anchors: list[bytes], tmp_path: Path) -> None:
        other = Signer()
        anchors = [*anchors, *other.sign_table(25)]
        AnchorKey.objects.filter(key=other.name).delete()
        assert self.both(anchors, tmp_path, signer) == [("anchor of another key", 25, 25)]

    def test_signed_by_another_key_under_the_name_of_ours(
        self, signer: Signer, anchors: list[bytes], tmp_path: Path
    ) -> None:
        forger = Signer()
        write_all_anew()
        forged = {number: forger.anchor(number, _hash(number)).signature for number in (20, 30, 40)}
        for number, signature in forged.items():
            run(
                "UPDATE audit_anchor SET hash = %s, signature = %s WHERE sequence = %s",
                _hash(number),
                signature,
                number,
            )
        ways = self.both(_table(), tmp_path, signer)
        assert ways == [("anchor edited", number, number) for number in (20, 30, 40)]

    def test_all_written_anew_by_another_key(self, signer: Signer, anchors: list[bytes], tmp_path: Path) -> None:
        """Whoever puts their key into the database too is found by an anchor, or by the key, kept elsewhere."""
        forger = Signer()
        write_all_anew()
        run("DELETE FROM audit_anchor")
        run("DELETE FROM audit_anchorkey")
        forged = forger.sign_table(*ANCHORED)
        by_itself = verify()
        assert by_itself.code == 0
        assert by_itself.told is not None
        assert any(f"Key {forger.name} is known from this database only" in note for note in by_itself.told["notes"])
        assert [way for way, *_ in check(tmp_path, export(), anchors=forged, signers=[signer]).ways] == [
            "anchor of another key"
        ] * 4
        assert check(tmp_path, export(), anchors=anchors, signers=[signer]).ways[0] == ("forked", 11, 20)

    @pytest.mark.parametrize("column", ["hash", "at", "sequence", "signature"])
    def test_edited(self, column: str, signer: Signer, anchors: list[bytes], tmp_path: Path) -> None:
        value = {"hash": "a" * 64, "at": NOON.replace(year=2027), "sequence": 29, "signature": _signature_of(20)}[
            column
        ]
        Anchor.objects.filter(sequence=30).update(**{column: value})
        number = 29 if column == "sequence" else 30
        assert self.both(_table(), tmp_path, signer) == [("anchor edited", number, number)]

    def test_that_are_none(self, signer: Signer, anchors: list[bytes]) -> None:
        run("UPDATE audit_anchor SET signature = 'x' WHERE sequence = 30")
        assert verify(signer).ways == [("anchor edited", 30, 30)]


def _hash(number: int) -> str:
    return str(Entry.objects.values_list("hash", flat=True).get(id=number))


def _signature_of(number: int) -> str:
    return str(Anchor.objects.values_list("signature", flat=True).get(sequence=number))


def _table() -> list[bytes]:
    return [anchor_line(anchor) for anchor in Anchor.objects.order_by("sequence")]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_entry SET data = X'00' WHERE id = 17",
        "UPDATE audit_entry SET account_id = 'x' WHERE id = 17",
        "UPDATE audit_entry SET at = 'never' WHERE id = 17",
        "UPDATE audit_entry SET sentence = sentence || char(0) || 'more' WHERE id = 17",
        "UPDATE audit_entry SET attempt_id = 'x' WHERE id = 17",
        "UPDATE audit_entry SET hash = X'00' WHERE id = 17",
        "UPDATE audit_entry SET sentence = CAST(X'ff' AS TEXT) WHERE id = 17",
        "UPDATE audit_entry SET data = CAST(X'7bff7d' AS TEXT) WHERE id = 17",
        "UPDATE audit_entry SET http_status = 1.5 WHERE id = 17",
    ],
)
def test_what_no_entry_holds_is_found(sql: str, signer: Signer, anchors: list[bytes]) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite keeps anything in any column")
    run(sql)
    assert verify(signer).ways[0] == ("edited", 17, 17)
