"""Tables that can be sorted by their columns, with the order in the address."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.http import QueryDict

T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column with what its rows are sorted by. Figures stand to the right, and begin with the largest."""

    name: str
    label: str
    key: Callable[[T], Any]
    is_figure: bool = True


@dataclass(frozen=True)
class Heading:
    """The head of a column as a link: to the order that a press on it gives."""

    name: str
    label: str
    is_figure: bool
    address: str
    aria_sort: str


class Sorting(Generic[T]):
    """Which column the rows stand by: `sort=name` in the address, `sort=-name` for the largest first."""

    def __init__(
        self,
        columns: Sequence[Column[T]],
        asked: QueryDict,
        *,
        address: str,
        default: Column[T] | None = None,
        left_out: Iterable[str] = ("has",),
    ) -> None:
        default = default or columns[0]
        self._columns = columns
        self._asked = asked
        self._address = address
        self._left_out = tuple(left_out)
        self.value = asked.get("sort", "")
        self.column = next((column for column in columns if column.name == self.value.removeprefix("-")), default)
        self.is_falling = self.value.startswith("-")

    @property
    def is_unknown(self) -> bool:
        """Say whether it asks for a column that there is not; then the usual one is taken."""
        return bool(self.value) and self.value.removeprefix("-") != self.column.name

    def sort(self, rows: Iterable[T]) -> list[T]:
        return sorted(rows, key=self.column.key, reverse=self.is_falling)

    @cached_property
    def headings(self) -> list[Heading]:
        return [self._heading(column) for column in self._columns]

    @property
    def here(self) -> str:
        """Return the address of what is shown."""
        return self._to(self._asked_for())

    def by(self, value: str) -> str:
        """Return the address of the same rows in another order."""
        query = self._asked_for()
        query["sort"] = value
        return self._to(query)

    def _heading(self, column: Column[T]) -> Heading:
        is_here = column is self.column
        falls_next = not self.is_falling if is_here else column.is_figure
        address = self.by(f"-{column.name}" if falls_next else column.name)
        aria_sort = ("descending" if self.is_falling else "ascending") if is_here else ""
        return Heading(column.name, column.label, column.is_figure, address, aria_sort)

    def _asked_for(self) -> QueryDict:
        query = self._asked.copy()
        for name in self._left_out:
            query.pop(name, None)
        return query

    def _to(self, query: QueryDict) -> str:
        text = query.urlencode()
        return f"{self._address}?{text}" if text else self._address
