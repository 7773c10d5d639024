"""Orders, accounts and executions as the broker names them.

Enumerations grow without notice, so the fields are plain strings and the enumerations below only give the known
values their names. What is not known to be an end is open.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    SELL_SHORT = "SELL_SHORT"
    OTHER = "OTHER"


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"
    TRAILING_STOP_LIMIT = "TRAILING_STOP_LIMIT"
    OTHER = "OTHER"


class InstrumentType(StrEnum):
    COMMON_STOCK = "COMMON_STOCK"
    OPTION = "OPTION"
    INDEX = "INDEX"
    CASH = "CASH"
    OTHER = "OTHER"


class OrderStatus(StrEnum):
    PENDING_NEW = "PENDING_NEW"
    QUEUED = "QUEUED"
    PENDING_TRIGGER = "PENDING_TRIGGER"
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    REPLACED = "REPLACED"
    DONE_FOR_DAY = "DONE_FOR_DAY"
    STOPPED = "STOPPED"
    SUSPENDED = "SUSPENDED"
    CALCULATED = "CALCULATED"
    OTHER = "OTHER"


class TimeInForce(StrEnum):
    DAY = "DAY"
    GOOD_TILL_CANCEL = "GOOD_TILL_CANCEL"
    IMMEDIATE_OR_CANCEL = "IMMEDIATE_OR_CANCEL"
    FILL_OR_KILL = "FILL_OR_KILL"
    GOOD_TILL_DATE = "GOOD_TILL_DATE"
    AT_THE_OPENING = "AT_THE_OPENING"
    AT_THE_CLOSE = "AT_THE_CLOSE"
    GOOD_TILL_CROSSING = "GOOD_TILL_CROSSING"
    GOOD_THROUGH_CROSSING = "GOOD_THROUGH_CROSSING"
    AT_CROSSING = "AT_CROSSING"
    OTHER = "OTHER"
    # What the newest SDK calls the two above.
    AT_OPEN = "AT_OPEN"
    AT_CLOSE = "AT_CLOSE"


ENDED = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED, OrderStatus.REPLACED}
)
# These end an order of today; one that is good for longer, or for nobody knows how long, comes back tomorrow.
ENDED_FOR_TODAY = frozenset({OrderStatus.DONE_FOR_DAY, OrderStatus.CALCULATED})
OUTLIVES_THE_DAY = frozenset({TimeInForce.GOOD_TILL_CANCEL, TimeInForce.GOOD_TILL_DATE, TimeInForce.OTHER})
TODAY_ONLY = frozenset(TimeInForce) - OUTLIVES_THE_DAY
STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT})
# Listed US equity options stand for 100 shares; the wire carries no multiplier.
OPTION_MULTIPLIER = 100
# How the options exchanges write one: root, expiry, call or put, strike.
OPTION_SYMBOL = re.compile(r"[A-Z0-9.]{1,6} *\d{6}[CP]\d{8}")
LARGEST_EXPONENT = 40
MOST_DIGITS = 60
LONGEST_TEXT = 500
LONGEST_ID = 200
LARGEST_ACCOUNT = 2**63 - 1
# As a segment of a path these name something else: the account instead of the order.
NO_ORDER_IDS = frozenset({"", ".", ".."})

Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]


def parse_time(text: str | None) -> datetime | None:
    """Read a broker's time, of up to nine fractional digits, as UTC with microseconds; None if it is not a time."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is UTC:
            return time
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def multiplier(instrument_type: str | None, symbol: str | None, *, has_legs: bool = False) -> int | None:
    """Return how many shares one unit of a quantity stands for; None where that is not known.

    Of a multi-leg order the type is the one that all of its legs share.
    """
    if not instrument_type:
        if has_legs or not symbol:
            return None
        instrument_type = type_of_symbol(symbol)
    if has_legs and instrument_type != InstrumentType.OPTION:
        return None
    return OPTION_MULTIPLIER if instrument_type == InstrumentType.OPTION else 1


def type_of_symbol(symbol: str) -> str:
    """Return OPTION for the symbol of a listed option ("AAPL  261218C00200000"), else nothing."""
    return InstrumentType.OPTION if OPTION_SYMBOL.fullmatch(symbol) else ""


def open_notional(leaves_quantity: Decimal | None, price: Decimal | None, shares: int | None) -> Decimal | None:
    """Return what is still open in US dollars; None where that is not known."""
    if leaves_quantity is None or price is None or shares is None:
        return None
    return abs(leaves_quantity * price * shares)


def leg_words(leg: dict[str, Any]) -> str:
    """Read one leg as words: "BUY 1 AAPL  261218C00200000"; empty where the broker tells nothing of it."""
    parts = [leg.get("side"), leg.get("ratio"), leg.get("symbol") or leg.get("instrument_id")]
    return " ".join(str(part) for part in parts if isinstance(part, str | int) and part)


def is_plausible(number: Decimal) -> bool:
    """Say whether a number can be a quantity or a price: finite, and of a size that can be written out."""
    return (
        number.is_finite()
        and abs(number.adjusted()) <= LARGEST_EXPONENT
        # Its text holds every digit, and is had in a fraction of the time.
        and (len(str(number)) <= MOST_DIGITS or len(number.as_tuple().digits) <= MOST_DIGITS)
    )


class Order(msgspec.Struct, kw_only=True, frozen=True, gc=False, omit_defaults=True):
    """One order as the broker last described it. Prices and quantities are exact decimals."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]
    account_id: int = 0
    client_order_id: Text | None = None
    symbol: Text | None = None
    instrument_id: Text | None = None
    instrument_type: Text | None = None
    underlying_instrument_id: Text | None = None
    side: Text = ""
    order_type: Text = ""
    time_in_force: Text = ""
    status: Text = ""
    quantity: Decimal | None = None
    leaves_quantity: Decimal | None = None
    filled_quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    average_fill_price: Decimal | None = None
    queue_state: Text | None = None
    releases_at: Text | None = None
    venue: Text | None = None
    created_at: Text | None = None
    updated_at: Text | None = None
    expires_at: Text | None = None
    details: list[str] | None = None
    legs: list[dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.id in NO_ORDER_IDS:
            raise ValueError("no order has such an id")
        # "NaN" and "Infinity" are valid decimals, and poison every sum and comparison that they come into.
        for number in (self.quantity, self.leaves_quantity, self.filled_quantity, self.limit_price, self.stop_price):
            if number is not None and not is_plausible(number):
                raise ValueError("a quantity or price is no number that anybody trades")

    @property
    def is_open(self) -> bool:
        """Say whether it can still trade: everything that is not known to be an end."""
        if self.status in ENDED_FOR_TODAY:
            return self.time_in_force not in TODAY_ONLY
        return self.status not in ENDED

    @property
    def is_pending_cancel(self) -> bool:
        return self.status == OrderStatus.PENDING_CANCEL

    @property
    def is_stop(self) -> bool:
        return self.order_type in STOPS

    @property
    def price(self) -> Decimal | None:
        """The limit price, else the stop price, else None: a market order has no price."""
        return self.limit_price if self.limit_price is not None else self.stop_price

    @property
    def open_notional(self) -> Decimal | None:
        """Leaves quantity times price, in US dollars; None where there is no price to multiply with."""
        shares = multiplier(self.kind, self.symbol, has_legs=bool(self.legs))
        return open_notional(self.leaves_quantity, self.price, shares)

    @property
    def kind(self) -> str:
        """The instrument type; of a multi-leg order, which has none, the one that all of its legs share."""
        if self.instrument_type or not self.legs:
            return self.instrument_type or ""
        types = {_type_of(leg) for leg in self.legs}
        return types.pop() if len(types) == 1 else ""

    @property
    def legs_in_words(self) -> str:
        """Read the legs as words: "2 legs: BUY 1 …, SELL 1 …"; empty for an order that has none."""
        if not self.legs:
            return ""
        told = ", ".join(filter(None, map(leg_words, self.legs)))
        words = f"{len(self.legs)} leg{'s' * (len(self.legs) != 1)}"
        return f"{words}: {told}"[:LONGEST_TEXT] if told else words

    @property
    def created(self) -> datetime | None:
        return parse_time(self.created_at)

    @property
    def instruments(self) -> set[str]:
        """Every symbol and instrument id it trades in, those of its legs included, in upper case."""
        names = [self.symbol, self.instrument_id]
        for leg in self.legs or ():
            names += [leg.get("symbol"), leg.get("instrument_id")]
        return {name.upper() for name in names if isinstance(name, str)}


def _type_of(leg: dict[str, Any]) -> str:
    given, symbol = leg.get("instrument_type"), leg.get("symbol")
    if isinstance(given, str) and given:
        return given
    return type_of_symbol(symbol) if isinstance(symbol, str) else ""


class Account(msgspec.Struct, kw_only=True, frozen=True):
    """One account that the key may see."""

    id: Annotated[int, msgspec.Meta(gt=0, le=LARGEST_ACCOUNT)]
    short_name: Text = ""
    full_name: Text = ""
    status: Text = ""
    type: Text = ""
    subtype: Text = ""


class Execution(msgspec.Struct, kw_only=True, frozen=True):
    """One fill of one order."""

    id: str
    order_id: str
    side: str = ""
    symbol: str | None = None
    instrument_id: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    transaction_time: str | None = None
