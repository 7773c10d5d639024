"""Clear Street over HTTP: client, types, errors. Knows httpx, knows no Django."""

from ._runtime import client, close, run, start
from .client import Answer, ClearStreet, Listing
from .errors import (
    BadRequest,
    BrokerError,
    BrokerFailed,
    NoPermission,
    NoSuchAccount,
    NoSuchOrder,
    NothingMatches,
    OutcomeUnknown,
    RefusedKey,
    Throttled,
    Unreachable,
)
from .types import NO_ORDER_IDS, Account, Execution, InstrumentType, Order, OrderStatus, OrderType, Side, TimeInForce

__all__ = [
    "NO_ORDER_IDS",
    "Account",
    "Answer",
    "BadRequest",
    "BrokerError",
    "BrokerFailed",
    "ClearStreet",
    "Execution",
    "InstrumentType",
    "Listing",
    "NoPermission",
    "NoSuchAccount",
    "NoSuchOrder",
    "NothingMatches",
    "Order",
    "OrderStatus",
    "OrderType",
    "OutcomeUnknown",
    "RefusedKey",
    "Side",
    "Throttled",
    "TimeInForce",
    "Unreachable",
    "client",
    "close",
    "run",
    "start",
]
