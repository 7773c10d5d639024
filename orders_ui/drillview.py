"""The drills of a year, quarter by quarter, as their page shows them."""

import uuid
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


def year_of_quarters(year: int, now: datetime) -> list[QuarterView]:
    return [_view(quarter, now, *rows(quarter, size=ROWS_OF_A_YEAR)) for quarter in quarters(year, now)]


def one_quarter(quarter: Quarter, now: datetime, *, before: uuid.UUID | None) -> QuarterView:
    return _view(quarter, now, *rows(quarter, size=ROWS_OF_A_QUARTER, before=before))


def _view(quarter: Quarter, now: datetime, found: list[Row], has_more: bool) -> QuarterView:
    return QuarterView(quarter, tally(quarter), found, has_more, quarter == Quarter.of(now))
