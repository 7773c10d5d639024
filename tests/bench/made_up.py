"""Make a believable trail of any length with the product's own append. Only in a database that holds nothing else."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.kills.models import Kill

SOURCE = "made up"
AT_ONCE = 5000
BEGIN = datetime(2024, 1, 2, 8, 0, tzinfo=UTC)
ACCOUNTS = range(19000, 19060)
PEOPLE = [f"person{number}" for number in range(12)]
SYMBOLS = [f"{a}{b}{c}" for a in "ABCDEFG" for b in "KLMNOP" for c in "QRSTUVW"]
EARLY_SYMBOL = "GONE"  # common at first, then never again
ENDS = ["canceled"] * 940 + ["partly_filled"] * 25 + ["filled"] * 25 + ["expired"] * 9 + ["stuck"]


class NotOurs(RuntimeError):
    """The database holds what is not made up: nothing is written."""


def make(count: int, seed: int = 7) -> Iterator[int]:
    """Append until there are `count` entries, and yield how many there are. Raises NotOurs."""
    first, last = Entry.objects.order_by("id").first(), Entry.objects.order_by("-id").first()
    there = 0 if last is None else last.id
    if Kill.objects.exists() or (first is not None and first.source != SOURCE):
        raise NotOurs("there is a real record in this database: a made-up one is written only where there is none")
    drafts = islice(_story(random.Random(f"{seed} {there}"), BEGIN if last is None else last.at), count - there)
    while part := list(islice(drafts, AT_ONCE)):
        append(part)
        there += len(part)
        yield there


def drafts(count: int, seed: int) -> list[Draft]:
    """Return entries that go on where the trail ends."""
    now = Entry.objects.latest("id").at
    return list(islice(_story(random.Random(seed), now), count))


def _story(chance: random.Random, now: datetime) -> Iterator[Draft]:
    """Tell of days on which people log in, press, and once in a while take in a journal that is older."""
    number = 0
    while True:
        number += 1
        now += timedelta(seconds=chance.randrange(600, 20_000))
        person = Actor(id=7, name=chance.choice(PEOPLE), source=SOURCE)
        yield Draft(kind=Kind.LOGGED_IN, at=now, sentence=f"{person.name} logged in", actor=person)
        if chance.random() < 0.1:
            yield Draft(kind=Kind.LOGIN_FAILED, at=now, sentence="A log-in failed", actor=Actor(source=SOURCE))
        if chance.random() < 0.02:
            yield Draft(kind=Kind.JOURNAL_IMPORTED, at=now, sentence="A break-glass journal was imported", actor=person)
            yield from _Pressed(chance, now - timedelta(days=chance.randrange(1, 40)), person, number).story()
        else:
            yield from _Pressed(chance, now, person, number).story()


def _uuid(chance: random.Random) -> uuid.UUID:
    return uuid.UUID(int=chance.getrandbits(128), version=4)


@dataclass
class _Pressed:
    """One kill of a few accounts."""

    chance: random.Random
    now: datetime
    person: Actor
    number: int

    def story(self) -> Iterator[Draft]:
        self.kill_id = _uuid(self.chance)
        yield self._draft(Kind.KILL_ENGAGED, f"{self.person.name} engaged a kill", data={"reason": "Runaway algorithm"})
        for account_id in self.chance.sample(ACCOUNTS, self.chance.choice((1, 1, 2, 5))):
            yield from self._account(account_id)
        yield self._draft(Kind.KILL_ENDED, "The kill ended: flat", outcome="flat")

    def _account(self, account_id: int) -> Iterator[Draft]:
        mass, request_id, here = (
            _uuid(self.chance),
            f"req-{self.chance.getrandbits(64):016x}",
            {"account_id": account_id},
        )
        yield self._draft(Kind.ATTEMPT_ANNOUNCED, "Will ask the broker to cancel all", attempt_id=mass, **here)
        orders = [self._order(account_id) for _ in range(self.chance.randrange(40, 900))]
        yield self._draft(
            Kind.ATTEMPT_ANSWERED,
            f"The broker accepted the cancel of {len(orders)} orders of account {account_id}",
            attempt_id=mass,
            request_id=request_id,
            http_status=200,
            latency_us=self.chance.randrange(20_000, 900_000),
            data={"call": "cancel_all_open_orders", "orders": len(orders), "unreadable": 0, "clock_offset": "0.012"},
            **here,
        )
        for order in orders:
            yield self._draft(
                Kind.ORDER_ACCEPTED,
                f"Cancel of order {order['order_id']} accepted: PENDING_CANCEL",
                attempt_id=mass,
                request_id=request_id,
                http_status=200,
                broker_status="PENDING_CANCEL",
                **order,
            )
        for order in orders:
            if self.chance.random() < 0.1:
                yield from self._single(order)
            outcome = self.chance.choice(ENDS)
            yield self._draft(
                Kind.ORDER_ENDED,
                f"Order {order['order_id']}: {outcome}",
                outcome=outcome,
                broker_status="CANCELED",
                request_id=request_id,
                data={"late": False, "lost_notional": None, "lost_quantity": None},
                **order,
            )
        yield self._draft(Kind.SWEEP_ENDED, f"Account {account_id} is flat", outcome="flat", **here)

    def _single(self, order: dict[str, object]) -> Iterator[Draft]:
        attempt_id = _uuid(self.chance)
        yield self._draft(
            Kind.ATTEMPT_ANNOUNCED, f"Will cancel order {order['order_id']}", attempt_id=attempt_id, **order
        )
        yield self._draft(
            Kind.ATTEMPT_ANSWERED,
            f"The broker accepted the cancel of order {order['order_id']}",
            attempt_id=attempt_id,
            request_id=f"req-{self.chance.getrandbits(64):016x}",
            http_status=200,
            latency_us=self.chance.randrange(20_000, 900_000),
            **order,
        )

    def _order(self, account_id: int) -> dict[str, object]:
        early = self.number < 40 and self.chance.random() < 0.2
        quantity = Decimal(self.chance.randrange(1, 5000))
        return {
            "account_id": account_id,
            "order_id": str(_uuid(self.chance)),
            "client_order_id": f"algo-{self.chance.getrandbits(40):010x}",
            # Few symbols make most of the orders.
            "symbol": EARLY_SYMBOL if early else SYMBOLS[int(len(SYMBOLS) * self.chance.random() ** 3)],
            "side": self.chance.choice(("BUY", "SELL", "SELL_SHORT")),
            "quantity": quantity,
            "leaves_quantity": quantity,
            "filled_quantity": Decimal(0),
        }

    def _draft(self, kind: Kind, sentence: str, **values: object) -> Draft:
        # Several processes write: the times of neighbours differ a little either way.
        self.now += timedelta(microseconds=self.chance.randrange(-200, 3000))
        told: dict[str, object] = {"kill_id": self.kill_id, "actor": self.person, **values}
        return Draft(kind=kind, at=self.now, sentence=sentence, **told)  # type: ignore[arg-type]
