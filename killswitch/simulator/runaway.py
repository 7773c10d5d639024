"""The scene of a demonstration: an algorithm runs away on two accounts, faster and faster, until it is killed."""

from __future__ import annotations

import asyncio
from typing import Literal

from killswitch.simulator.life import Life
from killswitch.simulator.shapes import Order

PREFIX = "algo-momentum-"
ACCOUNTS = 2
TICK_SECONDS = 0.05
FIRST_PER_SECOND = 0.5
DOUBLES_IN_SECONDS = 10.0
MOST_PER_SECOND = 20.0
MOST_ORDERS = 1000
# Whoever runs it takes a moment to notice, and what arrives meanwhile is late.
NOTICES_AFTER_SECONDS = 2.0
ENDED_BY_THE_DESK = {"PENDING_CANCEL", "CANCELED"}


class Runaway:
    """Send orders, from a set time on, until two seconds after the first of them was canceled."""

    def __init__(self, life: Life, after_seconds: float | None) -> None:
        self.life = life
        self.loop = asyncio.get_running_loop()
        self.state: Literal["none", "waits", "runs", "stopped"] = "none" if after_seconds is None else "waits"
        self.orders: list[Order] = []
        self.owed = 0.0
        self.began = 0.0
        self.noticed: float | None = None
        if after_seconds is not None:
            self.loop.call_later(after_seconds, self.begin)

    def begin(self) -> None:
        self.state, self.began = "runs", self.loop.time()
        self.tick()

    def tick(self) -> None:
        if self.is_over():
            self.state = "stopped"
            return
        self.owed += rate(self.loop.time() - self.began) * TICK_SECONDS
        while self.owed >= 1:
            self.owed -= 1
            self.send()
        self.loop.call_later(TICK_SECONDS, self.tick)

    def is_over(self) -> bool:
        if self.noticed is None and any(order.status in ENDED_BY_THE_DESK for order in self.orders):
            self.noticed = self.loop.time()
        is_stopped = self.noticed is not None and self.loop.time() - self.noticed > NOTICES_AFTER_SECONDS
        return is_stopped or len(self.orders) >= MOST_ORDERS

    def send(self) -> None:
        accounts = list(self.life.book.accounts)[:ACCOUNTS]
        if accounts:
            account_id, number = accounts[len(self.orders) % len(accounts)], len(self.orders) + 1
            kind = {"symbol": "TSLA", "side": "BUY", "client_order_id": f"{PREFIX}{account_id}-{number:06d}"}
            self.orders.append(self.life.population.add(account_id, kind, age_ns=0))


def rate(seconds: float) -> float:
    """Return how many orders a second it sends, so long after it began."""
    return min(MOST_PER_SECOND, FIRST_PER_SECOND * float(2 ** min(seconds / DOUBLES_IN_SECONDS, 30)))
