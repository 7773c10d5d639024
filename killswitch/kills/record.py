"""Write down what sweeps do, many at once: everything that waits is committed in one transaction.

A sweep waits for its note to be committed, never for a transaction of its own: 200 accounts answer within
milliseconds of each other, and 5,000 single cancels are announced in a handful of commits.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection, connections, transaction

from killswitch import database_clock
from killswitch.audit.operations import Draft

from . import clock
from .ends import settle
from .models import KilledOrder, Sweep
from .order_rows import write_rows
from .told import append

logger = logging.getLogger(__name__)
R = TypeVar("R")

LEASE = timedelta(seconds=10)
RETRY_SECONDS = 0.25
ROWS_IN_A_COMMIT = 1000  # a fraction of a second
BREATH = 0.3  # of the time that a commit took, before the next one
# While first cancels wait for their turn, answers to others are written this much later, in seconds: to write them down
# takes as long as to send, and whoever takes a sweep over asks the broker in any case.
ANSWERS_WAIT = 1.5
LOOK_SECONDS = 0.02
# SQLSTATE classes that Django calls an operational error although they speak of a value: program limit exceeded.
REFUSED_VALUES = {"22", "23", "42", "54"}


class LostLease(Exception):
    """Somebody else has taken the sweep over: stop, send nothing more."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """What one sweep has to say. With `is_announcement`, nothing of it is written once the lease is lost.

    `entries` are what was sent and what the broker answered: they are written even by who has lost the lease.
    `verdicts` are what became of orders and accounts: those are for whoever has it.
    """

    sweep_id: int
    token: uuid.UUID
    entries: Sequence[Draft] = ()
    verdicts: Sequence[Draft] = ()
    orders: Sequence[KilledOrder] = ()
    sweep: dict[str, Any] = field(default_factory=dict)
    is_announcement: bool = False
    may_wait: bool = False  # for cancels that are still to leave
    source: str = ""  # who writes
    settles: uuid.UUID | None = None  # the kill whose state may change with it, in the same transaction

    @property
    def size(self) -> int:
        return 1 + len(self.entries) + len(self.verdicts) + len(self.orders)


class Recorder:
    """Commits notes in batches, on a thread of its own with a database connection of its own.

    `is_crowded` says whether more first cancels are to be sent than may be on their way.
    """

    def __init__(self, is_crowded: Callable[[], bool] = lambda: False) -> None:
        self._is_crowded = is_crowded
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._waiting: list[tuple[Note, asyncio.Future[bool]]] = []
        self._urgent = 0  # of those, how many may not wait
        self._drain: asyncio.Task[None] | None = None

    async def commit(self, note: Note) -> None:
        """Wait until `note` is committed. Raises LostLease."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((note, written))
        self._urgent += not note.may_wait
        if self._drain is None or self._drain.done():
            self._drain = loop.create_task(self._commit_all())
        if not await written:
            raise LostLease

    async def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call `function` on the recorder's thread, again and again while the database does not answer."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.run_in_executor(self._thread, _with_connection, function, *arguments)
            except (OperationalError, InterfaceError) as error:
                if not _may_pass(error):
                    raise
                # What was done at the broker must be written: wait for the database for as long as this process lives.
                logger.error("the database does not answer (%s): trying again", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, connections.close_all)
        self._thread.shutdown(wait=False)

    async def _commit_all(self) -> None:
        while self._waiting:
            await self._let_cancels_go_first()
            batch = self._take_batch()
            started = clock.monotonic()
            try:
                results: Sequence[bool | BaseException] = await self.run(write, [note for note, _ in batch])
            except Exception:
                logger.exception("a batch of %s notes could not be written: writing them one by one", len(batch))
                results = await self._one_by_one([note for note, _ in batch])
            for (_, written), result in zip(batch, results, strict=True):
                _resolve(written, result)
            if self._waiting and connection.vendor == "sqlite":
                # One writer at a time has the whole file: somebody may be pressing the button.
                await asyncio.sleep((clock.monotonic() - started) * BREATH)

    async def _let_cancels_go_first(self) -> None:
        for _ in range(round(ANSWERS_WAIT / LOOK_SECONDS)):
            if self._urgent or not self._is_crowded():
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _take_batch(self) -> "list[tuple[Note, asyncio.Future[bool]]]":
        """Take what fits into one short transaction, announcements first: a DELETE waits for each of them."""
        self._waiting.sort(key=lambda waiting: (not waiting[0].is_announcement, waiting[0].may_wait))
        size = 0
        for count, (note, _) in enumerate(self._waiting):
            size += note.size
            if count and size > ROWS_IN_A_COMMIT:
                break
        else:
            count = len(self._waiting)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._urgent -= sum(not note.may_wait for note, _ in batch)
        return batch

    async def _one_by_one(self, notes: list[Note]) -> list[bool | BaseException]:
        """Keep one note that the database refuses from taking the others with it."""
        results: list[bool | BaseException] = []
        for note in notes:
            try:
                results += await self.run(write, [note])
            except Exception as error:
                results.append(error)
        return results


def _resolve(written: "asyncio.Future[bool]", result: bool | BaseException) -> None:
    if written.done():
        return
    if isinstance(result, BaseException):
        written.set_exception(result)
    else:
        written.set_result(result)


def _may_pass(error: Exception) -> bool:
    """Say whether an error of the database may be gone the next time: not when it is the value that it refuses."""
    code = getattr(error.__cause__, "sqlstate", None)
    return code is None or code[:2] not in REFUSED_VALUES


def _with_connection(function: Callable[..., R], *arguments: Any) -> R:
    for each in connections.all(initialized_only=True):
        each.close_if_unusable_or_obsolete()
    try:
        return function(*arguments)
    except DatabaseError:
        connections.close_all()
        raise


def write(notes: Sequence[Note]) -> list[bool]:
    """Write `notes` in one transaction. Return for each whether its lease still held."""
    with transaction.atomic():
        held = _held(notes)
        keeps = [held.get(note.sweep_id) == note.token for note in notes]
        told = [draft for note, kept in zip(notes, keeps, strict=True) for draft in _told(note, kept)]
        kept_notes = [note for note, kept in zip(notes, keeps, strict=True) if kept]
        _write_orders(kept_notes)
        for note in kept_notes:
            if note.sweep:
                mine = Sweep.objects.filter(id=note.sweep_id, lease_token=note.token)
                mine.update(**_by_the_shared_clock(note.sweep))
        for kill_id, source in sorted({(note.settles, note.source) for note in kept_notes if note.settles}):
            told += settle(kill_id, source)
        append(told)
    return keeps


def _by_the_shared_clock(sweep: dict[str, Any]) -> dict[str, Any]:
    """Whether a list is old is asked by the database's clock."""
    return {**sweep, "listed_at": database_clock.now()} if "listed_at" in sweep else sweep


def _told(note: Note, is_kept: bool) -> Sequence[Draft]:
    if is_kept:
        return [*note.entries, *note.verdicts]
    return () if note.is_announcement else note.entries


def _held(notes: Sequence[Note]) -> dict[int, uuid.UUID | None]:
    """Lock the sweeps that `notes` are about and return who has those that go on."""
    about = Sweep.objects.filter(id__in={note.sweep_id for note in notes}, ended_at=None).order_by("id")
    return dict(about.select_for_update().values_list("id", "lease_token"))


def renew(token: uuid.UUID, sweep_ids: Collection[int]) -> list[int]:
    """Lengthen the leases of one worker's claim on sweeps that it works on. Return those that it still has.

    Of no others: what was committed without this process having heard of it would be kept from everybody for ever.
    """
    held = Sweep.objects.filter(lease_token=token, ended_at=None, id__in=sweep_ids)
    with transaction.atomic():
        held.update(lease_until=database_clock.lease(LEASE))
        return list(held.values_list("id", flat=True))


def _write_orders(notes: Sequence[Note]) -> None:
    write_rows({(row.sweep_id, row.order_id): row for note in notes for row in note.orders}.values())
