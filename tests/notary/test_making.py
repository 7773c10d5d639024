"""Anchors are made when they are due, hold against the public key, and never twice for one entry."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import DatabaseError, connection, transaction

from killswitch.audit import guard
from killswitch.audit.anchors import anchor_after, anchor_line, anchors_of, public_keys
from killswitch.audit.models import Anchor, AnchorKey, Entry, Kind
from killswitch.notary import keys
from killswitch.notary.models import Delivery
from killswitch.notary.operations import contradiction, is_due, make_anchor

from .conftest import NOON, Anchored, check_line, write

SECOND = timedelta(seconds=1)


@pytest.mark.django_db
class TestLine:
    def test_is_in_its_one_form_and_holds(self, anchored: Anchored, key: keys.Key) -> None:
        [anchor] = anchored()
        anchor.refresh_from_db()
        line = anchor_line(anchor)
        assert line.startswith(b'{"algorithm":"ed25519","at":"2026-11-21T12:00:00.000120Z","hash":"')
        assert check_line(line, key.public) == {
            "algorithm": "ed25519",
            "at": "2026-11-21T12:00:00.000120Z",
            "hash": Entry.objects.get().hash,
            "key": key.id,
            "sequence": 1,
        }

    @pytest.mark.parametrize(("of", "to"), [(b'"sequence":1', b'"sequence":2'), (b"12:00", b"12:01"), (b"ed2", b"ed3")])
    def test_does_not_hold_with_anything_changed(self, of: bytes, to: bytes, anchored: Anchored, key: keys.Key) -> None:
        [anchor] = anchored()
        with pytest.raises(InvalidSignature):
            check_line(anchor_line(anchor).replace(of, to), key.public)

    def test_of_an_old_key_stays_verifiable(self, anchored: Anchored, key: keys.Key) -> None:
        [old] = anchored()
        write()
        newer = keys.Key(Ed25519PrivateKey.generate())
        new = make_anchor(newer, now=NOON + SECOND)
        assert new is not None
        assert public_keys() == key.public + newer.public
        halves = {row.key: row.public for row in AnchorKey.objects.all()}
        check_line(anchor_line(old), halves[old.key])
        check_line(anchor_line(new), halves[new.key])


@pytest.mark.django_db
class TestIsDue:
    def test_with_the_first_entry(self) -> None:
        assert not is_due(NOON)
        write()
        assert is_due(NOON)

    def test_after_the_interval_and_only_if_something_happened(self, anchored: Anchored, settings: Any) -> None:
        anchored()
        assert not is_due(NOON + timedelta(days=1))
        write()
        interval = settings.ANCHOR_SECONDS * SECOND
        assert not is_due(NOON + interval - SECOND)
        assert is_due(NOON + interval)

    def test_at_once_after_the_end_of_a_kill(self, anchored: Anchored, key: keys.Key) -> None:
        anchored()
        write(Kind.KILL_ENDED)
        write()
        assert is_due(NOON + SECOND)
        make_anchor(key, now=NOON + SECOND)
        write()
        assert not is_due(NOON + SECOND)

    def test_though_the_last_was_made_by_a_clock_that_is_ahead(self, anchored: Anchored) -> None:
        anchored()
        write()
        assert is_due(NOON - timedelta(hours=1))


@pytest.mark.django_db
class TestMakeAnchor:
    def test_makes_none_of_nothing_and_none_twice(self, key: keys.Key) -> None:
        assert make_anchor(key, now=NOON) is None
        write()
        assert make_anchor(key, now=NOON) is not None
        assert make_anchor(key, now=NOON + SECOND) is None
        other = keys.Key(Ed25519PrivateKey.generate())
        assert make_anchor(other, now=NOON + SECOND) is None
        assert [anchor.key for anchor in Anchor.objects.all()] == [key.id]
        assert [row.key for row in AnchorKey.objects.all()] == [key.id]

    def test_is_found_by_the_entries_it_covers(self, anchored: Anchored) -> None:
        write()
        first, second = anchored(2)
        write()
        assert [anchor_after(number) for number in range(1, 5)] == [first, first, second, None]
        assert list(anchors_of(2, 2)) == [first]
        assert list(anchors_of()) == [first, second]


@pytest.mark.django_db
@pytest.mark.parametrize("sql", ["UPDATE audit_anchorkey SET public = ''", "DELETE FROM audit_anchorkey"])
def test_the_database_refuses_to_change_a_key_that_was_used(sql: str, anchored: Anchored) -> None:
    anchored()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.django_db(transaction=True)
def test_of_many_notaries_at_once_one_makes_each_anchor(key: keys.Key) -> None:
    many = 6
    together = threading.Barrier(many)

    def sign(_: int) -> bool:
        together.wait()
        try:
            return make_anchor(key, now=NOON) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(many) as threads:
        for _ in range(5):
            write()
            assert sum(threads.map(sign, range(many))) == 1
    assert [anchor.sequence for anchor in anchors_of()] == [1, 2, 3, 4, 5]


@pytest.mark.django_db(transaction=True)
class TestContradiction:
    def spoil(self, sql: str) -> None:
        guard.remove(connection)
        with connection.cursor() as cursor:
            cursor.execute(sql)
        guard.install(connection)

    def test_is_none_in_a_trail_that_grew(self, anchored: Anchored) -> None:
        [anchor] = anchored()
        write(count=2)
        assert contradiction(anchor) == ""

    def test_is_a_tail_cut_off(self, anchored: Anchored) -> None:
        *_, anchor = anchored(3)
        self.spoil("DELETE FROM audit_entry WHERE id > 1")
        assert contradiction(anchor) == "entry 3 was anchored and is gone: the end of the trail was cut off"

    def test_is_a_chain_written_anew(self, anchored: Anchored) -> None:
        [anchor] = anchored()
        self.spoil(f"UPDATE audit_entry SET hash = '{'0' * 64}'")
        assert contradiction(anchor) == "entry 1 was anchored and is another one now: the trail was written anew"

    def test_is_a_tail_cut_off_with_its_anchors(self, anchored: Anchored) -> None:
        first, *_, last = anchored(3)
        Delivery.objects.create(place="file", delivered=last.sequence, seen_at=NOON)
        assert contradiction(last) == ""
        self.spoil("DELETE FROM audit_entry WHERE id > 1")
        self.spoil("DELETE FROM audit_anchor WHERE sequence > 1")
        gone = "entry 3 was anchored and its anchor is gone: the end of the trail was cut off with its anchors"
        assert contradiction(first) == gone
        self.spoil("DELETE FROM audit_anchor")
        assert contradiction(None) == gone
