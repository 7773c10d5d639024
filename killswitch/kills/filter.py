"""Which orders a kill is about: says whether an order matches, what part the broker can do, and reads as a sentence."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from killswitch.broker import InstrumentType, Order, OrderStatus, OrderType, Side, TimeInForce

SIDES = tuple(Side)
ORDER_TYPES = tuple(OrderType)
# The broker's mass cancel knows no instrument type OTHER.
INSTRUMENT_TYPES = tuple(kind for kind in InstrumentType if kind != InstrumentType.OTHER)
STATUSES = tuple(OrderStatus)
TIMES_IN_FORCE = tuple(TimeInForce)
# The same instruction under the name that the newest documents give it.
RENAMED = {TimeInForce.AT_OPEN: TimeInForce.AT_THE_OPENING, TimeInForce.AT_CLOSE: TimeInForce.AT_THE_CLOSE}


@dataclass(frozen=True, kw_only=True)
class OrderFilter:
    """Every field that is set must match; of several values in one field, any."""

    side: str = ""
    order_type: str = ""
    instrument_type: str = ""
    instruments: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    time_in_force: tuple[str, ...] = ()
    client_order_id_prefix: str = ""
    order_ids: tuple[str, ...] = ()

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "OrderFilter":
        values: dict[str, Any] = {}
        for name, value in data.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)

    def as_data(self) -> dict[str, Any]:
        """Return the fields that are set, fit for JSON."""
        fields = asdict(self).items()
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields if value}

    @property
    def is_empty(self) -> bool:
        return not self.as_data()

    @property
    def is_for_the_broker(self) -> bool:
        """Say whether the broker's mass cancel can do all of it."""
        return not (self.status or self.time_in_force or self.client_order_id_prefix or self.order_ids)

    def for_the_broker(self) -> dict[str, Any]:
        """Return the arguments of `cancel_all_open_orders`."""
        return {
            "side": self.side,
            "order_type": self.order_type,
            "instrument_type": self.instrument_type,
            "instrument_ids": self.instruments,
        }

    def matches(self, order: Order) -> bool:
        """Say whether `order` is meant. Whether it is open is another question."""
        return all(test(order) for test in self._tests)

    @cached_property
    def _tests(self) -> list[Callable[[Order], bool]]:
        """Return one question for each field that is set: a book has 100,000 orders, and most fields are empty."""
        tests: list[Callable[[Order], bool]] = []
        if self.side:
            tests.append(lambda order: order.side == self.side)
        if self.order_type:
            tests.append(lambda order: order.order_type == self.order_type)
        if self.instrument_type:
            tests.append(lambda order: order.instrument_type == self.instrument_type)
        if self.instruments:
            instruments = frozenset(name.upper() for name in self.instruments)
            tests.append(lambda order: not instruments.isdisjoint(order.instruments))
        if self.status:
            tests.append(lambda order: order.status in self.status)
        if self.time_in_force:
            times = frozenset(map(_old_name, self.time_in_force))
            tests.append(lambda order: _old_name(order.time_in_force) in times)
        if self.client_order_id_prefix:
            tests.append(lambda order: (order.client_order_id or "").startswith(self.client_order_id_prefix))
        if self.order_ids:
            order_ids = frozenset(self.order_ids)
            tests.append(lambda order: order.id in order_ids)
        return tests

    def sentence(self) -> str:
        """Read as words: "all SELL LIMIT orders in TSLA, AAPL"."""
        if self.order_ids:
            few = len(self.order_ids) <= 3
            named = "order " + ", ".join(self.order_ids) if few else f"{len(self.order_ids)} selected orders"
            return named if not self._extras() else f"{named}{self._extras()}"
        kinds = [_words(value) for value in (self.side, self.order_type, self.instrument_type) if value]
        return " ".join(["all", *kinds, "orders"]) + self._extras()

    def _extras(self) -> str:
        parts = []
        if self.instruments:
            parts.append("in " + ", ".join(self.instruments))
        if self.status:
            parts.append("with status " + " or ".join(map(_words, self.status)))
        if self.time_in_force:
            parts.append("good for " + " or ".join(map(_words, self.time_in_force)))
        if self.client_order_id_prefix:
            parts.append(f"whose client order id begins with “{self.client_order_id_prefix}”")
        return "".join(" " + part for part in parts)


def _old_name(time_in_force: str) -> str:
    known = time_in_force in RENAMED
    return RENAMED[TimeInForce(time_in_force)] if known else time_in_force


def _words(value: str) -> str:
    return value.replace("_", " ")


def scope_sentence(orders: OrderFilter, account_ids: list[int], all_accounts: bool) -> str:
    """Read as words what a kill is about: "all SELL orders in TSLA on 3 accounts"."""
    if all_accounts:
        where = "on all accounts"
    elif len(account_ids) == 1:
        where = f"on account {account_ids[0]}"
    else:
        where = f"on {len(account_ids)} accounts"
    return f"{orders.sentence()} {where}"
