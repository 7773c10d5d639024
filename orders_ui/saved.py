"""Filters that a person has saved: only ever their own."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import QueryDict

from killswitch.kills.decision import FILTER_FIELDS, InvalidDecision, read_filter

from .account_orders import query_of
from .models import SavedFilter

AT_MOST = 50


def saved_filters_of(user: Any) -> QuerySet[SavedFilter]:
    return SavedFilter.objects.filter(user_id=user.pk)


class SaveForm(forms.Form):
    """A name for the filter that is applied."""

    name = forms.CharField(max_length=60, error_messages={"required": "Give it a name."})

    def __init__(self, data: QueryDict, user: User) -> None:
        super().__init__(data)
        self._user = user

    def clean(self) -> None:
        others = saved_filters_of(self._user).exclude(name=self.cleaned_data.get("name", ""))
        if others.count() >= AT_MOST:
            raise forms.ValidationError(f"There are {AT_MOST} saved filters: delete one first.")

    def save(self, query: QueryDict) -> str:
        """Keep the filter under its name, in the place of one that has it already. Raises InvalidDecision."""
        values = {name: [str(value) for value in found] for name, found in query.lists() if name in FILTER_FIELDS}
        text = query_of(read_filter(values))
        if not text:
            raise InvalidDecision({"filter": "is empty: set one first"})
        SavedFilter.objects.update_or_create(user=self._user, name=self.cleaned_data["name"], defaults={"query": text})
        return text
