"""The whole life of an order in the record: what replaced it, and what became of each."""

import uuid
from dataclasses import dataclass
from typing import Any

from .models import Entry, Kind
from .slices import EVERYWHERE, Name, any_of, slice_of

# A chain of replacements longer than this is cut.
ORDERS = 100


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of one order, as far as the record tells."""

    order_id: str
    replaces: str = ""
    replaced_by: str = ""
    ended: Entry | None = None  # the last entry that tells its outcome
    last: Entry | None = None  # the last entry that names it


class Replacements:
    """Which orders took the place of which, around one of them: read from the kills that touched them."""

    def __init__(self, order_id: str) -> None:
        self._replaces: dict[str, str] = {}
        self._replaced_by: dict[str, str] = {}
        self._kills: set[uuid.UUID] = set()
        self.order_ids = self._found(order_id)

    def fates(self) -> list[Fate]:
        """Return what became of each, the first that there was first."""
        return [self._fate(order_id) for order_id in self.order_ids]

    def _found(self, order_id: str) -> list[str]:
        before, after, current = list[str](), list[str](), order_id
        self._read_kills_of(order_id)
        while (current := self._replaces.get(current, "")) and self._is_new(current, order_id, before):
            before.append(current)
            self._read_kills_of(current)
        current = order_id
        while (current := self._replaced_by.get(current, "")) and self._is_new(current, order_id, before + after):
            after.append(current)
            self._read_kills_of(current)
        return [*reversed(before), order_id, *after]

    def _is_new(self, order_id: str, first: str, others: list[str]) -> bool:
        return order_id != first and order_id not in others and len(others) < ORDERS

    def _read_kills_of(self, order_id: str) -> None:
        # All of a value, in no order: asked plainly. PostgreSQL takes a range of pairs without a limit for a third of
        # the table, and reads all of it.
        entries = Entry.objects.filter(order_id=order_id, order_id__gt="")
        for kill_id in set(entries.values_list("kill_id", flat=True)) - self._kills:
            if kill_id is not None:
                self._kills.add(kill_id)
                self._read(kill_id)

    def _read(self, kill_id: uuid.UUID) -> None:
        of_kill = [slice_of(Name("kill_id", kill_id), EVERYWHERE, newest_first) for newest_first in (False, True)]
        first, last = (entries.values_list("id", flat=True)[0] for entries in of_kill)
        told = Entry.objects.filter(kind=Kind.ORDER_SUCCESSOR, id__gte=first, id__lte=last)
        for entry in told.filter(any_of((Name("kill_id", kill_id),))).order_by("id").only("order_id", "data"):
            data: Any = entry.data
            replaced = data.get("replaces", "")
            self._replaces[entry.order_id], self._replaced_by[replaced] = replaced, entry.order_id

    def _fate(self, order_id: str) -> Fate:
        entries = slice_of(Name("order_id", order_id), EVERYWHERE, True)
        return Fate(
            order_id=order_id,
            replaces=self._replaces.get(order_id, ""),
            replaced_by=self._replaced_by.get(order_id, ""),
            ended=entries.filter(any_of((Name("kind", Kind.ORDER_ENDED),))).first(),
            last=entries.first(),
        )


def family(order_id: str) -> list[str]:
    """Return an order with all that it replaced and all that replaced it, the first that there was first."""
    return Replacements(order_id).order_ids
