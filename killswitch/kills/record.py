"""Write down what sweeps do, many at once: everything that waits is committed in one transaction.

A sweep waits for its note to be committed, never for a transaction of its own: 200 accounts answer within
milliseconds of each other, and 5,000 single cancels are announced in a handful of commits.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connections, transaction

from killswitch.audit.operations import Draft, append
from killswitch.database_clock import lease

from .ends import settle
from .models import KilledOrder, Sweep

logger = logging.getLogger(__name__)
R = TypeVar("R")

LEASE = timedelta(seconds=10)
RETRY_SECONDS = 0.25
ROWS = 500
# SQLSTATE classes that Django calls an operational error although they speak of a value: program limit exceeded.
REFUSED_VALUES = {"22", "23", "42", "54"}
ORDER_FIELDS = [
    f.name for f in KilledOrder._meta.concrete_fields if f.name not in ("id", "sweep", "order_id", "filled_before")
]


class LostLease(Exception):
    """Somebody else has taken the sweep over: stop, send nothing more."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """What one sweep has to say. With `is_announcement`, nothing of it is written once the lease is lost."""

    sweep_id: int
    token: uuid.UUID
    entries: Sequence[Draft] = ()
    orders: Sequence[KilledOrder] = ()
    sweep: dict[str, Any] = field(default_factory=dict)
    is_announcement: bool = False
    settles: uuid.UUID | None = None  # the kill whose state may change with it, in the same transaction


class Recorder:
    """Commits notes in batches, on a thread of its own with a database connection of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._waiting: list[tuple[Note, asyncio.Future[bool]]] = []
        self._drain: asyncio.Task[None] | None = None

    async def commit(self, note: Note) -> None:
        """Wait until `note` is committed. Raises LostLease."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((note, written))
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
            batch, self._waiting = self._waiting, []
            try:
                results: Sequence[bool | BaseException] = await self.run(write, [note for note, _ in batch])
            except Exception:
                logger.exception("a batch of %s notes could not be written: writing them one by one", len(batch))
                results = await self._one_by_one([note for note, _ in batch])
            for (_, written), result in zip(batch, results, strict=True):
                _resolve(written, result)

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
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
    try:
        return function(*arguments)
    except DatabaseError:
        connections.close_all()
        raise


def write(notes: Sequence[Note]) -> list[bool]:
    """Write `notes` in one transaction. Return for each whether its lease still held."""
    with transaction.atomic():
        held = _renew({note.token for note in notes})
        keeps = [held.get(note.sweep_id) == note.token for note in notes]
        append(
            draft
            for note, kept in zip(notes, keeps, strict=True)
            if kept or not note.is_announcement
            for draft in note.entries
        )
        kept_notes = [note for note, kept in zip(notes, keeps, strict=True) if kept]
        _write_orders(kept_notes)
        for note in kept_notes:
            if note.sweep:
                Sweep.objects.filter(id=note.sweep_id, lease_token=note.token).update(**note.sweep)
        for kill_id in dict.fromkeys(note.settles for note in kept_notes if note.settles):
            settle(kill_id)
        _renew({note.token for note in notes})  # a large batch takes a while
    return keeps


def _renew(tokens: set[uuid.UUID]) -> dict[int, uuid.UUID | None]:
    """Lengthen the leases that are still held, which also locks their rows, and return them by sweep."""
    held = Sweep.objects.filter(lease_token__in=tokens, ended_at=None)
    held.update(lease_until=lease(LEASE))
    return dict(held.values_list("id", "lease_token"))


def renew(token: uuid.UUID) -> None:
    """Lengthen every lease of one worker's claim."""
    _renew({token})


def _write_orders(notes: Sequence[Note]) -> None:
    rows = {(row.sweep_id, row.order_id): row for note in notes for row in note.orders}
    for row in rows.values():
        # A row that was written before must meet the constraint on (sweep, order), not that on its number.
        row.pk = None
    KilledOrder.objects.bulk_create(
        rows.values(),
        batch_size=ROWS,
        update_conflicts=True,
        unique_fields=["sweep", "order_id"],
        update_fields=ORDER_FIELDS,
    )
