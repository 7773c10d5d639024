"""The broker's calls: what each one does to the book and answers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any

import msgspec

from killswitch.simulator import filters
from killswitch.simulator.book import Book
from killswitch.simulator.faults import Do
from killswitch.simulator.instruments import BY_NAME
from killswitch.simulator.life import Life, amount
from killswitch.simulator.population import Population
from killswitch.simulator.shapes import ORDER_TYPES, SIDES, Order
from killswitch.simulator.wire import TIMES_IN_FORCE_2026, WIRE_2025, Problem, cut, envelope, execution_on, read_page

TIMES_IN_FORCE = ("DAY", "GOOD_TILL_CANCEL", "IMMEDIATE_OR_CANCEL", "FILL_OR_KILL", "GOOD_TILL_DATE")
NEW_ORDER_FIELDS = {
    *("side", "quantity", "order_type", "time_in_force", "expires_at", "extended_hours", "id", "instrument_id"),
    *("limit_offset", "limit_price", "stop_price", "symbol", "trailing_offset", "trailing_offset_type"),
    *("position_intent", "strategy"),
}
NEEDS = {"LIMIT": ["limit_price"], "STOP": ["stop_price"], "STOP_LIMIT": ["limit_price", "stop_price"]}


class Asking(msgspec.Struct):
    """One call with all that it came with; an id is 0 or empty where the path has none."""

    call: str
    account_id: int
    order_id: str
    params: dict[str, str]
    wire: str
    body: bytes
    request_id: str
    do: Do
    orders_matched: list[str] | None = None


class Api:
    """Answer calls, each with the encoded body of a 200.

    Raises:
        Problem: any other answer.
    """

    def __init__(self, book: Book, life: Life, population: Population, page_size_max: int) -> None:
        self.book = book
        self.life = life
        self.population = population
        self.page_size_max = page_size_max
        self.calls: dict[str, Callable[[Asking], bytes]] = {
            "version": self.version,
            "accounts": self.accounts,
            "account": self.account,
            "patch_account": self.patch_account,
            "list_orders": self.list_orders,
            "submit_orders": self.submit_orders,
            "cancel_all": self.cancel_all,
            "get_order": self.get_order,
            "cancel_one": self.cancel_one,
            "executions": self.executions,
        }

    def answer(self, asking: Asking) -> bytes:
        filters.check_names(asking.call, asking.params, asking.wire)
        return self.calls[asking.call](asking)

    def version(self, asking: Asking) -> bytes:
        return envelope({"version": asking.wire}, asking.request_id)

    def accounts(self, asking: Asking) -> bytes:
        wanted = filters.accounts_filter(asking.params)
        found = [each.account for each in self.book.accounts.values() if wanted(each.account)]
        accounts, page = cut(found, read_page(asking.params, self.page_size_max))
        return envelope(accounts, asking.request_id, page)

    def account(self, asking: Asking) -> bytes:
        self.check_account(asking.account_id)
        account = self.book.account(asking.account_id).account
        return envelope({**msgspec.to_builtins(account), **personal_details(account.status)}, asking.request_id)

    def patch_account(self, asking: Asking) -> bytes:
        """Set a risk limit. It is kept and shown, and stops nothing: what it does is not documented."""
        self.check_account(asking.account_id)
        body = read_body(asking.body)
        risk = body.get("risk") if isinstance(body, dict) and set(body) <= {"risk"} else False
        if risk is not None and not (isinstance(risk, dict) and set(risk) <= {"max_notional"}):
            raise Problem(400, "The body must be {'risk': {'max_notional': '…'}}")
        of_account = self.book.account(asking.account_id)
        if risk and risk.get("max_notional") is not None:
            of_account.max_notional = decimal_string("max_notional", risk["max_notional"])
        return envelope({"risk": {"max_notional": of_account.max_notional}}, asking.request_id)

    def check_account(self, account_id: int) -> None:
        """Refuse an account that is not there, in the words that the documents have for these two calls alone."""
        if account_id not in self.book.accounts:
            raise Problem(404, "Some requested entity was not found")

    def list_orders(self, asking: Asking) -> bytes:
        """List every order, ended ones too, the oldest entry first: what arrives meanwhile comes on the last page."""
        found = filters.matching(self.book.account(asking.account_id).orders, filters.list_tests(asking.params))
        orders, page = cut(found, read_page(asking.params, self.page_size_max))
        return envelope(self.book.all_shown(orders, asking.wire), asking.request_id, page)

    def get_order(self, asking: Asking) -> bytes:
        order = self.book.order(asking.account_id, asking.order_id)
        return envelope(self.book.shown(order, asking.wire), asking.request_id)

    def cancel_one(self, asking: Asking) -> bytes:
        order = self.book.order(asking.account_id, asking.order_id)
        self.cancel([order], asking)
        return envelope(self.book.shown(order, asking.wire), asking.request_id)

    def cancel_all(self, asking: Asking) -> bytes:
        """Cancel what is open and matches.

        An order that is PENDING_CANCEL already is still open, so it matches and comes back as it is: were it left
        out, repeating a mass cancel would answer 404 "nothing is open" while orders can still fill.
        """
        tests = filters.cancel_tests(asking.params, asking.wire)
        found = filters.matching(self.book.account(asking.account_id).open.values(), tests)
        found = [order for order in found if not spared(order, asking.do.spare)]
        asking.orders_matched = []
        if not found:
            raise Problem(404, "No orders match the specified filters")
        self.cancel(found, asking)
        return envelope(self.book.all_shown(found, asking.wire), asking.request_id)

    def cancel(self, orders: list[Order], asking: Asking) -> None:
        asking.orders_matched = [order.id for order in orders]
        ending = asking.do.cancel or "cancel"
        self.life.cancel(orders, "refuse" if ending == "revert" else ending, asking.do.fill_quantity)

    def executions(self, asking: Asking) -> bytes:
        found = filters.executions_of(self.book.account(asking.account_id), asking.params)
        executions, page = cut(found, read_page(asking.params, self.page_size_max))
        return envelope([execution_on(asking.wire, each) for each in executions], asking.request_id, page)

    def submit_orders(self, asking: Asking) -> bytes:
        """Take new orders in: all of them, or none and an error."""
        of_account = self.book.account(asking.account_id)
        body = read_body(asking.body)
        if not isinstance(body, list) or not body:
            raise Problem(422, "Failed to deserialize the JSON body into the target type: expected a list of orders")
        kinds = [new_order(place, each, asking.wire) for place, each in enumerate(body)]
        given = [kind["client_order_id"] for kind in kinds if "client_order_id" in kind]
        taken = [each for each in given if each in of_account.by_client_order_id or given.count(each) > 1]
        if taken:
            raise Problem(400, f"Order id {taken[0]} is already in use in account {asking.account_id}")
        orders = [self.population.add(asking.account_id, kind, age_ns=0) for kind in kinds]
        shown = envelope(self.book.all_shown(orders, asking.wire), asking.request_id)
        self.life.acknowledge_later(orders)
        return shown


def spared(order: Order, words: Collection[str]) -> bool:
    """Say whether a fault makes the mass cancel pass this order over."""
    return any(word in (order.id, order.side, order.status, order.order_type, order.queue_state) for word in words)


def personal_details(status: str) -> dict[str, Any]:
    if status == "CLOSED":
        return dict.fromkeys(("country_of_tax_residency", "date_of_birth", "mailing_address", "phone_number"))
    address = {
        "line1": "4 World Trade Center",
        "line2": "150 Greenwich Street, Floor 45",
        "city": "New York",
        "state": "NY",
        "postal_code": "10007",
        "country": "USA",
    }
    return {
        "country_of_tax_residency": "US",
        "date_of_birth": None,
        "mailing_address": address,
        "phone_number": "+12125550123",
    }


def read_body(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise Problem(400, f"Failed to parse the request body as JSON: {error}") from None


def new_order(place: int, given: Any, wire: str) -> dict[str, Any]:
    """Turn a NewOrderRequest into the fields of an order.

    Raises:
        Problem: 422, the shape is wrong; 400, a value is.
    """
    refusal = "Failed to deserialize the JSON body into the target type"
    if not isinstance(given, dict) or set(given) - NEW_ORDER_FIELDS:
        raise Problem(422, f"{refusal}: [{place}]: unknown field, or not an order")
    for name in ("side", "quantity", "order_type", "time_in_force"):
        if not isinstance(given.get(name), str):
            raise Problem(422, f"{refusal}: [{place}]: missing field `{name}`")
    if not given.get("symbol") and not given.get("instrument_id"):
        raise Problem(400, "Either symbol or instrument_id must be provided")
    kind = {name: value for name, value in given.items() if value is not None and name != "position_intent"}
    filters.one("side", kind["side"], SIDES if wire == WIRE_2025 else ("BUY", "SELL"))
    filters.one("order_type", kind["order_type"], ORDER_TYPES[:-1])
    kind["time_in_force"] = read_time_in_force(kind["time_in_force"], wire)
    for name in (*NEEDS.get(kind["order_type"], []), "quantity"):
        kind[name] = decimal_string(name, kind.get(name))
    if amount(kind["quantity"]) <= 0:
        raise Problem(400, "Order quantity must be greater than zero")
    if "id" in kind:
        kind["client_order_id"] = kind.pop("id")
    return {**named_once(kind), "status": "PENDING_NEW"}


def named_once(kind: dict[str, Any]) -> dict[str, Any]:
    """Keep one name of the instrument, which the book then completes."""
    name = kind.pop("instrument_id", None)
    instrument = kind.get("symbol") or name
    known = BY_NAME.get(instrument)
    if known is None:
        raise Problem(400, f"Instrument {instrument} not found")
    return {**kind, "symbol": known.symbol}


def read_time_in_force(text: str, wire: str) -> str:
    older = {new: old for old, new in TIMES_IN_FORCE_2026.items() if new != "OTHER"}
    closing = tuple(TIMES_IN_FORCE_2026) if wire == WIRE_2025 else tuple(older)
    filters.one("time_in_force", text, (*TIMES_IN_FORCE, *closing))
    return older.get(text, text)


def decimal_string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Problem(400, f"{name} must be given, as a decimal string")
    if amount(value) < Decimal(0):
        raise Problem(400, f"{name} must not be negative")
    return value
