"""What a kill would do, by the open book as last seen. The kill itself waits for none of this."""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from killswitch.book.models import Account
from killswitch.book.queries import known_account_ids, open_book
from killswitch.kills.decision import DECISION_FIELDS, Decision, InvalidDecision, Values, read_decision
from killswitch.kills.filter import OrderFilter, scope_sentence

from .filterbar import Field

# Counting the orders of many accounts takes time, and the person who is about to press has none.
COUNT_FOR_SECONDS = 1.0
OLD_AFTER = timedelta(seconds=10)
# What is chosen on the confirmation itself; the rest is the scope, which it carries unseen.
OPTIONS = ("reason", "latched", "dry_run", "idempotency_key")
OFF = ("", "off", "false", "0")
REASONS = (
    "Runaway algorithm",
    "Wrong price or quantity",
    "Lost connection to the trading system",
    "Position or risk limit exceeded",
    "Market event",
    "Instruction of risk management",
    "Drill",
)


class Confirmation:
    """The page between a decision and the press: what was asked for, field by field, and what it would reach."""

    def __init__(
        self, asked: Values, *, decision: Decision | None = None, errors: dict[str, str] | None = None
    ) -> None:
        self._asked = {name: [value for value in values if value.strip()] for name, values in asked.items()}
        self.errors = errors or {}
        self.decision = decision or self._decision_without(OPTIONS)
        self.idempotency_key = uuid.uuid4()
        self.reasons = REASONS
        self.reach = Reach.of(self.decision) if self.decision else None

    def _decision_without(self, names: tuple[str, ...]) -> Decision | None:
        """Read what is asked apart from `names`, so that a bad reason does not hide what would be canceled."""
        if not self.errors.keys() <= set(names):
            return None
        try:
            return read_decision({name: values for name, values in self._asked.items() if name not in names})
        except InvalidDecision:
            return None

    @property
    def sentence(self) -> str:
        if self.decision is None:
            return ""
        account_ids = list(self.decision.account_ids)
        return scope_sentence(self.decision.filter, account_ids, self.decision.all_accounts)

    @property
    def reason(self) -> Field:
        return Field("reason", self._asked.get("reason", [])[:1], self.errors.get("reason", ""))

    @property
    def latched(self) -> Field:
        return self._flag("latched")

    @property
    def dry_run(self) -> Field:
        return self._flag("dry_run")

    @property
    def takes_another(self) -> bool:
        """Say whether it takes another person to release what is latched."""
        return not settings.RELEASE_BY_SAME_PERSON

    def _flag(self, name: str) -> Field:
        """Return a box that is ticked unless it was plainly off: what is odd is shown, with its error."""
        given = [value for value in self._asked.get(name, []) if value.strip().lower() not in OFF]
        return Field(name, given[:1], self.errors.get(name, ""))

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """Return what the form carries unseen: everything, once it is understood."""
        if self.decision is None:
            return []
        return [(name, value) for name, values in self._scope().items() for value in values]

    @property
    def fields(self) -> list[Field]:
        """Return what has to be put right, as fields that can be edited; nothing that was asked for is left out."""
        if self.decision is not None:
            return []
        names = dict.fromkeys([*self._scope(), *(name for name in self.errors if name not in OPTIONS)])
        return [Field(name, self._asked.get(name, []), self.errors.get(name, "")) for name in names]

    @property
    def key_error(self) -> str:
        return self.errors.get("idempotency_key", "")

    @property
    def has_unknown_fields(self) -> bool:
        """Say whether a name is not understood at all. Then there is nothing here that could be pressed."""
        return not self.errors.keys() <= DECISION_FIELDS

    @property
    def way_back(self) -> str:
        if self.decision is not None and len(self.decision.account_ids) == 1:
            return reverse("account", args=[self.decision.account_ids[0]])
        return reverse("desk")

    def _scope(self) -> dict[str, list[str]]:
        return {name: values for name, values in self._asked.items() if values and name not in OPTIONS}


@dataclass
class Tally:
    """Sums over open orders that match."""

    orders: int = 0
    stops: int = 0
    unpriced: int = 0
    notional: Decimal = Decimal(0)

    def add(self, *, orders: int, stops: int, unpriced: int, notional: Decimal) -> None:
        self.orders += orders
        self.stops += stops
        self.unpriced += unpriced
        self.notional += notional


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a decision matches in the book, on how many accounts, and how far those lists can be trusted."""

    tally: Tally
    accounts: int
    accounts_with_orders: int
    never_listed: int
    incomplete: int
    failed: int
    oldest_at: datetime | None
    is_counted: bool

    @classmethod
    def of(cls, decision: Decision) -> "Reach":
        account_ids = known_account_ids() if decision.all_accounts else list(decision.account_ids)
        rows = Account.objects.in_bulk(account_ids)
        tally, with_orders, is_counted = _count(rows.values(), decision.filter)
        listed = [row.listed_at for row in rows.values() if row.listed_at]
        return cls(
            tally=tally,
            accounts=len(account_ids),
            accounts_with_orders=with_orders,
            never_listed=len(account_ids) - len(listed),
            incomplete=sum(row.listed_at is not None and not row.is_whole for row in rows.values()),
            failed=sum(bool(row.error) for row in rows.values()),
            oldest_at=min(listed, default=None),
            is_counted=is_counted,
        )

    @property
    def is_unknown(self) -> bool:
        """Say whether nothing was ever listed: none is not the same as not known."""
        return self.never_listed == self.accounts

    @property
    def is_sure(self) -> bool:
        old = self.oldest_at is None or timezone.now() - self.oldest_at > OLD_AFTER
        return self.is_counted and not (self.never_listed or self.incomplete or self.failed or old)


def _count(rows: Iterable[Account], orders: OrderFilter) -> tuple[Tally, int, bool]:
    tally, with_orders, deadline = Tally(), 0, time.monotonic() + COUNT_FOR_SECONDS
    for row in rows:
        before = tally.orders
        if orders.is_empty:
            tally.add(
                orders=row.open_orders, stops=row.stops, unpriced=row.unpriced, notional=row.notional or Decimal(0)
            )
        elif time.monotonic() > deadline:
            return tally, with_orders, False
        else:
            add_matching(tally, row.account_id, orders)
        with_orders += tally.orders > before
    return tally, with_orders, True


def add_matching(tally: Tally, account_id: int, orders: OrderFilter) -> None:
    for order in open_book(account_id).orders:
        if orders.matches(order):
            worth = order.open_notional
            tally.add(orders=1, stops=order.is_stop, unpriced=worth is None, notional=worth or Decimal(0))
