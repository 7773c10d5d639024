"""The filter of an account page as fields. Whether a value is good is for `kills.decision` to say."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from killswitch.kills.decision import FILTER_FIELDS, FILTER_NAMES, Values
from killswitch.kills.filter import INSTRUMENT_TYPES, ORDER_TYPES, SIDES, STATUSES, TIMES_IN_FORCE

LABELS = {
    "account": "Account",
    "all_accounts": "All accounts",
    "side": "Side",
    "order_type": "Order type",
    "instrument_type": "Instrument type",
    "instruments": "Instruments",
    "status": "Status",
    "time_in_force": "Time in force",
    "client_order_id_prefix": "Client order id prefix",
    "order_id": "Order",
    "reason": "Reason",
    "latched": "Latched",
    "dry_run": "Dry run",
    "idempotency_key": "This form's key",
}
HINTS = {"instruments": "AAPL, TSLA", "client_order_id_prefix": "algo-7-"}
CHOICES: dict[str, Sequence[str]] = {
    "side": SIDES,
    "order_type": ORDER_TYPES,
    "instrument_type": INSTRUMENT_TYPES,
    "status": STATUSES,
    "time_in_force": TIMES_IN_FORCE,
}
MANY = ("status", "time_in_force")


@dataclass(frozen=True)
class Choice:
    value: str
    chosen: bool


@dataclass(frozen=True)
class Field:
    """One field with what was given. A value that is not among the choices stays visible among them."""

    name: str
    values: list[str]
    error: str = ""
    choices: list[Choice] = field(default_factory=list)

    @property
    def label(self) -> str:
        return LABELS.get(self.name, self.name[:80])

    @property
    def hint(self) -> str:
        return HINTS.get(self.name, "")

    @property
    def value(self) -> str:
        return ", ".join(self.values)

    @property
    def takes_many(self) -> bool:
        return self.name in MANY


class FilterBar:
    def __init__(self, values: Values, errors: dict[str, str]) -> None:
        self._values = values
        self._errors = errors

    @property
    def fields(self) -> list[Field]:
        return [self._field(name) for name in FILTER_NAMES if name != "order_id" or self._given(name)]

    @property
    def unknown(self) -> list[Field]:
        return [Field(name, [], words) for name, words in self._errors.items() if name not in FILTER_FIELDS]

    @property
    def has_errors(self) -> bool:
        return bool(self._errors)

    @property
    def errors(self) -> dict[str, str]:
        return self._errors

    @property
    def is_set(self) -> bool:
        return any(self._given(name) for name in FILTER_FIELDS)

    def _given(self, name: str) -> list[str]:
        return [value.strip() for value in self._values.get(name, ()) if value.strip()]

    def _field(self, name: str) -> Field:
        given = self._given(name)
        if name not in CHOICES:
            return Field(name, given, self._errors.get(name, ""))
        parts = [part.strip().upper() for value in given for part in value.split(",") if part.strip()]
        values = list(dict.fromkeys(parts))
        odd = [value for value in values if value not in CHOICES[name]]
        choices = [Choice(value, value in values) for value in (*odd, *CHOICES[name])]
        return Field(name, values, self._errors.get(name, ""), choices)
