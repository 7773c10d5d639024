"""From the bytes of an answer to types, forgiving about every field and strict about the envelope."""

import math
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from .types import LONGEST_ID, LONGEST_TEXT, Account, Execution, Order, is_plausible

LONGEST_MESSAGE = 1000

T = TypeVar("T", Order, Account, Execution)


class Metadata(msgspec.Struct, kw_only=True):
    request_id: str | int | None = None
    next_page_token: str | None = None
    total_items: int | None = None


class ErrorBody(msgspec.Struct, kw_only=True):
    code: int | str | None = None
    message: str | None = None


class Envelope(msgspec.Struct, kw_only=True):
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: ErrorBody | None = None
    metadata: Metadata | None = None

    @property
    def request_id(self) -> str:
        given = self.metadata.request_id if self.metadata else None
        return "" if given is None else str(given)[:LONGEST_ID]

    @property
    def message(self) -> str:
        return ((self.error and self.error.message) or "")[:LONGEST_MESSAGE]


class Unreadable(ValueError):
    """The bytes are not the documented JSON."""


_envelope = msgspec.json.Decoder(Envelope, strict=False)
_any = msgspec.json.Decoder()
_kinds = (Order, Account, Execution)
_one: dict[type, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(kind, strict=False) for kind in _kinds}
_many: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(list[kind], strict=False)  # type: ignore[valid-type]
    for kind in _kinds
}


def read_envelope(body: bytes) -> Envelope:
    """Read the outer object of an answer. Raises Unreadable."""
    try:
        # No database keeps a NUL in a text, and no word of the broker's needs one. One byte is looked for quicker.
        return _envelope.decode(body.replace(b"\\u0000", b"\\ufffd") if b"\\" in body else body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"the answer is not the documented JSON: {error}") from error


def read_one(kind: type[T], data: msgspec.Raw) -> T:
    """Read one `kind`. A field that cannot be read is left out; without an id it raises Unreadable."""
    try:
        read: T = _one[kind].decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_what_can_be_read(kind, _read_any(data))
    return read


def read_many(kind: type[T], data: msgspec.Raw) -> tuple[list[T], int]:
    """Read a list of `kind`. Return it with the number of items that have no readable id. Raises Unreadable."""
    try:
        return _many[kind].decode(data), 0
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        items = _read_any(data)
    if not isinstance(items, list):
        raise Unreadable("the answer carries no list")
    read: list[T] = []
    for item in items:
        try:
            read.append(_read_what_can_be_read(kind, item))
        except Unreadable:
            continue
    return read, len(items) - len(read)


def _read_any(data: msgspec.Raw) -> Any:
    try:
        return _any.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"the answer is not JSON: {error}") from error


def _read_what_can_be_read(kind: type[T], item: Any) -> T:
    if not isinstance(item, dict):
        raise Unreadable("an item of the answer is no object")
    if isinstance(item.get("id"), int) and kind is not Account:
        item["id"] = str(item["id"])
    readable = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in item:
            continue
        try:
            value = msgspec.convert(_shortened(item[field.encode_name], field.name), field.type, strict=False)
            if not isinstance(value, Decimal) or is_plausible(value):
                readable[field.name] = value
        except msgspec.ValidationError:
            if field.required:
                raise Unreadable(f"an item of the answer has no readable {field.name}") from None
    if any(field.required and field.name not in readable for field in msgspec.structs.fields(kind)):
        raise Unreadable("an item of the answer has no id")
    try:
        return kind(**readable)
    except ValueError as error:
        raise Unreadable(str(error)) from error


def _shortened(value: Any, name: str) -> Any:
    # A shortened id would name another order.
    return (
        value[: LONGEST_TEXT - 1] + "…"
        if isinstance(value, str) and len(value) > LONGEST_TEXT and name != "id"
        else value
    )


def read_retry_after(text: str | None, now: float) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date, as seconds from `now` (seconds since the epoch)."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


@lru_cache(maxsize=100)  # a thousand answers come within the same second
def read_date(date: str | None) -> float | None:
    """Read a `Date` header: the second that had begun when the answer was made, since the epoch."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, TypeError, OverflowError):
        return None
