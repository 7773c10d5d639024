"""Read the query parameters of a call; nothing unknown and nothing empty is let through."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from killswitch.simulator.book import AccountBook
from killswitch.simulator.instruments import BY_NAME, INDEX
from killswitch.simulator.shapes import INSTRUMENT_TYPES, ORDER_STATUSES, ORDER_TYPES, SIDES, Account, Execution, Order
from killswitch.simulator.wire import WIRE_2025, WIRE_2026, Problem, read_time, side_on

PAGING = {"page_size", "page_token"}
ACCOUNTS = PAGING | {"account_id", "account_name"}
LIST = PAGING | {
    "order_ids",
    "status",
    "symbol",
    "instrument_ids",
    "instrument_type",
    "underlying_instrument_ids",
    "from",
    "to",
}
UPDATED_AT = {"updated_at[gt]", "updated_at[gte]", "updated_at[lt]", "updated_at[lte]"}
CANCEL_ALL = {"side", "type", "instrument_type", "instrument_ids"}
EXECUTIONS = PAGING | {"instrument_ids", "from", "to"}
# What the newest SDK offers on top.
NEWER = {"list_orders": UPDATED_AT, "executions": {"order_ids", "underlying_instrument_ids"}}
ALLOWED = {"accounts": ACCOUNTS, "list_orders": LIST, "cancel_all": CANCEL_ALL, "executions": EXECUTIONS}
DATE = re.compile(r"\d{4}-\d\d-\d\d$")

Params = Mapping[str, str]
Test = Callable[[Order], bool]


def check_names(call: str, params: Params, wire: str) -> None:
    """Refuse parameters that the call does not have.

    Raises:
        Problem: 400.
    """
    allowed: set[str] = ALLOWED.get(call, set()) | (NEWER.get(call, set()) if wire == WIRE_2026 else set())
    unknown = sorted(set(params) - allowed)
    if unknown:
        raise Problem(400, f"Unknown query parameter: {', '.join(unknown)}")


def many(name: str, text: str) -> frozenset[str]:
    """Read a comma-separated list; an empty one must never mean "all"."""
    parts = text.split(",")
    if "" in parts:
        raise Problem(400, f"{name} must not be empty or have empty parts")
    return frozenset(parts)


def one(name: str, text: str, known: Collection[str]) -> str:
    if text not in known:
        raise Problem(400, f"Invalid value for {name}: '{text}'; expected one of {', '.join(known)}")
    return text


def instruments(name: str, text: str) -> frozenset[str]:
    """Resolve symbols to identifiers; what cannot be resolved stays and matches nothing."""
    known = {"SPX": INDEX.id, **{key: each.id for key, each in BY_NAME.items()}}
    return frozenset(known.get(part, part) for part in many(name, text))


def accounts_filter(params: Params) -> Callable[[Account], bool]:
    prefix, name = params.get("account_id", ""), params.get("account_name", "").lower()
    return lambda account: str(account.id).startswith(prefix) and name in account.full_name.lower()


def list_tests(params: Params) -> list[Test]:
    """Read the filters of the order list."""
    tests: list[Test] = []
    if "status" in params:
        statuses = frozenset(one("status", part, ORDER_STATUSES) for part in many("status", params["status"]))
        tests.append(lambda order: order.status in statuses)
    if "order_ids" in params:
        ids = many("order_ids", params["order_ids"])
        tests.append(lambda order: order.id in ids or order.client_order_id in ids)
    if "symbol" in params:
        symbol = params["symbol"]
        tests.append(lambda order: order.symbol == symbol)
    if "underlying_instrument_ids" in params:
        underlying = instruments("underlying_instrument_ids", params["underlying_instrument_ids"])
        tests.append(lambda order: order.underlying_instrument_id in underlying)
    return tests + shared_tests(params) + time_tests(params)


def cancel_tests(params: Params, wire: str) -> list[Test]:
    """Read the filters of the mass cancel."""
    tests: list[Test] = []
    if "side" in params:
        side = one("side", params["side"], SIDES if wire == WIRE_2025 else ("BUY", "SELL"))
        tests.append(lambda order: side_on(wire, order.side) == side)
    if "type" in params:
        order_type = one("type", params["type"], ORDER_TYPES)
        tests.append(lambda order: order.order_type == order_type)
    return tests + shared_tests(params)


def shared_tests(params: Params) -> list[Test]:
    tests: list[Test] = []
    if "instrument_ids" in params:
        wanted = instruments("instrument_ids", params["instrument_ids"])
        tests.append(lambda order: order.instrument_id in wanted)
    if "instrument_type" in params:
        kind = one("instrument_type", params["instrument_type"], INSTRUMENT_TYPES)
        tests.append(lambda order: order.instrument_type == kind)
    return tests


def time_tests(params: Params) -> list[Test]:
    """Hold `from` and `to` against the creation; the documents do not say which time they mean."""
    tests: list[Test] = []
    if "from" in params:
        since = read_time("from", params["from"])
        tests.append(lambda order: order.created_at >= since)
    if "to" in params:
        until = read_time("to", params["to"])
        tests.append(lambda order: order.created_at <= until)
    for name in sorted(UPDATED_AT & set(params)):
        tests.append(updated_test(name, params[name]))
    return tests


def updated_test(name: str, text: str) -> Test:
    """Read one bound of `updated_at`; a bare date stands for the end of that day with `gt` and `lte`."""
    bound = name.removeprefix("updated_at[").removesuffix("]")
    if DATE.match(text):
        text += "T23:59:59.999999999Z" if bound in {"gt", "lte"} else "T00:00:00Z"
    limit = read_time(name, text)
    tests: dict[str, Test] = {
        "gt": lambda order: order.updated_at > limit,
        "gte": lambda order: order.updated_at >= limit,
        "lt": lambda order: order.updated_at < limit,
        "lte": lambda order: order.updated_at <= limit,
    }
    return tests[bound]


def matching(orders: Collection[Order], tests: list[Test]) -> list[Order]:
    if not tests:
        return list(orders)
    return [order for order in orders if all(test(order) for test in tests)]


def executions_of(of_account: AccountBook, params: Params) -> list[Execution]:
    """Return the fills that the filters let through, newest first as documented."""
    since = read_time("from", params["from"]) if "from" in params else ""
    until = read_time("to", params["to"]) if "to" in params else "~"
    found = [each for each in of_account.executions if since <= each.transaction_time <= until]
    for name, field in (("instrument_ids", "instrument_id"), ("underlying_instrument_ids", "underlying_instrument_id")):
        if name in params:
            wanted = instruments(name, params[name])
            found = [each for each in found if getattr(each, field) in wanted]
    if "order_ids" in params:
        ids = many("order_ids", params["order_ids"])
        found = [each for each in found if each.order_id in ids]
    return sorted(found, key=lambda each: each.transaction_time, reverse=True)
