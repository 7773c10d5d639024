"""What travels on the wire: orders, accounts and executions, and the words that may stand in them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

SIDES = ("BUY", "SELL", "SELL_SHORT", "OTHER")
ORDER_TYPES = ("MARKET", "LIMIT", "STOP", "STOP_LIMIT", "TRAILING_STOP", "TRAILING_STOP_LIMIT", "OTHER")
INSTRUMENT_TYPES = ("COMMON_STOCK", "INDEX", "OPTION", "CASH")
ORDER_STATUSES = (
    "PENDING_NEW",
    "QUEUED",
    "PENDING_TRIGGER",
    "NEW",
    "PARTIALLY_FILLED",
    "FILLED",
    "CANCELED",
    "REJECTED",
    "EXPIRED",
    "PENDING_CANCEL",
    "PENDING_REPLACE",
    "REPLACED",
    "DONE_FOR_DAY",
    "STOPPED",
    "SUSPENDED",
    "CALCULATED",
    "OTHER",
)
ENDED = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED", "REPLACED"})
ENDED_FOR_THE_DAY = frozenset({"DONE_FOR_DAY", "CALCULATED"})
COMES_BACK = frozenset({"GOOD_TILL_CANCEL", "GOOD_TILL_DATE"})


class Order(msgspec.Struct):
    """Hold one order as the wire of 2025-10-31 shows it; a field that is UNSET is left out."""

    id: str
    account_id: int
    client_order_id: str | UnsetType
    venue: str | UnsetType
    side: str
    order_type: str
    time_in_force: str
    status: str
    quantity: str
    filled_quantity: str
    leaves_quantity: str
    created_at: str
    updated_at: str
    symbol: str | UnsetType | None = None
    instrument_id: str | UnsetType | None = None
    instrument_type: str | UnsetType | None = None
    limit_price: str | UnsetType | None = None
    stop_price: str | UnsetType | None = None
    average_fill_price: str | UnsetType | None = None
    details: list[str] | UnsetType = UNSET
    expires_at: str | UnsetType | None = UNSET
    extended_hours: bool | UnsetType | None = UNSET
    legs: list[dict[str, Any]] | UnsetType = UNSET
    limit_offset: str | UnsetType | None = UNSET
    queue_state: str | UnsetType | None = UNSET
    releases_at: str | UnsetType | None = UNSET
    strategy: dict[str, Any] | UnsetType | None = UNSET
    trailing_limit_px: str | UnsetType | None = UNSET
    trailing_offset: str | UnsetType | None = UNSET
    trailing_offset_type: str | UnsetType | None = UNSET
    trailing_stop_px: str | UnsetType | None = UNSET
    trailing_watermark_px: str | UnsetType | None = UNSET
    trailing_watermark_ts: str | UnsetType | None = UNSET
    underlying_instrument_id: str | UnsetType | None = UNSET
    underlying_instrument_type: str | UnsetType | None = UNSET


class Account(msgspec.Struct):
    """Hold one account as the list shows it."""

    id: int
    short_name: str
    full_name: str
    type: str
    subtype: str
    open_date: str
    close_date: str | None
    account_holder_entity_id: int
    account_holder_entity_kind: str
    options_level: int
    status: str


class Execution(msgspec.Struct):
    """Hold one fill."""

    id: str
    order_id: str
    side: str
    quantity: str
    transaction_time: str
    price: str | None
    symbol: str | None
    instrument_id: str | None
    venue: str
    underlying_instrument_id: str | UnsetType | None = UNSET
    underlying_instrument_type: str | UnsetType | None = UNSET


ORDER_FIELDS = frozenset(Order.__struct_fields__)
ACCOUNT_FIELDS = frozenset(Account.__struct_fields__)


def is_open(order: Order) -> bool:
    """Say whether the order can still trade: now, or tomorrow when it is good till canceled."""
    if order.status in ENDED:
        return False
    return order.status not in ENDED_FOR_THE_DAY or order.time_in_force in COMES_BACK
