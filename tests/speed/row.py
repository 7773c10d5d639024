"""One line of the table, in Markdown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table. Times in milliseconds unless `unit` says otherwise."""

    what: str
    ours: float
    against: str
    theirs: float
    limit: str
    is_reached: bool
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs if self.theirs else 0.0


def heading() -> str:
    names = ["what", "ours", "against", "theirs", "ratio", "to reach", ""]
    return f"| {' | '.join(names)} |\n| {' | '.join(['---', '---:', '---', '---:', '---:', '---', '---'])} |"


def line(row: Row) -> str:
    theirs = f"{row.theirs:,.0f} {row.unit}" if row.theirs >= 10 else f"{row.theirs:,.1f} {row.unit}"
    told = [
        row.what,
        f"{row.ours:,.0f} {row.unit}",
        row.against,
        theirs if row.theirs else "",
        f"{row.ratio:,.2f}" if row.theirs else "",
        row.limit,
        "" if row.is_reached else "**not reached**",
    ]
    return f"| {' | '.join(told)} |"
