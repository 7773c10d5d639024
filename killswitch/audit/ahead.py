"""Walk along the trail; in several processes where that is wanted: each looks at stretches of it by themselves."""

import hashlib
import os
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context

from django.db import connection

from . import reader, verify_export
from .models import Entry
from .rows import BATCH, Piece, sealed_pieces

Entries = list[verify_export.Entry]

# More than a few are more than a database on a disk gives entries to.
MOST = 4
# Stretches that are asked for, or read and not yet passed, for each process.
IN_HAND = 2


@dataclass(frozen=True)
class Sound:
    """A stretch with no number left out whose entries follow one another, as its reader saw when it walked along it."""

    first: int
    previous_hash: bytes  # what its first entry follows
    count: int
    last: verify_export.Entry
    hashes: dict[int, bytes]  # of the entries that anchors speak of


class Walk(verify_export.Walk):
    """A walk that can pass a whole stretch of which it is known that it follows from its first entry on."""

    def numbers_with_anchors(self, first: int, last: int) -> list[int]:
        begin = bisect_left(self.anchors, first, key=_sequence)
        return [anchor.sequence for anchor in self.anchors[begin : bisect_right(self.anchors, last, key=_sequence)]]

    def pass_over(self, stretch: Sound) -> bool:
        """Go on behind the stretch, and say whether it is what comes next here."""
        if stretch.first != self.expected or stretch.previous_hash != self.head:
            return False
        self.first = stretch.first if self.first is None else self.first
        for number, own in stretch.hashes.items():
            self._compare(number, own)
        self._before, self.head = stretch.last, stretch.last[2]
        self.checked += stretch.count
        self.expected = stretch.first + stretch.count
        self.last = max(self.last or 0, self.expected - 1)
        return True


def _sequence(anchor: verify_export.Anchor) -> int:
    return anchor.sequence


def useful_readers() -> int:
    """Return how many processes this machine has something to read for."""
    return min(MOST, os.cpu_count() or 1)


def follow(walk: Walk, *, after: int, up_to: int, readers: int = 1) -> Iterator[None]:
    """Walk along the entries numbered above `after` and at most `up_to`; yield after every few thousand.

    Where numbers are missing by the thousand, or a reader is gone, this process reads on by itself.
    """
    if readers > 1:
        for until, found in _read_by_others(walk, after, up_to, readers):
            if not isinstance(found, Sound):
                walk.follow(found)
            elif not walk.pass_over(found):
                walk.follow(_between(after, until))
            after = until
            yield
    for piece in sealed_pieces(Entry.objects.all(), after=after, up_to=up_to):
        walk.follow(_entries(piece))
        yield


def _read_by_others(walk: Walk, after: int, up_to: int, readers: int) -> Iterator[tuple[int, Sound | Entries]]:
    """Yield up to which number was read, and what, until there is nothing at some place or a reader is gone."""
    context, database = get_context("spawn"), connection.settings_dict
    asked: deque[tuple[int, Future[Sound | Entries]]] = deque()
    pool = ProcessPoolExecutor(readers, mp_context=context, initializer=reader.set_up, initargs=(database,))
    try:
        while asked or after < up_to:
            while after < up_to and len(asked) < readers * IN_HAND:
                until = min(up_to, after + BATCH)
                asked.append((until, pool.submit(_read, after, until, walk.numbers_with_anchors(after + 1, until))))
                after = until
            until, read = asked.popleft()
            found = read.result()
            if not found:
                return
            yield until, found
    except BrokenProcessPool:
        return
    finally:
        pool.shutdown(cancel_futures=True)


def _read(after: int, until: int, numbers_with_anchors: list[int]) -> Sound | Entries:
    """Return only that a stretch is sound, where it is: all its entries take longer to hand over than to look at."""
    entries = _between(after, until)
    if not entries:
        return entries
    previous_hash = entries[0][3]
    walk = Walk(head=previous_hash, expected=after + 1)
    walk.follow(entries)
    if walk.break_count or len(entries) != until - after:
        return entries
    hashes = {number: entries[number - after - 1][2] for number in numbers_with_anchors}
    return Sound(after + 1, previous_hash, len(entries), entries[-1], hashes)


def _between(after: int, until: int) -> Entries:
    pieces = sealed_pieces(Entry.objects.all(), after=after, up_to=until)
    return [entry for piece in pieces for entry in _entries(piece)]


def _entries(piece: Piece) -> Iterator[verify_export.Entry]:
    sha256, has_form = hashlib.sha256, verify_export.has_form
    for number, content, own_hash, previous_hash, data in piece:
        if data == "{}" or (data is not None and has_form(data.encode())):
            # Written by us from what the columns hold: there is no need to read it again.
            content_hash = sha256(content).hexdigest().encode()
            yield number, content_hash, own_hash.encode(), previous_hash.encode(), content
        else:
            own, previous = (str(text).encode() for text in (own_hash, previous_hash))
            yield verify_export.entry_of(content, own, previous, number)
