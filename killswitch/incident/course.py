"""How a kill went, over time: how many orders had been asked to go, accepted, and ended at each moment."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, F, FloatField, Func, IntegerField, QuerySet, Value
from django.db.models.sql.compiler import SQLCompiler

from killswitch.kills.models import KilledOrder
from killswitch.kills.queries import orders_of

STEPS = 240
# In order of what comes first in an order's life.
COLUMNS = {"asked": "asked_at", "accepted": "accepted_at", "ended": "ended_at"}


class _Step(Func):
    """Into which step after `start` a time falls. The database counts: the orders may be 100,000."""

    output_field = IntegerField()

    def __init__(self, at: str, start: datetime, width: float) -> None:
        super().__init__(F(at), Value(start), Value(width, output_field=FloatField()))

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        template = "CAST(ROUND((julianday(%(one)s) - julianday(%(two)s)) * 86400.0 / %(three)s, 3) AS INTEGER)"
        return self._filled(template, compiler)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self._filled(
            "FLOOR(EXTRACT(EPOCH FROM (%(one)s - %(two)s::timestamptz)) / %(three)s)::integer", compiler
        )

    def _filled(self, template: str, compiler: SQLCompiler) -> tuple[str, list[Any]]:
        parts = [compiler.compile(expression) for expression in self.get_source_expressions()]
        sql = dict(zip(("one", "two", "three"), (sql for sql, _ in parts), strict=True))
        return template % sql, [value for _, values in parts for value in values]


@dataclass(frozen=True, kw_only=True)
class Series:
    """Counts that only rise: each with the second after the press by which it had been reached."""

    name: str
    points: list[tuple[float, int]]

    @property
    def total(self) -> int:
        return self.points[-1][1] if self.points else 0

    def at(self, seconds: float) -> int:
        return max((count for second, count in self.points if second <= seconds), default=0)


class Course:
    """The three series of one kill, cut into steps of `width` seconds."""

    def __init__(self, orders: QuerySet[KilledOrder], engaged_at: datetime, until: float) -> None:
        self.width = max(until, 0.001) / STEPS
        steps = [_Step(column, engaged_at, self.width) for column in COLUMNS.values()]
        rows = list(orders.order_by().values_list(*steps).annotate(orders=Count("id")))
        self.series = [
            Series(name=name, points=list(self._points((row[place], row[-1]) for row in rows)))
            for place, name in enumerate(COLUMNS)
        ]

    def _points(self, reached: Iterable[tuple[int | None, int]]) -> Iterator[tuple[float, int]]:
        steps: Counter[int] = Counter()
        for step, count in reached:
            if step is not None:
                steps[step] += count
        # To the end of the step: by then all of it had happened. What was before the press stands at it.
        counts = sorted((max(0.0, (step + 1) * self.width), count) for step, count in steps.items())
        return zip((second for second, _ in counts), accumulate(count for _, count in counts), strict=True)


# What was counted is kept for everybody who follows the same kill, until something happens to one of its orders.
@lru_cache(maxsize=64)
def course_of(kill_id: uuid.UUID, engaged_at: datetime, until: float, *, version: str) -> Course:
    """Return the course of a kill to `until` seconds after the press. `version` is another one whenever it may be."""
    return Course(orders_of(kill_id), engaged_at, until)
