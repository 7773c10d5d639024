"""One order as a row of a table or a line of text, and the columns that a table of orders is sorted by."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import quote

from django.utils.dateparse import parse_datetime

from killswitch.audit.csv_safe import safe
from killswitch.book.queries import Order  # type: ignore[attr-defined]
from killswitch.kills.meanings import wire

from .sorting import Column


class OrderRow:
    """An order's fields as the table shows them. What nobody knows is shown as the broker wrote it."""

    def __init__(self, order: Order) -> None:
        self.order = order

    @property
    def html_id(self) -> str:
        return "order-" + quote(self.order.id, safe="")

    @property
    def side_class(self) -> str:
        return {"BUY": "buy", "SELL": "sell", "SELL_SHORT": "sell"}.get(self.order.side, "odd")

    @property
    def symbol(self) -> str:
        if self.order.legs:
            count = len(self.order.legs)
            return f"{count} leg" + "s" * (count != 1)
        return self.order.symbol or self.order.instrument_id or ""

    @property
    def awaits_release(self) -> bool:
        return self.order.queue_state == "AWAITING_RELEASE"

    @property
    def releases_at(self) -> datetime | str:
        """Return when it is released, as the broker wrote it where that is not a time."""
        text = self.order.releases_at or ""
        try:
            return parse_datetime(text) or text
        except ValueError:
            return text

    @property
    def is_release_timed(self) -> bool:
        """Say whether that is a time; what the broker wrote otherwise is shown as it came."""
        return isinstance(self.releases_at, datetime)

    @cached_property
    def created(self) -> datetime | None:
        return self.order.created


@dataclass(frozen=True)
class OrderColumn(Column[Order]):
    """A column of orders; `read` brings what it is sorted by back from an address."""

    read: Callable[[Any], Any] = str

    def place(self, order: Order) -> tuple[bool, Any, str]:
        """Return where an order stands; what has no value stands last, and no two stand at the same place."""
        value = self.key(order)
        return (True, 0, order.id) if value is None else (False, value, order.id)


def _age(order: Order) -> float | None:
    created = order.created
    return -created.timestamp() if created else None


def _symbol(order: Order) -> str:
    return OrderRow(order).symbol


def _number(text: Any) -> Decimal:
    """Read a figure. Raises ValueError at one that stands nowhere among others."""
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _figure(name: str, label: str, key: Callable[[Order], Decimal | None]) -> OrderColumn:
    return OrderColumn(name, label, key, read=_number)


def _text(name: str, label: str, key: Callable[[Order], str | None]) -> OrderColumn:
    return OrderColumn(name, label, key, is_figure=False)


COLUMNS = (
    _text("side", "Side", lambda order: order.side),
    _text("type", "Type", lambda order: order.order_type),
    _text("symbol", "Symbol", _symbol),
    _figure("leaves", "Leaves / quantity", lambda order: order.leaves_quantity),
    _figure("price", "Price", lambda order: order.price),
    _figure("notional", "Notional", lambda order: order.open_notional),
    _text("tif", "TIF", lambda order: order.time_in_force),
    _text("status", "Status", lambda order: order.status),
    OrderColumn("age", "Age", _age, read=float),
    _text("client", "Client order id", lambda order: order.client_order_id),
    _text("venue", "Venue", lambda order: order.venue),
)
AGE = next(column for column in COLUMNS if column.name == "age")  # the newest first, unless it is asked for otherwise

TEXT_COLUMNS: tuple[tuple[str, Callable[[Order], Any]], ...] = (
    ("side", lambda order: wire(order.side)),
    ("type", lambda order: wire(order.order_type)),
    ("symbol", _symbol),
    ("leaves", lambda order: order.leaves_quantity),
    ("quantity", lambda order: order.quantity),
    ("price", lambda order: order.price),
    ("notional", lambda order: order.open_notional),
    ("time in force", lambda order: wire(order.time_in_force)),
    ("status", lambda order: wire(order.status)),
    ("created", lambda order: order.created_at),
    ("client order id", lambda order: order.client_order_id),
    ("venue", lambda order: order.venue),
    ("order id", lambda order: order.id),
)


def text_line(order: Order) -> str:
    """Write an order as one line of cells between tabs, safe to paste into a spreadsheet."""
    return "\t".join(_cell(read(order)) for _, read in TEXT_COLUMNS)


def _cell(value: Any) -> str:
    text = safe(value)
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)
