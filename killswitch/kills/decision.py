"""Read what somebody asks for, from a form, a query string or a command line, and refuse what is not plain.

A kill that is wider than what was meant is as bad as one that does not fire: an unknown field, a second value where
one is allowed, or a word that nobody knows is an error and never left out.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from killswitch.broker import NO_ORDER_IDS

from .filter import INSTRUMENT_TYPES, ORDER_TYPES, SIDES, STATUSES, TIMES_IN_FORCE, OrderFilter

Values = Mapping[str, Sequence[str]]

MAX_REASON = 10_000
MAX_TEXT = 200
LARGEST_ACCOUNT = 2**63 - 1
# Equity tickers (BRK.B, BF/B), OSI option symbols (which have blanks) and UUIDs.
INSTRUMENT = re.compile(r"[A-Z0-9^][A-Z0-9 ./^_:+-]*")

# In the order in which pages show them.
FILTER_NAMES = (
    "side",
    "order_type",
    "instrument_type",
    "instruments",
    "status",
    "time_in_force",
    "client_order_id_prefix",
    "order_id",
)
FILTER_FIELDS = frozenset(FILTER_NAMES)
DECISION_FIELDS = FILTER_FIELDS | {"account", "all_accounts", "reason", "idempotency_key", "latched", "dry_run"}
SINGLE_FIELDS = frozenset(
    {
        "side",
        "order_type",
        "instrument_type",
        "client_order_id_prefix",
        "all_accounts",
        "reason",
        "idempotency_key",
        "latched",
        "dry_run",
    }
)


class InvalidDecision(ValueError):
    """What was asked for cannot be understood. `errors` maps a field to what to do about it."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in errors.items()))
        self.errors = errors


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One kill as asked for, understood in every field."""

    account_ids: tuple[int, ...] = ()
    all_accounts: bool = False
    filter: OrderFilter = OrderFilter()
    reason: str = ""
    latched: bool = False
    dry_run: bool = False
    idempotency_key: uuid.UUID = field(default_factory=uuid.uuid4)


def read_decision(values: Values) -> Decision:
    """Read a kill. Raises InvalidDecision with every field that is wrong."""
    errors = _unknown_fields(values, DECISION_FIELDS) | _repeated_fields(values)
    reader = _Reader(values, errors)
    account_ids = tuple(dict.fromkeys(reader.accounts()))
    all_accounts = reader.flag("all_accounts")
    decision = Decision(
        account_ids=account_ids,
        all_accounts=all_accounts,
        filter=reader.filter(),
        reason=reader.reason(),
        latched=reader.flag("latched"),
        dry_run=reader.flag("dry_run"),
        idempotency_key=reader.key(),
    )
    if decision.latched and decision.dry_run:
        errors["dry_run"] = "a dry run cannot be latched: take one of the two"
    if decision.latched and decision.filter.order_ids:
        errors["latched"] = "single orders cannot be latched: nothing that arrives is meant by them"
    if not errors and not account_ids and not all_accounts:
        errors["account"] = "say which accounts, or all_accounts=on"
    if account_ids and all_accounts:
        errors["all_accounts"] = "either name accounts or take all of them, not both"
    if decision.filter.order_ids and values_of_other_filters(values):
        errors.setdefault("order_id", "names the orders: no other filter can stand beside it")
    if decision.filter.order_ids and (all_accounts or len(account_ids) != 1):
        errors.setdefault("order_id", "single orders need exactly one account")
    if errors:
        raise InvalidDecision(errors)
    return decision


def fields_of(decision: Decision) -> dict[str, list[str]]:
    """Return the fields that are read as this decision, apart from its reason and its key."""
    orders = decision.filter.as_data()
    orders["order_id"] = orders.pop("order_ids", [])
    fields = {name: [value] if isinstance(value, str) else list(value) for name, value in orders.items()}
    fields["account"] = [str(account_id) for account_id in decision.account_ids]
    flags = {name: ["on"] for name in ("all_accounts", "latched", "dry_run") if getattr(decision, name)}
    return {name: values for name, values in (fields | flags).items() if values}


def read_release(values: Values) -> str:
    """Read why a latched kill is released. Raises InvalidDecision."""
    return _read_reason(values, of="a release", missing="say why it is released: it stands in the audit trail")


def read_afterthought(values: Values) -> str:
    """Read why a kill was pressed, as said afterwards. Raises InvalidDecision."""
    return _read_reason(values, of="a reason", missing="say why it was pressed: it stands in the audit trail")


def _read_reason(values: Values, *, of: str, missing: str) -> str:
    errors = {name: f"is not a field of {of}" for name in values if name != "reason"} | _repeated_fields(values)
    reason = _Reader(values, errors).reason()
    if not errors and not reason:
        errors["reason"] = missing
    if errors:
        raise InvalidDecision(errors)
    return reason


def values_of_other_filters(values: Values) -> bool:
    return any(value.strip() for name in FILTER_FIELDS - {"order_id"} for value in values.get(name, ()))


def read_filter(values: Values) -> OrderFilter:
    """Read the filter of a page's address. Raises InvalidDecision."""
    wanted = {name: value for name, value in values.items() if name in FILTER_FIELDS}
    errors = _repeated_fields(wanted)
    read = _Reader(wanted, errors).filter()
    if errors:
        raise InvalidDecision(errors)
    return read


def _unknown_fields(values: Values, known: frozenset[str]) -> dict[str, str]:
    return {name: "is not a field of a kill: nothing was sent" for name in values if name not in known}


def _repeated_fields(values: Values) -> dict[str, str]:
    return {name: "was given more than once" for name in SINGLE_FIELDS if len(values.get(name, ())) > 1}


class _Reader:
    def __init__(self, values: Values, errors: dict[str, str]) -> None:
        self._values = values
        self._errors = errors

    def filter(self) -> OrderFilter:
        return OrderFilter(
            side=self._word("side", SIDES),
            order_type=self._word("order_type", ORDER_TYPES),
            instrument_type=self._word("instrument_type", INSTRUMENT_TYPES),
            instruments=self._instruments(),
            status=self._words("status", STATUSES),
            time_in_force=self._words("time_in_force", TIMES_IN_FORCE),
            client_order_id_prefix=self._text("client_order_id_prefix"),
            order_ids=self._order_ids(),
        )

    def _order_ids(self) -> tuple[str, ...]:
        if any(not value.strip() for value in self._values.get("order_id", ())):
            self._errors["order_id"] = "is empty: name the order, or leave the field out"
        ids = tuple(dict.fromkeys(self._plain("order_id", value) for value in self._given("order_id")))
        if not NO_ORDER_IDS.isdisjoint(ids):
            self._errors["order_id"] = "“.” and “..” are not ids of orders"
        return ids

    def accounts(self) -> list[int]:
        read = []
        for value in self._given("account"):
            if value.isascii() and value.isdigit() and len(value) < 20 and 0 < int(value) <= LARGEST_ACCOUNT:
                read.append(int(value))
            else:
                self._errors["account"] = f"“{value[:40]}” is not an account number"
        return read

    def flag(self, name: str) -> bool:
        value = self._one(name).lower()
        if value not in ("", "on", "off", "true", "false", "1", "0"):
            self._errors[name] = "must be on or left out"
        return value in ("on", "true", "1")

    def reason(self) -> str:
        reason = "".join(self._values.get("reason", ("",))[:1]).strip()
        if len(reason) > MAX_REASON:
            self._errors["reason"] = f"is longer than {MAX_REASON:,} characters: shorten it"
        if "\x00" in reason:
            self._errors["reason"] = "has a NUL character: type it again"
        return reason

    def key(self) -> uuid.UUID:
        value = self._one("idempotency_key")
        try:
            return uuid.UUID(value) if value else uuid.uuid4()
        except ValueError:
            self._errors["idempotency_key"] = "must be a UUID: load the form again"
            return uuid.uuid4()

    def _given(self, name: str) -> list[str]:
        return [value.strip() for value in self._values.get(name, ()) if value.strip()]

    def _one(self, name: str) -> str:
        return next(iter(self._given(name)), "")

    def _parts(self, name: str) -> list[str]:
        parts = [part.strip() for value in self._given(name) for part in value.split(",")]
        if parts and not any(parts):
            self._errors[name] = "names nothing: leave the field out to mean everything"
        return list(dict.fromkeys(self._plain(name, part) for part in parts if part))

    def _plain(self, name: str, value: str) -> str:
        if len(value) > MAX_TEXT or not value.isprintable():
            self._errors[name] = f"has a value longer than {MAX_TEXT} characters or with control characters"
        return value

    def _instruments(self) -> tuple[str, ...]:
        named = tuple(name.upper() for name in self._parts("instruments"))
        odd = [name for name in named if not INSTRUMENT.fullmatch(name)]
        if odd:
            self._errors.setdefault("instruments", f"“{odd[0][:40]}” is no symbol and no UUID")
        self._not_only_blanks("instruments")
        return named

    def _not_only_blanks(self, name: str) -> None:
        if any(value and not value.strip() for value in self._values.get(name, ())):
            self._errors[name] = "holds only blanks: leave the field out to mean everything"

    def _text(self, name: str) -> str:
        self._not_only_blanks(name)
        return self._plain(name, self._one(name))

    def _word(self, name: str, known: Sequence[str]) -> str:
        return next(iter(self._check(name, [self._one(name).upper()], known)), "")

    def _words(self, name: str, known: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._check(name, [part.upper() for part in self._parts(name)], known))

    def _check(self, name: str, words: list[str], known: Sequence[str]) -> list[str]:
        odd = [word for word in words if word and word not in known]
        if odd:
            self._errors[name] = f"“{odd[0][:40]}” is not one of {', '.join(known)}"
        return [word for word in words if word]
