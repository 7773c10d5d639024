"""Which call a method and a path mean."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from killswitch.simulator.wire import Problem

# By the shape of the path: the call of each method that the broker knows there.
BY_SHAPE: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("version",): {"GET": "version"},
    ("accounts",): {"GET": "accounts"},
    ("accounts", "*"): {"GET": "account", "PATCH": "patch_account"},
    ("accounts", "*", "orders"): {"GET": "list_orders", "POST": "submit_orders", "DELETE": "cancel_all"},
    ("accounts", "*", "orders", "*"): {"GET": "get_order", "DELETE": "cancel_one"},
    ("accounts", "*", "executions"): {"GET": "executions"},
}
CALLS = (*(call for methods in BY_SHAPE.values() for call in methods.values()), "unknown")


class Route(msgspec.Struct):
    """A call with what its path names, or the problem that the path has."""

    call: str = "unknown"
    account_id: int | None = None
    order_id: str | None = None
    problem: Problem | None = None


def find(method: str, raw_path: str) -> Route:
    """Read a path that is still quoted: an order id may contain a slash."""
    parts = raw_path.split("/")
    if parts[:2] != ["", "v1"]:
        return Route(problem=Problem(404, f"No such path: {raw_path}"))
    names = parts[2:]
    shape = tuple("*" if place in (1, 3) else name for place, name in enumerate(names))
    methods = BY_SHAPE.get(shape)
    if methods is None or "" in names:
        return Route(problem=Problem(404, f"No such path: {raw_path}"))
    if method not in methods:
        return Route(problem=Problem(405, f"{method} is not allowed on {raw_path}; allowed: {', '.join(methods)}"))
    return with_ids(methods[method], [unquote(name) for name in names])


def with_ids(call: str, names: list[str]) -> Route:
    order_id = names[3] if len(names) == 4 else None
    if len(names) == 1:
        return Route(call)
    if not (names[1].isascii() and names[1].isdigit() and len(names[1]) < 19):
        return Route(call, None, order_id, Problem(400, f"account_id must be an integer, not '{names[1]}'"))
    return Route(call, int(names[1]), order_id)
