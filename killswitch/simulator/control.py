"""What tests and demonstrations ask of the simulator itself, under /_sim/."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from killswitch.simulator.book import Book
from killswitch.simulator.faults import Faults
from killswitch.simulator.life import Life
from killswitch.simulator.log import RequestLog
from killswitch.simulator.population import Population
from killswitch.simulator.runaway import Runaway
from killswitch.simulator.shapes import Order, is_open
from killswitch.simulator.wire import WIRE_2025, Problem, encode

CALLS = {
    "GET log": "requests that arrived; ?after=N, ?call=cancel_all,cancel_one",
    "DELETE log": "forget them",
    "GET book": "every order; ?account_id=N, ?open=1",
    "GET summary": "counts, and how the runaway algorithm stands",
    "POST orders": "let orders arrive: account_id, and count or order",
    "PATCH orders/*": "set fields of an order by hand; omit, extra",
    "POST orders/*/fill": "fill an order; quantity",
    "POST flow": "arrivals_per_second, fills_per_second",
    "POST accounts": "add accounts: count",
    "PATCH accounts/*": "set fields of an account by hand",
    "POST faults": "ask for a fault: match, do, times, skip",
    "GET faults": "those that there are, and how often each was applied",
    "DELETE faults": "remove all",
    "DELETE faults/*": "remove one",
}
LOOPBACK = {"127.0.0.1", "::1"}
Body = dict[str, Any]
Handler = Callable[[Body, dict[str, str], str], Any]


class Control:
    """Answer the calls under /_sim/, without a key, to this machine alone."""

    def __init__(
        self, book: Book, life: Life, population: Population, faults: Faults, log: RequestLog, runaway: Runaway
    ) -> None:
        self.book = book
        self.life = life
        self.population = population
        self.faults = faults
        self.log = log
        self.runaway = runaway
        self.handlers: dict[tuple[str, str], Handler] = {
            ("GET", "log"): self.read_log,
            ("DELETE", "log"): self.clear_log,
            ("GET", "book"): self.read_book,
            ("GET", "summary"): self.summary,
            ("POST", "orders"): self.add_orders,
            ("PATCH", "orders/*"): self.set_order,
            ("POST", "orders/*/fill"): self.fill,
            ("POST", "flow"): self.set_flow,
            ("POST", "accounts"): self.add_accounts,
            ("PATCH", "accounts/*"): self.set_account,
            ("POST", "faults"): self.add_fault,
            ("GET", "faults"): self.list_faults,
            ("DELETE", "faults"): self.clear_faults,
            ("DELETE", "faults/*"): self.remove_fault,
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        try:
            if request.remote not in LOOPBACK:
                raise Problem(403, "the simulator is controlled from its own machine only")
            answer = encode(await self.dispatch(request))
        except Problem as problem:
            error = encode({"error": problem.message})
            return web.Response(status=problem.status, body=error, content_type="application/json")
        return web.Response(body=answer, content_type="application/json")

    async def dispatch(self, request: web.BaseRequest) -> Any:
        names = request.path.removeprefix("/_sim/").split("/")
        name = names[1] if len(names) > 1 else ""
        shape = "/".join("*" if place == 1 else each for place, each in enumerate(names))
        handler = self.handlers.get((request.method, shape))
        if handler is None:
            known = ", ".join(f"{method} /_sim/{path}" for method, path in self.handlers)
            raise Problem(404, f"no {request.method} {request.path}; there are {known}")
        return handler(read_object(await request.read()), dict(request.query), name)

    def read_log(self, body: Body, query: dict[str, str], name: str) -> Any:
        only(query, "after", "call")
        calls = query["call"].split(",") if "call" in query else []
        return {"requests": self.log.after(number(query.get("after", "0")), calls), "last": self.log.last}

    def clear_log(self, body: Body, query: dict[str, str], name: str) -> Any:
        self.log.entries.clear()
        return {"last": self.log.last}

    def read_book(self, body: Body, query: dict[str, str], name: str) -> Any:
        only(query, "account_id", "open")
        accounts = list(self.book.accounts.values())
        if "account_id" in query:
            accounts = [self.book.account(number(query["account_id"]))]
        found = [order for each in accounts for order in each.orders]
        if query.get("open", "0") != "0":
            found = [order for order in found if is_open(order)]
        return {"orders": self.shown(found)}

    def shown(self, orders: list[Order]) -> list[Any]:
        return self.book.all_shown(orders, WIRE_2025)

    def summary(self, body: Body, query: dict[str, str], name: str) -> Any:
        opened = {str(key): len(each.open) for key, each in self.book.accounts.items()}
        return {
            "accounts": len(self.book.accounts),
            "orders": len(self.book.orders),
            "open": sum(opened.values()),
            "by_status": Counter(order.status for order in self.book.orders.values()),
            "open_by_account": opened,
            "executions": sum(len(each.executions) for each in self.book.accounts.values()),
            "cancels_on_their_way": len(self.life.cancels),
            "requests": self.log.last,
            "runaway": self.runaway.state,
        }

    def add_orders(self, body: Body, query: dict[str, str], name: str) -> Any:
        """Add `count` random orders, or one plain order with the fields that are given."""
        only(body, "account_id", "count", "order")
        account_id = integer(body, "account_id")
        if ("count" in body) == ("order" in body):
            raise Problem(400, "give either 'count' or 'order'")
        if "count" in body:
            count = integer(body, "count")
            return {"orders": self.shown([self.population.add_random(account_id) for _ in range(count)])}
        if not isinstance(body["order"], dict):
            raise Problem(400, "'order' must be an object with fields of the wire")
        plain = {"symbol": "TSLA"} if not {"symbol", "instrument", "instrument_id"} & set(body["order"]) else {}
        return {"orders": self.shown([self.population.add(account_id, {**plain, **body["order"]}, age_ns=0)])}

    def set_order(self, body: Body, query: dict[str, str], name: str) -> Any:
        order = self.find(name)
        omit, extra = body.pop("omit", []), body.pop("extra", {})
        if not isinstance(omit, list) or not isinstance(extra, dict):
            raise Problem(400, "'omit' must be a list of fields to leave out, 'extra' an object of fields to add")
        self.book.set_by_hand(order, body, omit, extra)
        if "status" in body:
            self.life.cancels.pop(order.id, None)
        return {"order": self.book.shown(order, WIRE_2025)}

    def fill(self, body: Body, query: dict[str, str], name: str) -> Any:
        only(body, "quantity")
        order = self.find(name)
        self.life.fill(order, body.get("quantity"))
        return {"order": self.book.shown(order, WIRE_2025)}

    def find(self, order_id: str) -> Order:
        if order_id not in self.book.orders:
            raise Problem(404, f"no order {order_id}")
        return self.book.orders[order_id]

    def set_flow(self, body: Body, query: dict[str, str], name: str) -> Any:
        """Set both rates; one that is left out becomes 0."""
        only(body, "arrivals_per_second", "fills_per_second")
        arrivals, fills = rate(body, "arrivals_per_second"), rate(body, "fills_per_second")
        self.life.flow.set(arrivals, fills)
        return {"arrivals_per_second": arrivals, "fills_per_second": fills}

    def add_accounts(self, body: Body, query: dict[str, str], name: str) -> Any:
        only(body, "count")
        return {"accounts": self.population.add_accounts(integer(body, "count"))}

    def set_account(self, body: Body, query: dict[str, str], name: str) -> Any:
        return {"account": self.book.set_account_by_hand(number(name), body)}

    def add_fault(self, body: Body, query: dict[str, str], name: str) -> Any:
        return {"id": self.faults.add(body).id}

    def list_faults(self, body: Body, query: dict[str, str], name: str) -> Any:
        return {"faults": list(self.faults.all.values())}

    def clear_faults(self, body: Body, query: dict[str, str], name: str) -> Any:
        self.faults.all.clear()
        return {"faults": []}

    def remove_fault(self, body: Body, query: dict[str, str], name: str) -> Any:
        self.faults.remove(name)
        return self.list_faults(body, query, name)


def read_object(body: bytes) -> Body:
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Problem(400, f"the body must be a JSON object: {error}") from None


def only(given: dict[str, Any], *known: str) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise Problem(400, f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")


def number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Problem(400, f"'{text}' is not a whole number")
    return int(text)


def integer(body: Body, name: str) -> int:
    value = body.get(name)
    if type(value) is not int or value < 0:
        raise Problem(400, f"'{name}' must be a whole number")
    return value


def rate(body: Body, name: str) -> float:
    value = body.get(name, 0)
    if type(value) not in (int, float) or value < 0:
        raise Problem(400, f"'{name}' must be a number, 0 or more")
    return float(value)
