"""Where a break-glass journal goes when a place fails."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from killswitch.kills import journal
from killswitch.kills.journal import File, Journal, NoRecord, Stream

HEADER = {"journal": "x"}


class Memory:
    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.data = b""
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.data += data

    def close(self) -> None:
        pass

    @property
    def numbers(self) -> list[int]:
        return [json.loads(line)["n"] for line in self.data.splitlines()]


class Full(Memory):
    """Takes so many writes, and then none."""

    def __init__(self, writes: int) -> None:
        super().__init__("full")
        self._left = writes

    def write(self, data: bytes) -> None:
        if not self._left:
            raise OSError(28, "No space left on device")
        self._left -= 1
        super().write(data)


class Hanging(Full):
    """Takes so many writes, and then does not answer."""

    def write(self, data: bytes) -> None:
        if not self._left:
            time.sleep(1)
        super().write(data)


def use(places: list[Any], work: Callable[[Journal], Awaitable[Any]]) -> list[str]:
    said: list[str] = []

    async def run() -> None:
        book = Journal(HEADER, [lambda place=place: place for place in places], said.append)
        await book.open()
        await work(book)
        await book.close()

    asyncio.run(run())
    return said


async def two_lines(book: Journal) -> None:
    await book.write([{"entry": 1}])
    await book.write([{"entry": 2}])


def test_a_place_that_fills_up_is_left_for_the_next_and_no_line_is_lost() -> None:
    full, rest = Full(2), Memory()
    said = use([full, rest], two_lines)
    assert (full.numbers, rest.numbers) == ([1, 2], [1, 3])
    assert any("THE JOURNAL full CANNOT BE WRITTEN ANY MORE" in line for line in said)


def test_a_place_that_hangs_is_left_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "HANG_SECONDS", 0.1)
    hanging, rest = Hanging(2), Memory()
    started = time.monotonic()
    use([hanging, rest], two_lines)
    assert rest.numbers == [1, 3]
    assert time.monotonic() - started < 5


def test_what_waits_at_once_is_written_at_once() -> None:
    memory = Memory()

    async def fifty_at_once(book: Journal) -> None:
        await asyncio.gather(*(book.write([{"entry": number}]) for number in range(50)))

    use([memory], fifty_at_once)
    assert memory.numbers == list(range(1, 52))
    assert memory.writes <= 3  # the header, the first, and all that came meanwhile


def test_nothing_is_safe_where_nothing_takes_it() -> None:
    with pytest.raises(NoRecord):
        use([Full(0)], two_lines)
    with pytest.raises(NoRecord):
        use([Full(2)], two_lines)


def test_a_stream_that_is_closed_takes_nothing() -> None:
    def closed(_: bytes) -> None:
        raise OSError("it is closed")

    with pytest.raises(NoRecord):
        use([Stream(closed)], two_lines)


def test_a_file_is_synced_before_its_lines_are_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    file = File(tmp_path / "j")
    write, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda *given: (done.append("write"), write(*given))[1])
    monkeypatch.setattr(os, "fsync", lambda *given: (done.append("fsync"), fsync(*given))[1])
    file.write(b"line\n")
    assert done == ["write", "fsync"]


def test_a_half_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = File(tmp_path / "j")
    file.write(b"whole\n")
    write = os.write

    def half(descriptor: int, data: Any) -> int:
        write(descriptor, bytes(data)[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space left"):
        file.write(b"torn\n")
    assert (tmp_path / "j").read_bytes() == b"whole\n"
