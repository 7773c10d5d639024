"""The trail walked along by several processes: the same as by one, whatever became of the trail and of them."""

import os
import signal
from multiprocessing import active_children
from typing import Any

import pytest

from killswitch.audit import ahead
from killswitch.audit.models import Entry
from killswitch.audit.rows import BATCH
from killswitch.audit.verify_export import GENESIS, Anchor
from tests.audit.evidence import renumber, run, take_off_the_triggers, write

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = BATCH * 5 + 10


def anchor(number: int, hash_: str | None = None) -> Anchor:
    own = hash_ or Entry.objects.values_list("hash", flat=True).get(id=number)
    return Anchor(number, own.encode(), "2026-11-21T10:00:00.000000Z", "key", b"", 0)


def begun(anchors: list[Anchor], after: int = 0) -> ahead.Walk:
    head = GENESIS if not after else Entry.objects.values_list("hash", flat=True).get(id=after).encode()
    return ahead.Walk(anchors, head=head, expected=after + 1)


def walked(readers: int, anchors: list[Anchor], *, after: int = 0, up_to: int = COUNT) -> dict[str, Any]:
    """Return all that a walk has come to."""
    walk = begun(anchors, after)
    for _ in ahead.follow(walk, after=after, up_to=up_to, readers=readers):
        pass
    return {**walk.kept(), "findings": walk.findings()}


def what_readers_tell(up_to: int = COUNT) -> list[ahead.Sound | ahead.Entries]:
    return [found for _, found in ahead._read_by_others(begun([]), 0, up_to, 2)]


def test_is_the_same_as_by_one() -> None:
    write(COUNT)
    anchors = [anchor(number) for number in (1, BATCH, BATCH, BATCH + 1, 2 * BATCH + 7, COUNT)]
    alone = walked(1, anchors)
    assert (alone["checked"], alone["held_count"], alone["proven"]) == (COUNT, 6, COUNT)
    assert walked(2, anchors) == alone
    assert walked(2, anchors[1:-1], after=7, up_to=COUNT - 3) == walked(1, anchors[1:-1], after=7, up_to=COUNT - 3)
    told = what_readers_tell()
    assert [found.count for found in told if isinstance(found, ahead.Sound)] == [BATCH] * 5 + [10]


def test_anchors_of_a_chain_that_was_written_anew() -> None:
    write(COUNT)
    anchors = [anchor(BATCH + 1), anchor(BATCH + 3, "0" * 64), anchor(COUNT, "1" * 64)]
    alone = walked(1, anchors)
    assert alone["differs"][0] == BATCH + 3
    assert walked(2, anchors) == alone


@pytest.mark.parametrize("number", [BATCH - 1, BATCH, BATCH + 1, BATCH + 2])
@pytest.mark.parametrize(
    "change", ["hash = '%064d'", "previous_hash = '%064d'", "sentence = 'never happened %d'", "data = '{ }'"]
)
def test_an_entry_that_was_changed_where_two_stretches_meet(number: int, change: str) -> None:
    write(2 * BATCH + 5)
    take_off_the_triggers()
    run(f"UPDATE audit_entry SET {change % 7 if '%' in change else change} WHERE id = %s", number)
    anchors = [anchor(BATCH + 2), anchor(2 * BATCH)]
    alone = walked(1, anchors, up_to=2 * BATCH + 5)
    assert alone["break_count"]
    assert walked(2, anchors, up_to=2 * BATCH + 5) == alone


def test_a_stretch_that_is_sound_by_itself_and_follows_nothing_here() -> None:
    write(3 * BATCH)
    take_off_the_triggers()
    other = "a" * 64
    run("UPDATE audit_entry SET hash = %s WHERE id = %s", other, BATCH)
    told = what_readers_tell(3 * BATCH)
    assert [isinstance(found, ahead.Sound) for found in told] == [False, True, True]
    alone = walked(1, [], up_to=3 * BATCH)
    assert [finding.first for finding in alone["findings"]] == [BATCH]
    assert walked(2, [], up_to=3 * BATCH) == alone


def test_entries_that_were_taken_out_renumbered_or_edited() -> None:
    write(COUNT)
    take_off_the_triggers()
    run("DELETE FROM audit_entry WHERE id > %s AND id <= %s", BATCH, BATCH * 3)
    run("UPDATE audit_entry SET sentence = 'never happened' WHERE id = %s", BATCH * 4)
    run("UPDATE audit_entry SET data = '{ }' WHERE id = %s", 17)
    # Nobody asks for each five thousand of the numbers between.
    renumber(COUNT, 10**15)
    alone = walked(1, [], up_to=2 * 10**15)
    assert alone["checked"] == COUNT - BATCH * 2
    assert walked(2, [], up_to=2 * 10**15) == alone


def test_a_reader_that_is_killed() -> None:
    write(COUNT)
    walk = begun([])
    passing = ahead.follow(walk, after=0, up_to=COUNT, readers=2)
    next(passing)
    readers = active_children()
    assert len(readers) == 2
    os.kill(readers[0].pid or 0, signal.SIGKILL)
    for _ in passing:
        pass
    assert (walk.checked, walk.break_count, walk.expected) == (COUNT, 0, COUNT + 1)


def test_no_reader_is_left_behind() -> None:
    write(BATCH + 1)
    passing = ahead.follow(begun([]), after=0, up_to=COUNT, readers=2)
    next(passing)
    readers = active_children()
    assert readers
    passing.close()  # type: ignore[attr-defined]
    for reader in readers:
        reader.join(10)
        assert reader.exitcode is not None
