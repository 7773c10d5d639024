"""The simulated broker without its server: the real client's requests are handed to the simulator's own parts.

It also keeps what a judge needs: which requests left and arrived for which kill, and what each was told.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Protocol
from uuid import UUID

import httpx
import msgspec
from django.utils import timezone

from killswitch.simulator import routes
from killswitch.simulator.faults import Do
from killswitch.simulator.server import Answer, Broker, Settings, spoil
from killswitch.simulator.shapes import Order, is_open
from killswitch.simulator.wire import new_request_id, time_text

from .loop import PROCESS, Process, VirtualLoop, outside_the_loop

LATENCY_SECONDS = 0.005
CANCEL_SECONDS = 0.06
PAGE = 3  # so that a handful of orders makes a list of several pages
KEY = "model-key"

TELLING = ("list_orders", "get_order", "cancel_all", "cancel_one")

KILL: ContextVar[UUID | None] = ContextVar("KILL", default=None)


@dataclass
class Incoming:
    """A request as the simulator's server reads it."""

    method: str
    path: str
    raw_path: str
    query: dict[str, str]
    headers: httpx.Headers
    body: bytes

    @property
    def rel_url(self) -> "Incoming":
        return self

    async def read(self) -> bytes:
        return self.body


@dataclass(eq=False)
class Request:
    """One request of a kill, as it left."""

    number: int
    at: float
    call: str
    process: Process
    kill_id: UUID | None
    account_id: int
    order_id: str
    page_token: str
    arrived: bool = False
    is_accepted: bool = False  # and the sender heard of it
    request_id: str = ""


@dataclass
class Listed:
    """One list of an account, page by page, as a sweep was told it."""

    process: Process
    number: int  # of its first request
    there_before: frozenset[str]  # the orders that were there before it began
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    whole: bool = False


class Watcher(Protocol):
    def a_request_leaves(self, request: Request) -> None: ...

    def an_answer_was_heard(self, request: Request, *, is_good: bool) -> None: ...


class Street(Broker):
    """The broker, in process. The judge is asked right when a request leaves and when its answer is heard."""

    def __init__(self, loop: VirtualLoop, accounts: int, judge: Watcher) -> None:
        settings = Settings(
            host="",
            port=0,
            accounts=accounts,
            orders=0,
            ended=1,
            seed=0,
            latency_ms=0,
            cancel_ms=CANCEL_SECONDS * 1000,
            arrivals_per_second=0,
            fills_per_second=0,
            api_key=KEY,
            wire="2025-10-31",
            page_size_max=PAGE,
        )
        super().__init__(settings)
        self.loop = loop
        self.judge = judge
        self.requests: list[Request] = []
        self.lists: dict[tuple[UUID, int], list[Listed]] = {}
        self.told: dict[tuple[UUID, str], list[tuple[Process, str]]] = {}
        self.successors: dict[str, str] = {}
        self.answering_for: dict[str, str] = {}  # looked up under the old number, these answer
        self.is_down = False
        self._numbers = itertools.count(1)

    def outside(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` as the broker, whose timers do not die with the process that asked."""
        return Context().run(function, *args)

    def open_orders(self) -> list[Order]:
        return [order for order in self.book.orders.values() if is_open(order)]

    # --- a request's way

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._exchange(request)
        except httpx.TransportError:
            raise
        except Exception as error:
            # The client would take it for an answer that did not come, and the model would try nothing.
            self.judge.accuse(f"the stand-in broker has a fault of its own: {error!r}")
            raise

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        asked = self._leave(request)
        process = asked.process
        with outside_the_loop():
            self.judge.a_request_leaves(asked)
        if process.passes("sent"):
            return await _never()
        if self.is_down:
            raise httpx.ConnectError("refused")
        asked.arrived = True
        answer, do = self.outside(self._act, request, asked)
        if process.passes("acted"):
            return await _never()
        await asyncio.sleep(LATENCY_SECONDS + do.delay_ms / 1000)
        if do.silent:
            return await _never()
        if do.drop or do.body == "half":
            raise httpx.RemoteProtocolError("the connection was closed")
        answer = spoil(answer, do)
        self._deliver(asked, answer, is_spoiled=do.body is not None)
        headers = {"Date": formatdate(self.outside(timezone.now).timestamp(), usegmt=True), **answer.headers}
        return httpx.Response(answer.status, headers=headers, content=answer.body, request=request)

    def _leave(self, request: httpx.Request) -> Request:
        process = PROCESS.get()
        assert process is not None
        route = routes.find(request.method, request.url.raw_path.partition(b"?")[0].decode())
        asked = Request(
            number=next(self._numbers),
            at=self.loop.time(),
            call=route.call,
            process=process,
            kill_id=KILL.get(),
            account_id=route.account_id or 0,
            order_id=route.order_id or "",
            page_token=request.url.params.get("page_token", ""),
        )
        self.requests.append(asked)
        if asked.call == "list_orders" and asked.kill_id and not asked.page_token:
            there = frozenset(order.id for order in self.book.account(asked.account_id).orders)
            self.lists.setdefault((asked.kill_id, asked.account_id), []).append(Listed(process, asked.number, there))
        return asked

    def _act(self, request: httpx.Request, asked: Request) -> tuple[Answer, Do]:
        incoming: Any = Incoming(
            method=request.method,
            path=request.url.path,
            raw_path=request.url.raw_path.partition(b"?")[0].decode(),
            query=dict(request.url.params),
            headers=request.headers,
            body=request.content,
        )
        entry = self.log.arrive(incoming.method, incoming.path, incoming.query, new_request_id(), asked.process.name)
        route = routes.find(incoming.method, incoming.raw_path)
        entry.call, entry.account_id, entry.order_id = route.call, route.account_id, route.order_id
        entry.authorized = self.is_authorized(incoming)
        asked.request_id = entry.request_id
        do = self.fault_for(incoming, entry)
        if do.drop == "before":
            return self.error(500, "never sent", entry), do
        self._follow_successor(route)
        return _at_once(self.decide(incoming, entry, route, do)), do

    def _follow_successor(self, route: routes.Route) -> None:
        """Some brokers answer a look-up of a replaced order with the order that replaced it."""
        if route.call == "get_order" and route.order_id is not None:
            route.order_id = self.answering_for.get(route.order_id, route.order_id)

    def _deliver(self, asked: Request, answer: Answer, *, is_spoiled: bool) -> None:
        body = None if is_spoiled else msgspec.json.decode(answer.body)
        is_plain = answer.status == 200 and body is not None and body["error"] is None
        nothing_matches = answer.status == 404 and b"No orders match" in answer.body
        asked.is_accepted = is_plain
        with outside_the_loop():
            self.judge.an_answer_was_heard(asked, is_good=is_plain or nothing_matches)
        if is_plain and asked.kill_id is not None and asked.call in TELLING:
            self._tell(asked, asked.kill_id, body)

    def _tell(self, asked: Request, kill_id: UUID, body: dict[str, Any]) -> None:
        orders = body["data"] if isinstance(body["data"], list) else [body["data"]]
        for order in orders:
            self.told.setdefault((kill_id, order["id"]), []).append((asked.process, order["status"]))
        if asked.call == "list_orders":
            listed = self._list_of(asked)
            listed.orders |= {order["id"]: order for order in orders}
            listed.whole = body["metadata"]["next_page_token"] is None

    def _list_of(self, asked: Request) -> Listed:
        lists = self.lists[asked.kill_id, asked.account_id]  # type: ignore[index]
        return next(listed for listed in reversed(lists) if listed.process is asked.process)

    # --- what happens to orders by themselves

    def replace(self, order: Order, *, answers_for_both: bool) -> Order:
        """Replace an order, as a trader does while it is being killed: another number, the same client order id.

        Where the new one answers for both, the old one is no longer listed.
        """
        self.end(order, "REPLACED")
        later = round(self.outside(timezone.now).timestamp() * 1_000_000 + 1) * 1000
        kind = {
            "client_order_id": order.client_order_id,
            "side": order.side,
            "symbol": order.symbol or "TSLA",
            "created_at": time_text(later),
        }
        successor = self.population.add(order.account_id, kind, age_ns=0)
        self.successors[order.id] = successor.id
        if answers_for_both:
            self.answering_for[order.id] = successor.id
            self.book.account(order.account_id).orders.remove(order)
        return successor

    def end(self, order: Order, status: str) -> None:
        self.life.cancels.pop(order.id, None)
        self.book.set_by_hand(order, {"status": status, "leaves_quantity": "0"}, [], {})

    def unstick(self) -> None:
        """Let the cancels that got stuck go through."""
        for cancel in list(self.life.cancels.values()):
            if cancel.ending == "stuck":
                cancel.ending = "cancel"
                self.life.end_cancel(cancel)


async def _never() -> Any:
    await asyncio.get_running_loop().create_future()


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what is a coroutine only because a server would wait for the body of the request."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the broker waits for something")
