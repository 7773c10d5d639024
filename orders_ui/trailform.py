"""The search of the audit trail as fields. All of it stands in the address, so that it can be sent to somebody."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from killswitch.audit.models import Kind
from killswitch.audit.names import kills_beginning
from killswitch.audit.queries import Page, find
from killswitch.audit.search import Search, moment
from killswitch.kills.decision import LARGEST_ACCOUNT
from killswitch.kills.models import Outcome, State

from .trailreader import Reader

LONGEST = 500
ANY = ("", "any")
OUTCOMES = [(outcome.value, outcome.label) for outcome in Outcome if outcome != Outcome.PENDING]
STATES = [(state.value, f"kill or account: {state.label}") for state in State if state != State.RUNNING]
SORTS = [("", "newest first"), ("oldest", "oldest first")]
MAIN = ("q", "since", "until", "symbol", "account", "person", "order")


class MomentField(forms.CharField):
    """A day or a time in UTC. A day as an end is the whole of it."""

    def __init__(self, *, is_end: bool = False, **options: Any) -> None:
        attributes = {"placeholder": "2026-11-21 14:30", "autocomplete": "off"}
        super().__init__(required=False, max_length=40, widget=forms.TextInput(attrs=attributes), **options)
        self._is_end = is_end

    def clean(self, value: Any) -> datetime | None:  # type: ignore[override]
        text: str = super().clean(value)
        try:
            return moment(text, is_end=self._is_end) if text else None
        except ValueError:
            raise ValidationError("Write a day or a time that there is: 2026-11-21 or 2026-11-21 14:30:00.") from None


class KillField(forms.CharField):
    """A kill's id, or as many digits of its beginning as tell it from every other."""

    # For readers who may not see every kill: a beginning would say which there are.
    is_whole_only = False

    def clean(self, value: Any) -> uuid.UUID | None:  # type: ignore[override]
        text: str = super().clean(value)
        if not text:
            return None
        try:
            return uuid.UUID(text)
        except ValueError:
            return self._beginning(text)

    def _beginning(self, text: str) -> uuid.UUID:
        if self.is_whole_only:
            raise ValidationError("Copy the whole id of the kill from its page.")
        found = kills_beginning(text)
        if not found:
            raise ValidationError(f"No kill in the record begins with “{text[:40]}”: copy its id from its page.")
        if len(found) > 1:
            raise ValidationError(f"Several kills begin with “{text[:40]}”: write more of the id.")
        return found[0]


class WordField(forms.ChoiceField):
    """One of many words. One that is not among them stays visible."""

    def __init__(self, choices: Iterable[Any], **options: Any) -> None:
        messages = {"invalid_choice": "There is none called “%(value).40s”: choose one from the list."}
        super().__init__(required=False, choices=[*choices], error_messages=messages, **options)

    def show(self, value: str) -> None:
        if value and not self.valid_value(value):
            choices: Any = self.choices
            self.widget.choices = [(value, value[:40]), *choices]


def _text(label: str, **options: Any) -> forms.CharField:
    # No maxlength in the page: a browser would cut what is pasted, and something else would be searched.
    widget = forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    field = forms.CharField(required=False, label=label, widget=widget, **options)
    field.validators.append(_short_enough)
    return field


def _short_enough(text: str) -> None:
    if len(text) > LONGEST:
        raise ValidationError(f"This is too long for a name ({len(text):,} characters): write the name alone.")


def _number(largest: int = LARGEST_ACCOUNT, **options: Any) -> forms.IntegerField:
    told = "Write a number: digits only."
    messages = {"invalid": told, "min_value": told, "max_value": "This number is larger than any that there is."}
    return forms.IntegerField(required=False, min_value=1, max_value=largest, error_messages=messages, **options)


class TrailForm(forms.Form):
    """What a reader of the audit trail looks for, and where in it they are."""

    q = _text("Find", help_text="order, symbol, person, any id")
    since = MomentField(label="Since (UTC)")
    until = MomentField(label="Until (UTC)", is_end=True, help_text="a day is the whole day")
    symbol = _text("Symbol")
    account = _number(widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}))
    person = _text("Person")
    order = _text("Order id")
    replacements = forms.BooleanField(required=False, label="With what replaced it")
    client_order = _text("Client order id")
    request = _text("Broker’s request id")
    kill = KillField(required=False, help_text="id or its first digits")
    attempt = forms.UUIDField(
        required=False,
        widget=forms.TextInput,
        error_messages={"invalid": "Copy the whole id of the attempt from one of its entries."},
    )
    kind = WordField([ANY, *Kind.choices])
    outcome = WordField([ANY, *OUTCOMES, *STATES])
    sort = WordField(SORTS, label="Sort")
    before = _number(widget=forms.HiddenInput)
    after = _number(widget=forms.HiddenInput)

    def __init__(self, data: QueryDict, reader: Reader) -> None:
        super().__init__(data)
        self.reader = reader
        self.fields["kill"].is_whole_only = reader.is_limited  # type: ignore[attr-defined]
        for name in ("kind", "outcome", "sort"):
            self.fields[name].show(data.get(name, ""))  # type: ignore[attr-defined]

    def clean(self) -> None:
        data: Any = self.data
        unknown = sorted(set(data) - set(self.fields))
        if unknown:
            raise ValidationError(f"“{unknown[0][:40]}” is not a field of this search: nothing was searched.")
        twice = sorted(name for name, values in data.lists() if len(values) > 1)
        if twice:
            raise ValidationError(f"“{twice[0]}” stands in the address more than once: nothing was searched.")
        asked = self.cleaned_data
        if asked.get("before") is not None and asked.get("after") is not None:
            raise ValidationError("A page lies before an entry or after it, not both.")
        if asked.get("since") and asked.get("until") and asked["since"] > asked["until"]:
            self.add_error("until", "This is earlier than “since”: exchange the two.")

    def main(self) -> list[forms.BoundField]:
        return [self[name] for name in MAIN]

    def more(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name not in MAIN]

    def is_more_open(self) -> bool:
        return any(field.errors or (field.value() and field.name != "sort") for field in self.more())

    def given(self) -> dict[str, str]:
        """Return what stands in the address of the search, without where in it one is."""
        data: Any = self.data
        fields = [name for name in self.fields if name not in ("before", "after")]
        return {name: data[name] for name in fields if data.get(name)}

    def search(self) -> Search:
        asked = self.cleaned_data
        return Search(
            text=asked["q"],
            since=asked["since"],
            until=asked["until"],
            symbol=asked["symbol"],
            account_id=asked["account"],
            actor_name=asked["person"],
            order_id=asked["order"],
            replacements=asked["replacements"],
            client_order_id=asked["client_order"],
            request_id=asked["request"],
            kill_id=asked["kill"],
            attempt_id=asked["attempt"],
            kind=asked["kind"],
            outcome=asked["outcome"],
            only=self.reader.only(asked["kill"]),
        )

    def page(self) -> Page:
        asked = self.cleaned_data
        oldest_first = asked["sort"] == "oldest"
        return find(self.search(), before=asked["before"], after=asked["after"], oldest_first=oldest_first)
