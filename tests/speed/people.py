"""People with a page open: they look at the desk, and within a second of the press follow that kill as browsers do.

`python -m tests.speed.people` is all of them, in a process of its own: they are not to slow whoever presses, and take
as little as may be of the cores that the product needs.
"""

import asyncio
import html
import json
import re
import subprocess
import sys
import time
from types import TracebackType

import aiohttp

from tests.bench import ROOT

HTMX = {"HX-Request": "true"}
MARKS = re.compile(r'data-marks="([^"]*)"')
DESK_EVERY, KILL_EVERY = 3.0, 1.0  # seconds
LOOKED = "all have looked"


class People:
    """So many people, who begin with the desk."""

    def __init__(self, address: str, cookies: dict[str, str], count: int) -> None:
        given = json.dumps({"address": address, "cookies": cookies, "count": count})
        command = [sys.executable, "-m", "tests.speed.people", given]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "People":
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != LOOKED:
            raise RuntimeError("the people saw no desk")
        return self

    def follow(self, kill_id: str) -> None:
        assert self._process.stdin is not None
        print(kill_id, file=self._process.stdin, flush=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.communicate()
        if self._process.returncode and error is None:
            raise RuntimeError("somebody who followed the kill got no answer")


class _Person:
    """`delay`: a part of the time between two questions, so that not everybody asks at the same moment."""

    def __init__(self, http: aiohttp.ClientSession, delay: float) -> None:
        self._http = http
        self._delay = delay

    async def look(self) -> None:
        await self._get("/")

    async def watch(self, pressed: "asyncio.Future[str]") -> None:
        await _until(pressed, self._delay * DESK_EVERY)
        while not pressed.done():
            await self._every(DESK_EVERY, pressed, self._get("/", HTMX))

    async def follow(self, kill_id: str, over: "asyncio.Future[None]") -> None:
        address = f"/kills/{kill_id}/"
        # Not all at one moment: each page asks in its own time, and so do those who look at it.
        await _until(over, self._delay * KILL_EVERY)
        seen = _marks(await self._get(address))
        await _until(over, KILL_EVERY)
        while not over.done():
            text = await self._every(KILL_EVERY, over, self._get(address, {**HTMX, "X-Seen": seen}))
            seen = _marks(text) or seen

    async def _every(self, seconds: float, until: "asyncio.Future[object]", answer: "asyncio.Future[str]") -> str:
        began = time.monotonic()
        text = await answer
        await _until(until, seconds - (time.monotonic() - began))
        return text

    async def _get(self, address: str, headers: dict[str, str] | None = None) -> str:
        async with self._http.get(address, headers=headers) as answer:
            return await answer.text()


async def _until(future: "asyncio.Future[object]", seconds: float) -> None:
    await asyncio.wait([future], timeout=max(0.0, seconds))


def _marks(page: str) -> str:
    found = MARKS.search(page)
    return html.unescape(found[1]) if found else ""


async def _all(address: str, cookies: dict[str, str], count: int) -> None:
    loop = asyncio.get_running_loop()
    pressed, over = loop.create_future(), loop.create_future()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(
        address, cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True), connector=connector, timeout=timeout,
        raise_for_status=True,
    ) as http:  # fmt: skip
        people = [_Person(http, (number + 0.5) / count) for number in range(count)]
        await asyncio.gather(*(person.look() for person in people))
        print(LOOKED, flush=True)
        async with asyncio.TaskGroup() as tasks:
            for person in people:
                tasks.create_task(_looks_and_follows(person, pressed, over))
            pressed.set_result((await lines.readline()).decode().strip())
            await lines.read()
            over.set_result(None)


async def _looks_and_follows(person: _Person, pressed: "asyncio.Future[str]", over: "asyncio.Future[None]") -> None:
    await person.watch(pressed)
    if kill_id := await pressed:
        await person.follow(kill_id, over)


if __name__ == "__main__":
    asyncio.run(_all(**json.loads(sys.argv[1])))
