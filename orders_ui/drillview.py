"""The drills of a year, quarter by quarter, as their page shows them."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from killswitch.kills.drills import Quarter, Row, Tally, quarters, rows, tally

# Of each quarter on the page of a year; the rest has pages of its own.
ROWS_OF_A_YEAR = 50
ROWS_OF_A_QUARTER = 200


@dataclass(frozen=True)
class QuarterView:
    quarter: Quarter
    tally: Tally
    rows: list[Row]
    has_more: bool
    is_under_way: bool

    @property
    def last(self) -> uuid.UUID | None:
        return self.rows[-1].kill.id if self.rows else None

    @property
    def count(self) -> int:
        return self.tally.drills + self.tally.real


def year_of_quarters(year: int, now: datetime, sees: Collection[int] | None) -> list[QuarterView]:
    return [_view(each, now, sees, *rows(each, sees, size=ROWS_OF_A_YEAR)) for each in quarters(year, now)]


def one_quarter(
    quarter: Quarter, now: datetime, sees: Collection[int] | None, *, before: uuid.UUID | None
) -> QuarterView:
    return _view(quarter, now, sees, *rows(quarter, sees, size=ROWS_OF_A_QUARTER, before=before))


def _view(
    quarter: Quarter, now: datetime, sees: Collection[int] | None, found: list[Row], has_more: bool
) -> QuarterView:
    return QuarterView(quarter, tally(quarter, sees), found, has_more, quarter == Quarter.of(now))
