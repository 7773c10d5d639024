"""The course of a kill as a plot that the server draws: coordinates and labels, no colours."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from killswitch.incident.course import Course, Series

# Between two ticks: seconds, up to days.
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
TICKS_AT_MOST = 6
PARTS = 24
WORDS = {"asked": "Cancels sent", "accepted": "Cancels accepted", "ended": "Orders ended"}


@dataclass(frozen=True)
class Axis:
    """From the press to a round number of seconds, so that it stays as it is for a while."""

    tick: float
    end: float

    @classmethod
    def up_to(cls, seconds: float) -> "Axis":
        longest = TICKS[-1]
        tick = next((tick for tick in TICKS if tick * TICKS_AT_MOST >= seconds), longest * math.ceil(seconds / longest))
        return cls(tick, max(1, math.ceil(round(seconds / tick, 6))) * tick)

    def quantum(self, seconds: float) -> float:
        """Round down to a part of the axis: a plot of which nothing else has changed need not be sent again."""
        part = self.end / PARTS
        return min(self.end, math.floor(seconds / part) * part)

    def __iter__(self) -> Iterator[float]:
        return (number * self.tick for number in range(round(self.end / self.tick) + 1))


def time_label(seconds: float) -> str:
    """Write a moment on the axis in the largest unit that fits."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


@dataclass(frozen=True)
class Line:
    """One series as steps, with a mark at its end."""

    name: str
    words: str
    total: int
    points: str
    mark: str
    sample: str


def mark(name: str, x: float, y: float) -> str:
    """Return the path of a series' own mark around a point: they differ in shape, not in colour alone."""
    shapes = {
        "asked": f"M{x - 3.5:g} {y:g}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
        "accepted": f"M{x - 3.5:g} {y - 3.5:g}h7v7h-7z",
        "ended": f"M{x:g} {y - 4.5:g}l4.5 8h-9z",
    }
    return shapes[name]


class Plot:
    """Steps in a box of WIDTH by HEIGHT, with room for labels below and to the left."""

    WIDTH, HEIGHT = 480, 190
    LEFT, TOP, RIGHT, BOTTOM = 46, 10, 458, 164

    def __init__(self, course: Course, axis: Axis, until: float, known: int) -> None:
        self.axis = axis
        self.known = known
        self._course = course
        self._until = axis.quantum(until)

    @cached_property
    def lines(self) -> list[Line]:
        return [self._line(series) for series in self._course.series]

    def _line(self, series: Series) -> Line:
        corners = [(0.0, 0)]
        for second, count in series.points:
            corners += [(second, corners[-1][1]), (second, count)]
        corners.append((max(self._until, corners[-1][0]), corners[-1][1]))
        drawn = [(self._x(second), self._y(count)) for second, count in corners]
        points = " ".join(f"{x:g},{y:g}" for x, y in drawn)
        name, end = series.name, mark(series.name, *drawn[-1])
        return Line(name, WORDS[name], series.total, points, end, mark(name, 25, 6))

    @cached_property
    def ticks(self) -> list[tuple[float, str]]:
        """Return where on the axis of time which label stands."""
        return [(self._x(second), time_label(second)) for second in self.axis]

    @cached_property
    def levels(self) -> list[tuple[float, int]]:
        """Return where on the axis of orders which number stands."""
        numbers = sorted({0, self.known // 2, self.known})
        return [(self._y(number), number) for number in numbers]

    @cached_property
    def table(self) -> list[tuple[str, list[int]]]:
        """Return the same in figures: how many had come so far at each tick that is past."""
        past = [second for second in self.axis if 0 < second <= self._until]
        rows = [(time_label(second), [series.at(second) for series in self._course.series]) for second in past]
        return [*rows, ("in all", [series.total for series in self._course.series])]

    def _x(self, second: float) -> float:
        part = min(1.0, second / self.axis.end)
        return round(self.LEFT + part * (self.RIGHT - self.LEFT), 1)

    def _y(self, count: int) -> float:
        part = count / self.known if self.known else 0.0
        return round(self.BOTTOM - part * (self.BOTTOM - self.TOP), 1)


@dataclass(frozen=True)
class Segment:
    """A part of a bar: from `x`, `width` long, of 1,000."""

    name: str
    words: str
    count: int
    x: float
    width: float


def bar(parts: list[tuple[str, str, int]]) -> list[Segment]:
    """Lay parts side by side; what there is at all can be seen, however little it is."""
    total = sum(count for _, _, count in parts)
    least = {name: max(6.0, 1000 * count / total) if count else 0.0 for name, _, count in parts} if total else {}
    scale = 1000 / sum(least.values()) if total else 0.0
    segments, x = [], 0.0
    for name, words, count in parts:
        width = round(least.get(name, 0.0) * scale, 1)
        segments.append(Segment(name, words, count, round(x, 1), width))
        x += width
    return segments
