"""The trail read by several processes: the same as by one, whatever became of the trail and of them."""

import os
import signal
from multiprocessing import active_children

import pytest

from killswitch.audit import ahead
from killswitch.audit.rows import BATCH
from tests.audit.evidence import renumber, run, take_off_the_triggers, write

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = BATCH * 5 + 10


def read(readers: int, *, after: int = 0, up_to: int = COUNT) -> ahead.Entries:
    return [entry for some in ahead.entries(after=after, up_to=up_to, readers=readers) for entry in some]


def test_is_the_same_as_by_one() -> None:
    write(COUNT)
    alone = read(1)
    assert [entry[0] for entry in alone] == list(range(1, COUNT + 1))
    assert read(2, after=7, up_to=COUNT - 3) == alone[7:-3]
    by_others = list(ahead._read_by_others(0, COUNT, 2))
    assert [until for until, _ in by_others] == [*range(BATCH, COUNT, BATCH), COUNT]
    assert [entry for _, some in by_others for entry in some] == alone


def test_entries_that_were_taken_out_renumbered_or_edited() -> None:
    write(COUNT)
    take_off_the_triggers()
    run("DELETE FROM audit_entry WHERE id > %s AND id <= %s", BATCH, BATCH * 3)
    run("UPDATE audit_entry SET sentence = 'never happened' WHERE id = %s", BATCH * 4)
    run("UPDATE audit_entry SET data = '{ }' WHERE id = %s", 17)
    # Nobody asks for each five thousand of the numbers between.
    renumber(COUNT, 10**15)
    alone = read(1, up_to=2 * 10**15)
    assert len(alone) == COUNT - BATCH * 2
    assert read(2, up_to=2 * 10**15) == alone


def test_a_reader_that_is_killed() -> None:
    write(COUNT)
    alone = read(1)
    some = ahead.entries(after=0, up_to=COUNT, readers=2)
    found = next(some)
    readers = active_children()
    assert len(readers) == 2
    os.kill(readers[0].pid or 0, signal.SIGKILL)
    for more in some:
        found += more
    assert found == alone


def test_no_reader_is_left_behind() -> None:
    write(BATCH + 1)
    some = ahead.entries(after=0, up_to=COUNT, readers=2)
    next(some)
    readers = active_children()
    assert readers
    some.close()  # type: ignore[attr-defined]
    for reader in readers:
        reader.join(10)
        assert reader.exitcode is not None
