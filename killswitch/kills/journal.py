"""Where a break-glass kill is recorded: a file that is on the disk before any DELETE leaves, or what else there is.

A place that cannot be written is left for the next one, also in the middle of a kill: a full disk stops no cancel.
Lines are numbered, so that the parts of one journal can be put together again.
"""

import asyncio
import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID

from .journal_lines import encode

HANG_SECONDS = 3.0  # a disk that does not answer for so long is given up
R = TypeVar("R")
Say = Callable[[str], None]


class NoRecord(Exception):
    """Nothing takes a record: neither a file nor standard error."""


class Hangs(OSError):
    """A disk did not answer in time."""


class Place(Protocol):
    name: str

    def write(self, data: bytes) -> None:
        """Return when `data` is safe. Raises OSError."""

    def close(self) -> None: ...


class File:
    """A new file, readable by its owner alone, and locked while it is written."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self.name = str(path.absolute())
        self._good = 0
        with contextlib.suppress(OSError):  # some network file systems know no locks
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_folder(path)

    def write(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            self._take_back()
            raise
        self._good += len(data)

    def _take_back(self) -> None:
        """Leave no half line where more cannot be written; without a single line, no file."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._good)
            if not self._good:
                Path(self.name).unlink()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class Stream:
    """The last resort: `write` puts lines where somebody may keep them, and raises OSError where it cannot."""

    name = "standard error"

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write

    def close(self) -> None:
        pass


def _sync_folder(path: Path) -> None:
    """Make the file's name survive a power cut, too."""
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def paths(kill_id: UUID, now: datetime, chosen: str | None) -> list[Path]:
    """Return where to try to keep a journal, one after the other: as chosen, here, at home, in the temp folder."""
    name = f"killswitch-{now:%Y%m%dT%H%M%SZ}-{kill_id}.jsonl"
    found = [] if chosen is None else [_chosen(Path(chosen), name)]
    for folder in (Path.cwd, Path.home, tempfile.gettempdir):
        with contextlib.suppress(OSError, RuntimeError):
            found.append(Path(folder()) / name)
    return list(dict.fromkeys(found))


def _chosen(path: Path, name: str) -> Path:
    with contextlib.suppress(OSError):
        return path / name if path.is_dir() else path
    return path


class Journal:
    """Writes numbered lines, those of all sweeps that wait with one fsync. `say` hears of every place that fails."""

    def __init__(self, header: dict[str, Any], places: Sequence[Callable[[], Place]], say: Say) -> None:
        self._header = header
        self._places: Iterator[Callable[[], Place]] = iter(places)
        self._say = say
        self._place: Place | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._waiting: list[tuple[list[dict[str, Any]], asyncio.Future[None]]] = []
        self._drain: asyncio.Task[None] | None = None
        self._lines = 1  # the header
        self.names: list[str] = []  # of the places that hold a part of it
        self.hangs = False  # whether a thread of it may never end

    async def open(self) -> None:
        """Find a place that takes the first line. Raises NoRecord."""
        await self._move_on(b"")

    async def write(self, lines: Sequence[dict[str, Any]]) -> None:
        """Wait until `lines` are safe. Raises NoRecord."""
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        self._waiting.append((list(lines), written))
        if self._drain is None or self._drain.done():
            self._drain = loop.create_task(self._write_all())
        await written

    async def close(self) -> None:
        if self._place is not None:
            await self._in_time(self._place.close)
        self._thread.shutdown(wait=False)

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            error: BaseException | None = None
            try:
                await self._write(self._encode([line for lines, _ in batch for line in lines]))
            except Exception as failure:
                error = failure
            for _, written in batch:
                if written.done():
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)

    def _encode(self, lines: list[dict[str, Any]]) -> bytes:
        encoded = b"".join(encode(self._lines + number, line) for number, line in enumerate(lines, 1))
        self._lines += len(lines)
        return encoded

    async def _write(self, data: bytes) -> None:
        place = self._place
        if place is None:
            raise NoRecord("there is no place left for a journal")
        try:
            await self._in_time(partial(place.write, data))
        except OSError as error:
            self._say(f"THE JOURNAL {place.name} CANNOT BE WRITTEN ANY MORE ({_words(error)})")
            if not isinstance(error, Hangs):
                place.close()
            await self._move_on(data)

    async def _move_on(self, data: bytes) -> None:
        """Go on at the next place that takes the first line and `data`."""
        self._place = None
        first = encode(1, self._header)
        for make in self._places:
            try:
                self._place = await self._in_time(partial(_begin, make, first + data))
            except OSError as error:
                self._say(f"No journal there: {_words(error)}")
            else:
                self.names.append(self._place.name)
                self._say(f"Journal: {self._place.name}")
                return
        raise NoRecord("there is no place left for a journal")

    async def _in_time(self, work: Callable[[], R]) -> R:
        """Do what a disk may take for ever. Raises Hangs."""
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._thread, work), HANG_SECONDS)
        except TimeoutError:
            self.hangs = True
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
            raise Hangs(f"no answer within {HANG_SECONDS:g} s") from None


def _begin(make: Callable[[], Place], data: bytes) -> Place:
    place = make()
    try:
        place.write(data)
    except OSError as error:
        place.close()
        error.filename = place.name
        raise
    return place


def _words(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
