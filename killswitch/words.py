"""Figures as people read them: the same on a page, in the incident pack and on the call sheet."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

NOTHING = "–"
NEW_YORK = ZoneInfo("America/New_York")


def figure(value: Decimal | int | None) -> str:
    """Write a quantity or price exactly, with thousands set apart."""
    if value is None:
        return NOTHING
    text = format(value, ",f") if isinstance(value, Decimal) else format(value, ",")
    return text.rstrip("0").rstrip(".") if "." in text else text


def price(value: Decimal | None) -> str:
    """Write a price with cents at least and every digit that it has."""
    if value is None:
        return NOTHING
    text = figure(value)
    cents = len(text.partition(".")[2])
    return text if cents > 2 else format(value, ",.2f")


def dollars(value: Decimal | None) -> str:
    return NOTHING if value is None else f"${value:,.2f}"


def dollars_in_short(value: Decimal | None) -> str:
    """Write "$1,050", "$4.2 M": as exact as one glance takes in."""
    if value is None:
        return NOTHING
    for size, unit in ((Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M")):
        if abs(value) >= size * Decimal("0.99995"):
            return f"${value / size:,.1f} {unit}"
    return f"${value:,.0f}"


def change(value: Decimal) -> str:
    """Write by how much a sum of dollars has changed: "+$120,000"."""
    return f"{'-' if value < 0 else '+'}{dollars_in_short(abs(value))}"


def unpriced(count: int) -> str:
    return f"+ {count:,} of unknown worth" if count else ""


def counted(count: int, noun: str) -> str:
    """Write "1 order", "2,000 orders"."""
    return f"{count:,} {noun}" + "s" * (count != 1)


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"


def after(seconds: float | None) -> str:
    """Write how long after the press something was: to the millisecond while that is what matters."""
    if seconds is None:
        return NOTHING
    return f"{seconds * 1000:,.0f} ms" if abs(seconds) < 10 else duration(seconds)


def exact_time(value: datetime) -> str:
    """Write a time to the microsecond; it is UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def in_new_york(value: datetime) -> str:
    """Write a time as the exchanges' clocks have it, with its day where that is another than in UTC."""
    there, here = value.astimezone(NEW_YORK), value.astimezone(UTC)
    shape = "%H:%M:%S" if there.date() == here.date() else "%Y-%m-%d %H:%M:%S"
    return f"{there:{shape}} New York"
