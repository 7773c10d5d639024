"""The broker's clock against ours, between two bounds.

A `Date` header names whole seconds: one answer says no more than to about a second. But each says that the offset lies
in some interval, and the offset is in all of them: many answers narrow it to about the time that one takes.
"""

import time
from dataclasses import dataclass, replace

# Clocks drift: what was told longer ago is not mixed with what is told now.
LONGEST = 60.0


@dataclass(frozen=True)
class ClockBounds:
    """The broker's clock minus ours is between `least` and `most`, in seconds. Times are of the monotonic clock."""

    least: float
    most: float
    since: float
    last: float
    answers: int = 1

    @property
    def offset(self) -> float:
        return (self.least + self.most) / 2

    @property
    def uncertainty(self) -> float:
        return (self.most - self.least) / 2


class BrokerClock:
    """What the answers of one client say. `bounds` may be read by any thread."""

    def __init__(self) -> None:
        self.bounds: ClockBounds | None = None

    def note(self, told: float, *, sent_at: float, answered_at: float) -> None:
        """Take in one answer: the second that its `Date` names, and our clock before and after."""
        now = time.monotonic()
        new = ClockBounds(told - answered_at, told + 1 - sent_at, since=now, last=now)
        old = self.bounds
        if old is not None and now - old.since < LONGEST and old.least <= new.most and new.least <= old.most:
            least, most = max(old.least, new.least), min(old.most, new.most)
            new = replace(new, least=least, most=most, since=old.since, answers=old.answers + 1)
        self.bounds = new
