"""How the API speaks: its two generations, the envelope, errors, pages and times."""

from __future__ import annotations

import base64
import datetime as dt
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from killswitch.simulator.shapes import Execution, Order

WIRE_2025 = "2025-10-31"
WIRE_2026 = "2026-11"
PAGE_SIZE_MAX = 1000

T = TypeVar("T")
encode = msgspec.json.Encoder().encode

TIMES_IN_FORCE_2026 = {
    "AT_THE_OPENING": "AT_OPEN",
    "AT_THE_CLOSE": "AT_CLOSE",
    "GOOD_TILL_CROSSING": "OTHER",
    "GOOD_THROUGH_CROSSING": "OTHER",
    "AT_CROSSING": "OTHER",
}
ISO_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$")


class Problem(Exception):
    """An answer other than 200: the HTTP status and the broker's sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Page(msgspec.Struct, frozen=True):
    """Say which part of a list is asked for."""

    offset: int
    limit: int

    @property
    def number(self) -> int:
        return self.offset // self.limit + 1


def new_request_id() -> str:
    return str(uuid.uuid4())


def envelope(data: Any, request_id: str, page: Mapping[str, Any] | None = None) -> bytes:
    """Encode a successful answer."""
    metadata = {"request_id": request_id, **(page or {})}
    return encode({"data": data, "error": None, "metadata": metadata})


def error_envelope(code: int, message: str, request_id: str) -> bytes:
    """Encode an error as the documents' examples have it: no `data`."""
    return encode({"error": {"code": code, "message": message}, "metadata": {"request_id": request_id}})


def error_in_success(code: int | str, message: str, request_id: str) -> bytes:
    """Encode the contradiction of an error inside an answer with status 200."""
    error = {"code": code, "message": message}
    return encode({"data": None, "error": error, "metadata": {"request_id": request_id}})


def spoken_by(headers: Mapping[str, str]) -> str:
    """Guess the generation that a caller expects; only the official SDK names itself."""
    agent = headers.get("User-Agent", "")
    if agent.startswith(("ClearStreet/", "AsyncClearStreet/")) or "X-Stainless-Lang" in headers:
        return WIRE_2026
    return WIRE_2025


def side_on(wire: str, side: str) -> str:
    return "SELL" if side == "SELL_SHORT" and wire == WIRE_2026 else side


def order_on(wire: str, order: Order) -> Order:
    """Show an order in one generation's words."""
    if wire == WIRE_2025:
        return order
    side = side_on(wire, order.side)
    time_in_force = TIMES_IN_FORCE_2026.get(order.time_in_force, order.time_in_force)
    if side == order.side and time_in_force == order.time_in_force:
        return order
    return msgspec.structs.replace(order, side=side, time_in_force=time_in_force)


def execution_on(wire: str, execution: Execution) -> Execution:
    side = side_on(wire, execution.side)
    return execution if side == execution.side else msgspec.structs.replace(execution, side=side)


def read_page(params: Mapping[str, str], page_size_max: int) -> Page:
    """Read `page_size` or `page_token`; a smaller maximum shortens pages without an error, so that lists can be cut."""
    if "page_token" in params:
        page = read_token(params["page_token"])
    else:
        page = Page(0, read_page_size(params.get("page_size", str(PAGE_SIZE_MAX))))
    return Page(page.offset, min(page.limit, page_size_max))


def read_page_size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= PAGE_SIZE_MAX:
        raise Problem(400, f"page_size must be an integer from 1 to {PAGE_SIZE_MAX}, not '{text}'")
    return int(text)


def write_token(offset: int, limit: int) -> str:
    return base64.urlsafe_b64encode(encode(Page(offset, limit))).decode()


def read_token(text: str) -> Page:
    try:
        page = msgspec.json.decode(base64.urlsafe_b64decode(text), type=Page)
    except (ValueError, msgspec.DecodeError):
        raise Problem(400, "page_token is not one that this API gave out") from None
    if page.offset < 0 or page.limit < 1:
        raise Problem(400, "page_token is not one that this API gave out")
    return page


def cut(items: Sequence[T], page: Page) -> tuple[Sequence[T], dict[str, Any]]:
    """Cut one page out of a list and describe it for the metadata."""
    end = page.offset + page.limit
    previous = write_token(max(0, page.offset - page.limit), page.limit) if page.offset else None
    described = {
        "next_page_token": write_token(end, page.limit) if end < len(items) else None,
        "previous_page_token": previous,
        "page_number": page.number,
        "total_items": len(items),
        "total_pages": -(-len(items) // page.limit),
    }
    return items[page.offset : end], described


def time_text(time_ns: int | None = None) -> str:
    """Write a UTC time with nine fractional digits."""
    seconds, nanos = divmod(time.time_ns() if time_ns is None else time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanos:09d}Z"


def read_time(name: str, text: str) -> str:
    """Bring an ISO time to the one form in which times compare as strings."""
    found = ISO_TIME.match(text)
    if found is None:
        raise Problem(400, f"{name} must be an ISO 8601 time with a time zone, not '{text}'")
    day, clock, fraction, zone = found.groups()
    try:
        moment = dt.datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError:
        raise Problem(400, f"{name} must be an ISO 8601 time with a time zone, not '{text}'") from None
    return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S}.{(fraction or '').ljust(9, '0')}Z"


def decimal_text(value: Decimal) -> str:
    """Write a quantity without an exponent and without idle zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
