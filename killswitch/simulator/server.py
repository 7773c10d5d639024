"""Take requests in, apply the fault that was asked for, answer."""

from __future__ import annotations

import asyncio
import hmac
import os
import signal
import sys
import traceback

import msgspec
from aiohttp import web

from killswitch.simulator import routes
from killswitch.simulator.api import Api, Asking
from killswitch.simulator.book import Book
from killswitch.simulator.control import Control
from killswitch.simulator.faults import LISTS, NOTHING, Asked, Do, Faults, RawBody
from killswitch.simulator.life import Life
from killswitch.simulator.log import Entry, RequestLog, now_text
from killswitch.simulator.population import Population
from killswitch.simulator.runaway import Runaway
from killswitch.simulator.wire import (
    Problem,
    error_envelope,
    error_in_success,
    new_request_id,
    read_page,
    spoken_by,
)

HTML = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
BODIES = {"html": HTML.encode(), "empty": b"", "not_json": b'{"data": [oops'}
BODY_TYPES = {"html": "text/html"}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line decides."""

    host: str
    port: int
    accounts: int
    orders: int
    ended: int
    seed: int
    latency_ms: float
    cancel_ms: float
    arrivals_per_second: float
    fills_per_second: float
    api_key: str
    wire: str
    page_size_max: int
    runaway_after: float | None = None
    certificate: str = ""
    key: str = ""


class Answer(msgspec.Struct):
    """An answer that is ready to be sent."""

    status: int
    body: bytes
    headers: dict[str, str] = {}
    content_type: str = "application/json"


class Broker:
    """The simulated broker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.book = Book()
        self.population = Population(self.book, settings.seed)
        self.life = Life(self.book, self.population, settings.cancel_ms / 1000)
        self.faults = Faults()
        self.log = RequestLog()
        self.api = Api(self.book, self.life, self.population, settings.page_size_max)
        self.runaway = Runaway(self.life, settings.runaway_after)
        self.control = Control(self.book, self.life, self.population, self.faults, self.log, self.runaway)
        self.expected = f"Bearer {settings.api_key}".encode()
        for account in self.population.add_accounts(settings.accounts):
            self.population.populate(account.id, settings.orders, settings.ended)

    def start(self) -> None:
        self.life.flow.set(self.settings.arrivals_per_second, self.settings.fills_per_second)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/_sim/"):
            return await self.control.handle(request)
        params = dict(request.query)
        entry = self.log.arrive(request.method, request.path, params, new_request_id(), request.remote or "")
        entry.asked_from_port = port_of(request)
        route = routes.find(request.method, request.rel_url.raw_path)
        entry.call, entry.account_id, entry.order_id = route.call, route.account_id, route.order_id
        entry.authorized = self.is_authorized(request)
        do = self.fault_for(request, entry)
        if do.drop == "before":
            kill(do.kill_pid)
            await self.delay(do)
            return hang_up(request)
        answer = await self.decide(request, entry, route, do)
        kill(do.kill_pid)
        return await self.deliver(request, entry, answer, do)

    def is_authorized(self, request: web.BaseRequest) -> bool:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self.expected)

    def fault_for(self, request: web.BaseRequest, entry: Entry) -> Do:
        if not self.faults.all:
            return NOTHING
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        page = self.page_of(entry)
        fault = self.faults.take(Asked(entry.call, entry.method, entry.account_id, entry.order_id, page, key))
        entry.fault = fault.id if fault else None
        return fault.do if fault else NOTHING

    def page_of(self, entry: Entry) -> int | None:
        if entry.call not in LISTS:
            return None
        try:
            return read_page(entry.query, self.settings.page_size_max).number
        except Problem:
            return None

    async def decide(self, request: web.BaseRequest, entry: Entry, route: routes.Route, do: Do) -> Answer:
        """Carry the call out, where the fault lets it, and say what the answer would be."""
        acted = await self.act(request, entry, route, do) if do.acts else None
        if do.error_in_200 is not None:
            error = do.error_in_200
            return Answer(200, error_in_success(error.code, error.message, entry.request_id))
        if do.status is not None:
            return self.error(do.status, do.error_message, entry)
        # Only a silent fault comes here without having acted, and its answer is never sent.
        return acted or self.error(500, "No answer", entry)

    async def act(self, request: web.BaseRequest, entry: Entry, route: routes.Route, do: Do) -> Answer:
        try:
            self.check(request, entry, route)
            wire = spoken_by(request.headers) if self.settings.wire == "auto" else self.settings.wire
            asking = Asking(
                call=route.call,
                account_id=route.account_id or 0,
                order_id=route.order_id or "",
                params=entry.query,
                wire=wire,
                body=await request.read(),
                request_id=entry.request_id,
                do=do,
            )
            try:
                body = self.api.answer(asking)
            finally:
                entry.orders_matched = asking.orders_matched
            return Answer(200, body)
        except Problem as problem:
            return self.error(problem.status, problem.message, entry)
        except Exception:
            traceback.print_exc()
            return self.error(500, "Internal server error", entry)
        finally:
            self.arrive(entry, do)

    def check(self, request: web.BaseRequest, entry: Entry, route: routes.Route) -> None:
        """Refuse what cannot be a call: no key, no such path, a parameter that is given twice."""
        if not entry.authorized and route.call != "version":
            raise Problem(401, "The caller is not authenticated: send a valid API key as a bearer token")
        if route.problem is not None:
            raise route.problem
        if len(entry.query) != len(request.query):
            raise Problem(400, "A query parameter is given more than once")

    def arrive(self, entry: Entry, do: Do) -> None:
        """Let new orders arrive after the call has acted, so that it has not seen them."""
        if do.arrive and entry.account_id in self.book.accounts:
            for _ in range(do.arrive):
                self.population.add_random(entry.account_id)

    def error(self, status: int, message: str, entry: Entry) -> Answer:
        return Answer(status, error_envelope(status, message, entry.request_id))

    async def delay(self, do: Do) -> None:
        milliseconds = self.settings.latency_ms + do.delay_ms
        if milliseconds:
            await asyncio.sleep(milliseconds / 1000)

    async def deliver(self, request: web.BaseRequest, entry: Entry, answer: Answer, do: Do) -> web.StreamResponse:
        await self.delay(do)
        if do.silent:
            await until_gone(request)
            return hang_up(request)
        if do.drop == "after":
            return hang_up(request)
        spoiled = spoil(answer, do)
        entry.status, entry.answered_at = spoiled.status, now_text()
        if do.body == "half":
            return await send_half(request, spoiled)
        response = web.Response(
            status=spoiled.status, body=spoiled.body, headers=spoiled.headers, content_type=spoiled.content_type
        )
        if do.close_idle:
            await send_and_close(request, response)
        return response


def spoil(answer: Answer, do: Do) -> Answer:
    """Change an answer's headers and body as the fault says."""
    headers = {**answer.headers, **do.headers}
    if do.retry_after is not None:
        headers["Retry-After"] = str(do.retry_after)
    if isinstance(do.body, RawBody):
        return Answer(answer.status, do.body.raw.encode(), headers)
    if do.body in BODIES:
        return Answer(answer.status, BODIES[do.body], headers, BODY_TYPES.get(do.body, "application/json"))
    return Answer(answer.status, answer.body, headers)


def port_of(request: web.BaseRequest) -> int:
    """Return the port that a request came from; 0 where its connection is gone."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return int(peer[1]) if peer else 0


def hang_up(request: web.BaseRequest) -> web.Response:
    """Close the connection; the response that aiohttp wants goes nowhere."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def until_gone(request: web.BaseRequest) -> None:
    # aiohttp can only cancel handlers of closed connections for all requests, and then some would not take effect.
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def send_half(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Promise the whole body, send half of it and close."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type = answer.content_type
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    hang_up(request)
    return response


async def send_and_close(request: web.BaseRequest, response: web.Response) -> None:
    """Answer as if the connection stayed open, then close it: the client learns of it with its next request."""
    await response.prepare(request)
    await response.write_eof()
    hang_up(request)


def kill(pid: int | None) -> None:
    if pid is None:
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        print(f"killswitch.simulator: no process {pid} to kill", file=sys.stderr)
