"""What to read to the broker's desk on the telephone: the orders that did not go away, the largest first."""

import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from heapq import nsmallest
from itertools import count, islice

from killswitch.audit.models import Entry, Kind
from killswitch.broker import multiplier, open_notional
from killswitch.kills.models import Kill, KilledOrder, Outcome, Sweep
from killswitch.kills.queries import ENDED_BADLY, sweeps_as_they_stand
from killswitch.words import counted, dollars, unpriced

from .figures import ROWS, Incident, accounts_in_doubt

LINES = 200  # more than anybody reads out
REQUEST_IDS = 8
CHUNK = 4
TOO_MANY = "Nobody reads out all of them: ask for a cancel of everything that matches, account by account."
ANSWERS = (Kind.ATTEMPT_ANSWERED, Kind.ORDER_ACCEPTED)

Rank = tuple[bool, Decimal]


def rank(worth: Decimal | None) -> Rank:
    """What nobody can put a figure on comes first, then the largest."""
    return (worth is not None, -(worth or Decimal(0)))


def chunks(name: str) -> list[str]:
    """Cut an order's id into pieces that can be read out: 4 characters at most, a dash ends one."""
    return re.findall(rf"[^\W_]{{1,{CHUNK}}}[\W_]?|[\W_]", name)


@dataclass(frozen=True)
class CallLine:
    """One order to be read out."""

    number: int
    order: KilledOrder
    request_ids: list[str]
    more_request_ids: int = 0

    @property
    def worth(self) -> Decimal | None:
        return self.order.open_notional

    @property
    def worth_words(self) -> str:
        if self.worth is not None:
            return dollars(self.worth)
        return "worth not known: no price" if self.order.price is None else "worth not known"

    @property
    def instrument(self) -> str:
        return self.order.instrument or "multi-leg, or symbol not known"

    @property
    def chunks(self) -> list[str]:
        return chunks(self.order.order_id)

    @property
    def limit_price(self) -> Decimal | None:
        """The limit price: of a plain stop order there is none, and `price` is the price that it waits for."""
        order = self.order
        return None if order.is_stop and order.price == order.stop_price else order.price


@dataclass
class CallAccount:
    """The orders of one account. `orders`, `notional` and `unpriced` count those, too, that are not listed."""

    account_id: int
    orders: int = 0
    notional: Decimal = Decimal(0)
    unpriced: int = 0
    lines: list[CallLine] = field(default_factory=list)

    def add(self, worth: Decimal | None) -> None:
        self.orders += 1
        self.notional += worth or 0
        self.unpriced += worth is None

    @property
    def rank(self) -> tuple[bool, Decimal, int]:
        return (not self.unpriced, -self.notional, self.account_id)

    @property
    def worth(self) -> str:
        if self.unpriced == self.orders:
            return "worth not known"
        return f"{dollars(self.notional)} {unpriced(self.unpriced)}".strip()


@dataclass(frozen=True)
class AccountInDoubt:
    """An account of which it is not known what is open."""

    sweep: Sweep
    request_ids: list[str]


class CallSheet:
    """The sheet as it is right now. At most `LINES` orders stand on it, by rank; the sums are of all of them."""

    def __init__(self, incident: Incident) -> None:
        self.incident = incident
        self.kill: Kill = incident.kill

    @property
    def is_empty(self) -> bool:
        return not (self.order_count or self.in_doubt or self.kill.roster_error) or self.kill.dry_run

    @property
    def order_count(self) -> int:
        return self.incident.call_count

    @property
    def is_cut(self) -> bool:
        return self.order_count > LINES

    @property
    def line_count(self) -> int:
        return min(self.order_count, LINES)

    @cached_property
    def pending_count(self) -> int:
        return sum(count for name, _, count, _ in self.incident.outcomes if name == Outcome.PENDING)

    @property
    def nothing(self) -> str:
        """What an empty sheet says."""
        if self.kill.dry_run:
            return "Nothing to read out: it is a dry run, nothing was sent."
        so_far = " so far" if self.incident.is_running else ""
        return f"Nothing to read out{so_far}: no order is stuck, still open or unknown."

    @property
    def pending_words(self) -> str:
        waits = "waits" if self.pending_count == 1 else "wait"
        return f"{counted(self.pending_count, 'more order')} {waits} for the broker’s word: not on this sheet yet."

    @property
    def too_many(self) -> str:
        return TOO_MANY

    @property
    def orders_meant(self) -> str:
        """What the desk is asked to cancel, in words."""
        return self.kill.filter.sentence()

    @cached_property
    def accounts(self) -> list[CallAccount]:
        """Return the accounts in the order in which they are read out."""
        accounts: dict[int, CallAccount] = {}
        if self.kill.dry_run:
            return []
        for account_id, worth, _ in self._ranked():
            accounts.setdefault(account_id, CallAccount(account_id)).add(worth)
        largest = nsmallest(LINES, self._ranked(), key=lambda row: (rank(row[1]), row[0], row[2]))
        orders = self.incident.orders().in_bulk([pk for _, _, pk in largest])
        told = request_ids(self.kill.id, [order.order_id for order in orders.values()])
        listed: dict[int, list[KilledOrder]] = defaultdict(list)
        for account_id, _, pk in largest:
            listed[account_id].append(orders[pk])
        ordered, numbers = sorted(accounts.values(), key=lambda account: account.rank), count(1)
        for account in ordered:
            for order in listed[account.account_id]:
                ids = told[account.account_id, order.order_id]
                account.lines.append(CallLine(next(numbers), order, ids[-REQUEST_IDS:], len(ids[:-REQUEST_IDS])))
        return ordered

    def _ranked(self) -> Iterable[tuple[int, Decimal | None, int]]:
        """Yield account, worth and number of every order to be read out; 100,000 of them take no memory."""
        columns = ("sweep__account_id", "leaves_quantity", "price", "instrument_type", "symbol", "legs", "pk")
        bad = self.incident.orders().filter(outcome__in=ENDED_BADLY).order_by().values_list(*columns)
        for account_id, leaves, price, instrument_type, symbol, legs, pk in bad.iterator(ROWS):
            shares = multiplier(instrument_type, symbol, has_legs=bool(legs))
            yield account_id, open_notional(leaves, price, shares), pk

    @cached_property
    def in_doubt(self) -> list[AccountInDoubt]:
        sweeps = sweeps_as_they_stand(accounts_in_doubt(self.kill)[:LINES])
        told = mass_cancel_request_ids(self.kill.id, [sweep.account_id for sweep in sweeps])
        return [AccountInDoubt(sweep, told[sweep.account_id][-REQUEST_IDS:]) for sweep in sweeps]

    @property
    def in_doubt_more(self) -> int:
        return accounts_in_doubt(self.kill).count() - LINES if len(self.in_doubt) == LINES else 0


def request_ids(kill_id: uuid.UUID, order_ids: Sequence[str]) -> dict[tuple[int, str], list[str]]:
    """Return the request ids of the cancels that reached an order, by account and order, in their order."""
    found: dict[tuple[int, str], list[str]] = defaultdict(list)
    for some in _portions(order_ids):
        entries = Entry.objects.filter(order_id__in=some, kill_id=kill_id, kind__in=ANSWERS).exclude(request_id="")
        for account_id, order_id, told in entries.order_by("id").values_list("account_id", "order_id", "request_id"):
            if told not in found[account_id or 0, order_id]:
                found[account_id or 0, order_id].append(told)
    return found


def mass_cancel_request_ids(kill_id: uuid.UUID, account_ids: Sequence[int]) -> dict[int, list[str]]:
    """Return the request ids of the mass cancels of accounts, by account, in their order."""
    found: dict[int, list[str]] = defaultdict(list)
    answered = Entry.objects.filter(kill_id=kill_id, kind=Kind.ATTEMPT_ANSWERED, order_id="").exclude(request_id="")
    wanted = answered.filter(account_id__in=account_ids).order_by("id").values_list("account_id", "request_id")
    for account_id, told in wanted if account_ids else ():
        found[account_id or 0].append(told)
    return found


def _portions(names: Sequence[str]) -> Iterable[list[str]]:
    """Cut into what fits one question."""
    rest = iter(names)
    while some := list(islice(rest, 500)):
        yield some
