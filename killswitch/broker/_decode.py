"""From the bytes of an answer to types, forgiving about every field and strict about the envelope."""

from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import msgspec

from .types import Account, Execution, Order, is_plausible

T = TypeVar("T", Order, Account, Execution)


class Metadata(msgspec.Struct, kw_only=True):
    request_id: str = ""
    next_page_token: str | None = None
    total_items: int | None = None


class ErrorBody(msgspec.Struct, kw_only=True):
    code: int | str | None = None
    message: str = ""


class Envelope(msgspec.Struct, kw_only=True):
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: ErrorBody | None = None
    metadata: Metadata = msgspec.field(default_factory=Metadata)


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
        return _envelope.decode(body)
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
            value = msgspec.convert(item[field.encode_name], field.type, strict=False)
            if not isinstance(value, Decimal) or is_plausible(value):
                readable[field.name] = value
        except msgspec.ValidationError:
            if field.required:
                raise Unreadable(f"an item of the answer has no readable {field.name}") from None
    if any(field.required and field.name not in readable for field in msgspec.structs.fields(kind)):
        raise Unreadable("an item of the answer has no id")
    return kind(**readable)


def read_retry_after(text: str | None, now: float) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date, as seconds from `now` (seconds since the epoch)."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError):
        return None
