"""Fill the book: the same seed gives the same accounts and orders, apart from their times."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from killswitch.simulator.book import FIRST_ACCOUNT_ID, Book
from killswitch.simulator.instruments import BY_NAME, Instrument, random_option, random_stock
from killswitch.simulator.shapes import ORDER_FIELDS, Account, Execution, Order
from killswitch.simulator.wire import Problem, decimal_text, time_text

MINUTE = 60 * 1_000_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# Identifiers count up from this time instead of the clock's, so that they are the same in every run.
IDS_FROM_MS = 1_761_917_400_000

DESKS = (
    ("MM", "Market Making"),
    ("VWAP", "Agency VWAP"),
    ("ARB", "Index Arbitrage"),
    ("STAT", "Statistical Arbitrage"),
    ("OPT", "Options Volatility"),
    ("ETF", "ETF Trading"),
    ("CASH", "Cash Equities"),
    ("PRG", "Program Trading"),
)
ALGORITHMS = ("vwap", "mm", "arb", "twap", "manual")

PLAIN = {"side": "BUY", "order_type": "LIMIT", "time_in_force": "DAY", "status": "NEW"}
SELL_TSLA = {**PLAIN, "side": "SELL", "symbol": "TSLA"}
# Every kind of open order that a client must understand. Two accounts of 20 orders go through all of them.
# PENDING_CANCEL is not among them: with no cancel on its way it would stay for ever.
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"side": "SELL", "status": "PARTIALLY_FILLED"},
    {"side": "SELL_SHORT"},
    {"side": "SELL", "order_type": "STOP", "time_in_force": "GOOD_TILL_CANCEL", "status": "PENDING_TRIGGER"},
    {"instrument": "option"},
    {"order_type": "MARKET", "status": "PENDING_NEW"},
    {"status": "QUEUED"},
    {"instrument": "multileg"},
    {"side": "SELL", "time_in_force": "GOOD_TILL_DATE"},
    {"instrument": "fractional", "status": "PARTIALLY_FILLED"},
    {"queue_state": "AWAITING_RELEASE"},
    {"side": "SELL", "order_type": "STOP_LIMIT", "status": "PENDING_TRIGGER"},
    {"side": "SELL", "order_type": "TRAILING_STOP", "time_in_force": "GOOD_TILL_CANCEL"},
    {"side": "SELL_SHORT", "status": "PARTIALLY_FILLED"},
    {"side": "SELL", "order_type": "MARKET", "time_in_force": "AT_THE_CLOSE"},
    {"time_in_force": "GOOD_TILL_CANCEL"},
    {"side": "SELL", "instrument": "option", "status": "PARTIALLY_FILLED", "time_in_force": "GOOD_TILL_CANCEL"},
    {"status": "SUSPENDED"},
    {"side": "SELL", "status": "PENDING_REPLACE"},
    {"status": "DONE_FOR_DAY", "time_in_force": "GOOD_TILL_CANCEL"},
    {"order_type": "TRAILING_STOP_LIMIT"},
    {"side": "SELL", "time_in_force": "AT_THE_OPENING", "status": "QUEUED"},
    {"status": "PARTIALLY_FILLED"},
    {"side": "SELL", "status": "STOPPED"},
    {"status": "CALCULATED", "time_in_force": "GOOD_TILL_DATE"},
    {"side": "SELL", "instrument": "multileg"},
    {"side": "SELL", "queue_state": "RELEASED", "status": "PARTIALLY_FILLED"},
    {"status": "OTHER"},
)
ARRIVALS = tuple(kind for kind in KINDS if kind.get("status", "NEW") in {"NEW", "QUEUED", "PENDING_TRIGGER"})
ENDED_KINDS: tuple[dict[str, Any], ...] = (
    {"status": "FILLED"},
    {"side": "SELL", "status": "CANCELED", "details": ["Canceled by request"]},
    {"side": "SELL", "status": "FILLED", "order_type": "MARKET"},
    {"status": "REJECTED", "details": ["Risk check failed: BUYING_POWER"]},
    {"time_in_force": "GOOD_TILL_DATE", "status": "EXPIRED", "details": ["Expired"]},
    {"side": "SELL_SHORT", "status": "FILLED"},
    {"status": "REPLACED"},
)


class Population:
    """Invent accounts and orders."""

    def __init__(self, book: Book, seed: int) -> None:
        self.book = book
        self.rng = random.Random(seed)
        self.made = 0
        self.kind = 0
        self.ended_kind = 0

    def new_id(self) -> str:
        """Make an identifier with the shape of a UUIDv7."""
        self.made += 1
        bits = self.rng.getrandbits(74)
        stamp, high, low = IDS_FROM_MS + self.made, bits >> 62, bits & ((1 << 62) - 1)
        text = f"{stamp:012x}7{high:03x}{low | (1 << 63):016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def add_accounts(self, count: int) -> list[Account]:
        first = len(self.book.accounts)
        return [self.book.add_account(self.account(first + n)).account for n in range(count)]

    def account(self, number: int) -> Account:
        desk, name = DESKS[number % len(DESKS)]
        serial = number // len(DESKS) + 1
        status = {37: "INACTIVE", 49: "CLOSED"}.get(number % 50, "ACTIVE")
        return Account(
            id=FIRST_ACCOUNT_ID + number,
            short_name=f"TST-{desk}-{serial:02d}",
            full_name=f"Test {name} {serial:02d}",
            type="CUSTOMER",
            subtype="CASH" if desk == "CASH" else "MARGIN",
            open_date=f"20{20 + number % 5}-0{1 + number % 9}-15",
            close_date="2026-01-15" if status == "CLOSED" else None,
            account_holder_entity_id=987654321 + number,
            account_holder_entity_kind="NATURAL_PERSON" if desk == "CASH" else "LEGAL_ENTITY",
            options_level=number % 5,
            status=status,
        )

    def populate(self, account_id: int, orders: int, ended: int) -> None:
        """Give an account its first orders; one that is closed has none open."""
        if self.book.account(account_id).account.status != "CLOSED":
            for number in range(orders):
                self.add(account_id, self.first_kinds(account_id, number))
        for _ in range(ended):
            self.ended_kind += 1
            self.add(account_id, ENDED_KINDS[(self.ended_kind - 1) % len(ENDED_KINDS)])

    def first_kinds(self, account_id: int, number: int) -> Mapping[str, Any]:
        """Begin every account alike, with what tests and demonstrations filter for; go through all kinds after that."""
        if number == 0:
            return {**PLAIN, "symbol": "AAPL" if account_id % 2 else "TSLA"}
        if number == 1:
            return SELL_TSLA
        self.kind += 1
        return KINDS[(self.kind - 1) % len(KINDS)]

    def add_random(self, account_id: int) -> Order:
        """Let one more order arrive, with everything in it just made."""
        return self.add(account_id, self.rng.choice(ARRIVALS), age_ns=0)

    def add(self, account_id: int, kind: Mapping[str, Any], age_ns: int | None = None) -> Order:
        """Add one order of a kind; a field of the wire in `kind` has the last word.

        Raises:
            Problem: 400, no such field or instrument; 404, no such account.
        """
        self.book.account(account_id)
        order = self.make(account_id, {**PLAIN, **kind}, age_ns)
        self.book.add(order)
        if order.filled_quantity != "0":
            self.book.account(account_id).executions.append(self.execution_of(order))
        return order

    def make(self, account_id: int, kind: Mapping[str, Any], age_ns: int | None) -> Order:
        unknown = set(kind) - ORDER_FIELDS - {"instrument"} | set(kind) & {"id", "account_id"}
        if unknown:
            raise Problem(400, f"not a field of an order that can be given: {', '.join(sorted(unknown))}")
        now = time.time_ns()
        created = now - (self.rng.randrange(MINUTE, 5 * HOUR) if age_ns is None else age_ns)
        instrument = self.instrument_for(kind)
        fields = {
            **self.identity(account_id),
            **self.instrument_fields(instrument),
            **self.prices(kind, instrument, created),
            **self.amounts(kind, instrument),
            **self.schedule(kind, now),
            "created_at": time_text(created),
            "updated_at": time_text(min(now, created + self.rng.randrange(1, MINUTE))),
        }
        if instrument is None:
            fields["legs"] = self.legs()
        if fields["client_order_id"].startswith("vwap") and kind["order_type"] in {"MARKET", "LIMIT"}:
            fields["strategy"] = {
                "type": "VWAP",
                "start_at": time_text(created),
                "end_at": time_text(created + 6 * HOUR),
            }
        return Order(**{**fields, **{name: value for name, value in kind.items() if name != "instrument"}})

    def identity(self, account_id: int) -> dict[str, Any]:
        identifier = self.new_id()
        algorithm = self.rng.choice(ALGORITHMS)
        return {
            "id": identifier,
            "account_id": account_id,
            "client_order_id": f"{algorithm}-{account_id}-{self.made:06d}",
        }

    def instrument_for(self, kind: Mapping[str, Any]) -> Instrument | None:
        """Choose what is traded; None is a multi-leg order, which names no single instrument."""
        name = kind.get("symbol") or kind.get("instrument_id")
        if name is not None:
            if name not in BY_NAME:
                raise Problem(400, f"Instrument {name} not found")
            return BY_NAME[name]
        what = kind.get("instrument")
        if what == "multileg":
            return None
        return random_option(self.rng) if what == "option" else random_stock(self.rng)

    def instrument_fields(self, instrument: Instrument | None) -> dict[str, Any]:
        if instrument is None:
            return {"venue": "XCBO", "symbol": None, "instrument_id": None, "instrument_type": None}
        fields: dict[str, Any] = {
            "venue": instrument.venue,
            "symbol": instrument.symbol,
            "instrument_id": instrument.id,
            "instrument_type": instrument.type,
        }
        if instrument.underlying_id:
            fields["underlying_instrument_id"] = instrument.underlying_id
            fields["underlying_instrument_type"] = instrument.underlying_type
        return fields

    def prices(self, kind: Mapping[str, Any], instrument: Instrument | None, created: int) -> dict[str, Any]:
        """Put the prices where the order type has them: limits away from the market, stops behind it."""
        price = instrument.price if instrument else Decimal("2.40")
        toward = Decimal(-1 if kind["side"] == "BUY" else 1) * Decimal(self.rng.randrange(1, 120)) / 10_000
        passive, behind = money(price * (1 + toward)), money(price * (1 - toward * 3))
        order_type = kind["order_type"]
        fields: dict[str, Any] = {
            "limit_price": passive if order_type in {"LIMIT", "STOP_LIMIT"} else None,
            "stop_price": behind if order_type in {"STOP", "STOP_LIMIT"} else None,
        }
        if order_type.startswith("TRAILING"):
            fields |= {
                "trailing_offset": "2.00",
                "trailing_offset_type": "PRICE",
                "trailing_stop_px": behind,
                "trailing_watermark_px": money(price),
                "trailing_watermark_ts": time_text(created),
            }
        if order_type == "TRAILING_STOP_LIMIT":
            fields |= {"limit_offset": "0.50", "trailing_limit_px": passive}
        return fields

    def amounts(self, kind: Mapping[str, Any], instrument: Instrument | None) -> dict[str, Any]:
        """Choose the quantities so that they agree with the status."""
        quantity = Decimal(kind.get("quantity") or self.quantity(kind, instrument))
        filled = {"FILLED": quantity, "PARTIALLY_FILLED": partly(quantity)}.get(kind["status"], Decimal(0))
        ended = kind["status"] in {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "REPLACED"}
        average = money(instrument.price) if instrument else "2.40"
        return {
            "quantity": decimal_text(quantity),
            "filled_quantity": decimal_text(filled),
            "leaves_quantity": "0" if ended else decimal_text(quantity - filled),
            "average_fill_price": average if filled else None,
        }

    def quantity(self, kind: Mapping[str, Any], instrument: Instrument | None) -> str:
        if kind.get("instrument") == "fractional":
            return "1.5"
        if instrument is None or instrument.type == "OPTION":
            return str(self.rng.randrange(2, 40))
        return str(self.rng.randrange(1, 50) * 100)

    def schedule(self, kind: Mapping[str, Any], now: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if kind["time_in_force"] == "GOOD_TILL_DATE":
            fields["expires_at"] = time_text(now + 14 * DAY)
        if kind.get("queue_state") == "AWAITING_RELEASE":
            fields["releases_at"] = time_text(now + 2 * HOUR)
        return fields

    def legs(self) -> list[dict[str, Any]]:
        """Make a vertical spread: one option bought and its neighbour sold."""
        bought, sold = random_option(self.rng), random_option(self.rng)
        return [
            {
                "symbol": each.symbol,
                "instrument_id": each.id,
                "instrument_type": each.type,
                "underlying_instrument_id": each.underlying_id,
                "side": side,
                "ratio": 1,
            }
            for each, side in ((bought, "BUY"), (sold, "SELL"))
        ]

    def execution_of(self, order: Order) -> Execution:
        price = order.average_fill_price
        return self.execution(order, order.filled_quantity, price if isinstance(price, str) else None, order.updated_at)

    def execution(self, order: Order, quantity: str, price: str | None, at: str) -> Execution:
        """Report a fill; a multi-leg order has no price of its own."""
        symbol = order.symbol if isinstance(order.symbol, str) else None
        return Execution(
            id=self.new_id(),
            order_id=order.id,
            side=order.side,
            quantity=quantity,
            transaction_time=at,
            price=price if symbol else None,
            symbol=symbol,
            instrument_id=order.instrument_id if isinstance(order.instrument_id, str) else None,
            venue=order.venue if isinstance(order.venue, str) else "XNAS",
            underlying_instrument_id=order.underlying_instrument_id,
            underlying_instrument_type=order.underlying_instrument_type,
        )


def money(value: Decimal) -> str:
    return f"{value:.2f}"


def partly(quantity: Decimal) -> Decimal:
    """Leave "0.5" of an odd lot, and about half of everything else."""
    return quantity - Decimal("0.5") if quantity % 1 else quantity // 2
