"""The audit trail as its pages show it: what was found, where it leads, and how each entry stands in the chain."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

from django.urls import reverse

from killswitch.audit.exports import FORMS, JSON_LINES
from killswitch.audit.life import Fate, Replacements
from killswitch.audit.models import Entry
from killswitch.audit.names import SHOWN, recognised
from killswitch.audit.queries import Page, Standing, standing_of
from killswitch.kills.meanings import wire
from killswitch.kills.models import Kill
from killswitch.kills.queries import as_they_stand
from killswitch.words import figure

from .templatetags.words import outcome
from .trailform import TrailForm
from .trailreader import Reader

FIELDS = {
    "order_id": ("order", "an order"),
    "client_order_id": ("client_order", "a client order id"),
    "request_id": ("request", "a request id of the broker"),
    "actor_name": ("person", "a person"),
    "symbol": ("symbol", "a symbol"),
    "account_id": ("account", "an account"),
    "kill_id": ("kill", "a kill"),
    "attempt_id": ("attempt", "an attempt"),
    "kind": ("kind", "a kind of entry"),
    "outcome": ("outcome", "an outcome"),
}


def address(**fields: Any) -> str:
    return f"{reverse('audit')}?{urlencode(fields)}"


@dataclass(frozen=True)
class Way:
    """A link."""

    words: str
    address: str
    missing: str = ""


class Row:
    """One entry as the list shows it. A hundred of them are written at once: what could be done once is."""

    def __init__(self, entry: Entry, *, may_see: bool) -> None:
        self.entry = entry
        self._may_see = may_see

    @property
    def time(self) -> str:
        return f"{self.entry.at:%Y-%m-%d %H:%M:%S.%f}"

    @property
    def sentence(self) -> str:
        return _cut(self.entry.sentence, 240)

    @property
    def cells(self) -> "Iterator[Cell]":
        """Yield what stands beside it, each with what it is called on a narrow screen."""
        entry = self.entry
        yield self._found("Account", entry.account_id, "account")
        yield self._found("Symbol", entry.symbol, "symbol", kind="symbol")
        yield Cell("Side", wire(entry.side) if entry.side else "")
        yield Cell("Quantity", "" if entry.quantity is None else figure(entry.quantity), kind="n")
        yield self._found("Order", entry.order_id, "replacements=on&sort=oldest&order", kind="id")
        yield Cell("Broker’s status", wire(entry.broker_status) if entry.broker_status else "")
        yield Cell("Outcome", outcome(entry.outcome), kind=f"word {entry.outcome}")
        yield self._found("Request id", entry.request_id, "request", kind="id")
        yield self._kill()

    @property
    def who(self) -> "Cell":
        return self._found("Who", self.entry.actor_name, "person")

    def _found(self, label: str, value: Any, field: str, kind: str = "") -> "Cell":
        if value in ("", None):
            return Cell(label)
        text = str(value)
        return Cell(label, _cut(text, 40), f"?{field}={quote(text, safe='')}", kind=kind, full=text)

    def _kill(self) -> "Cell":
        kill_id = self.entry.kill_id
        if kill_id is None or not self._may_see:
            return self._found("Kill", kill_id, "kill")
        return Cell("Kill", str(kill_id)[:SHOWN], reverse("kill", args=[kill_id]))


@dataclass(frozen=True, slots=True)
class Cell:
    label: str
    text: str = ""
    address: str = ""
    kind: str = ""
    full: str = ""

    @property
    def classes(self) -> str:
        return f"{self.kind} none".strip() if not self.text else self.kind


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class Trail:
    """One page of a search."""

    def __init__(self, form: TrailForm, *, may_see: bool) -> None:
        self._form = form
        self._may_see = may_see
        self._asked = form.cleaned_data
        self.page: Page = form.page()

    @property
    def entries(self) -> list[Entry]:
        return self.page.entries

    @property
    def rows(self) -> Iterator[Row]:
        for entry in self.entries:
            yield Row(entry, may_see=self._may_see)

    @property
    def is_oldest_first(self) -> bool:
        return bool(self._asked["sort"] == "oldest")

    @property
    def other_way(self) -> Way:
        given = self._form.given()
        given.pop("sort", None)
        if self.is_oldest_first:
            return Way("Newest first", address(**given))
        return Way("Oldest first", address(**given, sort="oldest"))

    @property
    def following(self) -> Way | None:
        """Return the way to the page below this one."""
        older, newer = self.page.older, self.page.newer
        if self.is_oldest_first:
            return Way("Newer", address(**self._form.given(), after=newer)) if newer else None
        return Way("Older", address(**self._form.given(), before=older)) if older else None

    @property
    def preceding(self) -> Way | None:
        """Return the way to the page above this one."""
        older, newer = self.page.older, self.page.newer
        if self.is_oldest_first:
            return Way("Older", address(**self._form.given(), before=older)) if older else None
        return Way("Newer", address(**self._form.given(), after=newer)) if newer else None

    @cached_property
    def recognised(self) -> list[Way]:
        """Say what the typed words name, each a way to that alone."""
        ways = []
        for found in recognised(self._asked["q"]) if self._asked["q"] else ():
            if not self._form.reader.recognises(found):
                continue
            column, value = found
            name, words = FIELDS[column]
            given = {**self._form.given(), name: str(value)}
            del given["q"]
            ways.append(Way(words, address(**given)))
        return ways

    @cached_property
    def kills(self) -> list[Kill]:
        """Return the kills that the entries on this page are of, in their order."""
        ids: list[uuid.UUID] = list(dict.fromkeys(entry.kill_id for entry in self.entries if entry.kill_id))
        found = Kill.objects.in_bulk([kill_id for kill_id in ids if self._form.reader.sees_kill(kill_id)])
        return as_they_stand([found[kill_id] for kill_id in ids if kill_id in found])

    @cached_property
    def fates(self) -> list[Fate]:
        """Say what became of the order that was asked for, and of those that it replaced or that replaced it."""
        if not (self._asked["order"] and self.entries):
            return []
        return [fate for fate in Replacements(self._asked["order"]).fates() if self._may_be_told(fate)]

    def _may_be_told(self, fate: Fate) -> bool:
        return all(self._form.reader.sees(entry) for entry in (fate.ended, fate.last) if entry is not None)

    @property
    def exports(self) -> list[Way]:
        given = {name: value for name, value in self._form.given().items() if name != "sort"}
        ways = [
            Way(form.words, f"{reverse('export', args=[form.name])}?{urlencode(given)}".rstrip("?"), form.missing)
            for form in FORMS.values()
        ]
        if given:
            proving = f"{reverse('export', args=[JSON_LINES.name])}?{urlencode({**given, 'provable': 'on'})}"
            ways.append(Way(f"{JSON_LINES.words} with proof", proving))
        return ways


@dataclass(frozen=True)
class EntryView:
    entry: Entry
    reader: Reader

    @property
    def data(self) -> str:
        return json.dumps(self.entry.data, indent=2, ensure_ascii=False, sort_keys=True)

    @cached_property
    def standing(self) -> Standing:
        return standing_of(self.entry)

    @property
    def sees_previous(self) -> bool:
        return self._sees(self.standing.previous)

    @property
    def sees_next(self) -> bool:
        return self._sees(self.standing.next)

    def _sees(self, number: int | None) -> bool:
        neighbour = Entry.objects.defer("data").filter(pk=number).first() if number else None
        return neighbour is not None and self.reader.sees(neighbour)
