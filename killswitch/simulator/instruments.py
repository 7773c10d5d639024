"""What is traded: a few stocks, and options on them, each with an identifier that never changes."""

from __future__ import annotations

import random
import uuid
from decimal import Decimal
from typing import NamedTuple

NAMESPACE = uuid.UUID("6f1c2f0e-8f3b-4b53-9d0e-2f6a5a1f7c11")
EXPIRIES = ("261218", "270115", "270319")
SPX_ID = str(uuid.uuid5(NAMESPACE, "SPX"))


class Instrument(NamedTuple):
    """One thing that an order can name."""

    symbol: str
    id: str
    type: str
    venue: str
    price: Decimal
    underlying_id: str | None = None
    underlying_type: str | None = None


# The first three identifiers are those of the documents' examples.
KNOWN_IDS = {
    "TSLA": "d4d5d6d7-e4e5-f4f5-a4a5-a6a7a8a9aaab",
    "AAPL": "a1a2a3a4-b1b2-c1c2-d1d2-d3d4d5d6d7d8",
    "MSFT": "b2b3b4b5-c2c3-d2d3-e2e3-e4e5e6e7e8e9",
}
LISTED = (
    ("TSLA", "XNAS", "248.50"),
    ("AAPL", "XNAS", "231.40"),
    ("MSFT", "XNAS", "428.15"),
    ("NVDA", "XNAS", "139.80"),
    ("AMD", "XNAS", "161.25"),
    ("AMZN", "XNAS", "198.70"),
    ("GOOGL", "XNAS", "176.30"),
    ("META", "XNAS", "572.60"),
    ("JPM", "XNYS", "221.95"),
    ("XOM", "XNYS", "118.40"),
    ("BRK.B", "XNYS", "459.10"),
    ("SPY", "ARCX", "585.20"),
    ("QQQ", "XNAS", "501.75"),
    ("IWM", "ARCX", "227.85"),
)


def stock(symbol: str, venue: str, price: str) -> Instrument:
    identifier = KNOWN_IDS.get(symbol) or str(uuid.uuid5(NAMESPACE, symbol))
    return Instrument(symbol, identifier, "COMMON_STOCK", venue, Decimal(price))


def option(underlying: Instrument, expiry: str, right: str, strike: int) -> Instrument:
    """Name an option in OSI: root padded to six, expiry, right, strike in thousandths."""
    symbol = f"{underlying.symbol:<6}{expiry}{right}{strike * 1000:08d}"
    identifier = str(uuid.uuid5(NAMESPACE, symbol))
    price = (underlying.price * Decimal("0.04")).quantize(Decimal("0.05"))
    return Instrument(symbol, identifier, "OPTION", "XCBO", price, underlying.id, underlying.type)


def listed_options() -> list[Instrument]:
    found = []
    for underlying in (*STOCKS[:5], INDEX):
        nearest = round(underlying.price / 10) * 10
        strikes = (nearest - 10, nearest, nearest + 10)
        found += [option(underlying, day, right, k) for day in EXPIRIES for right in "CP" for k in strikes]
    return found


STOCKS = [stock(*row) for row in LISTED]
INDEX = Instrument("SPX", SPX_ID, "INDEX", "XCBO", Decimal("5870.00"))
OPTIONS = listed_options()
BY_NAME = {key: each for each in (*STOCKS, *OPTIONS) for key in (each.symbol, each.id)}


def random_stock(rng: random.Random) -> Instrument:
    return rng.choice(STOCKS)


def random_option(rng: random.Random) -> Instrument:
    return rng.choice(OPTIONS)
