"""Read the trail for whoever walks along it; in several processes where that is wanted: reading is most of the work."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from django.db import connection

from . import reader, verify_export
from .models import Entry
from .rows import BATCH, Piece, sealed_pieces

Entries = list[verify_export.Entry]

# More than a few read faster than one walks.
MOST = 4
# Stretches that are asked for, or read and not yet walked along, for each process: a few megabytes each.
IN_HAND = 2


def useful_readers() -> int:
    """Return how many processes this machine has something to read for."""
    return min(MOST, os.cpu_count() or 1)


def entries(*, after: int, up_to: int, readers: int = 1) -> Iterator[Entries]:
    """Yield the entries numbered above `after` and at most `up_to` in their order, some thousands at a time.

    Where numbers are missing by the thousand, or a reader is gone, this process reads on by itself.
    """
    if readers > 1:
        for read_until, read in _read_by_others(after, up_to, readers):
            yield read
            after = read_until
    for piece in sealed_pieces(Entry.objects.all(), after=after, up_to=up_to):
        yield list(_entries(piece))


def _read_by_others(after: int, up_to: int, readers: int) -> Iterator[tuple[int, Entries]]:
    """Yield up to which number was read, and what, until there is nothing at some place or a reader is gone."""
    context, database = get_context("spawn"), connection.settings_dict
    asked: deque[tuple[int, Future[Entries]]] = deque()
    pool = ProcessPoolExecutor(readers, mp_context=context, initializer=reader.set_up, initargs=(database,))
    try:
        while asked or after < up_to:
            while after < up_to and len(asked) < readers * IN_HAND:
                until = min(up_to, after + BATCH)
                asked.append((until, pool.submit(_read, after, until)))
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


def _read(after: int, until: int) -> Entries:
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
