"""When the clock's offset is worth an entry: dated evidence, and no flood."""

from killswitch.broker import ClockBounds

FIRST, HOURLY, CHANGED = "first", "hourly", "changed"

EVERY = 3600.0
# Bounds that are as near as this are near enough; what does not get there is taken as it is after a while.
NEAR = 0.25  # seconds, from the one to the other
WAIT = 20.0
# Bounds that lie so far apart show a change. However the clocks jump about, it is told so often at most.
CHANGE = 0.1
LEAST_BETWEEN = 600.0
# A process that was answered too little asks by itself, the first time after so long.
ASK_AFTER = 60.0


class ClockWatch:
    """Decides by what was written before. Times are of the monotonic clock."""

    def __init__(self, now: float) -> None:
        self._ask_at = now + ASK_AFTER
        self._written: ClockBounds | None = None
        self._written_at = now

    @property
    def written(self) -> ClockBounds | None:
        return self._written

    def wants(self, bounds: ClockBounds | None, now: float) -> str:
        """Say why an entry should be written now; empty where none should."""
        if bounds is None or not _is_settled(bounds, now):
            return ""
        if self._written is None:
            return FIRST
        if now - self._written_at >= EVERY:
            return HOURLY if bounds.last > self._written_at else ""
        apart = max(bounds.least - self._written.most, self._written.least - bounds.most)
        return CHANGED if apart > CHANGE and now - self._written_at >= LEAST_BETWEEN else ""

    def note(self, bounds: ClockBounds, now: float) -> None:
        """Remember what was written."""
        self._written, self._written_at = bounds, now

    def should_ask(self, bounds: ClockBounds | None, now: float) -> bool:
        """Say whether the broker has to be asked, since nobody else in this process does."""
        is_due = self._written is None or now - self._written_at >= EVERY
        return now >= self._ask_at and is_due and not self.wants(bounds, now)

    def rest(self, now: float) -> None:
        """Ask no more for a while: there was no answer."""
        self._ask_at = now + ASK_AFTER


def _is_settled(bounds: ClockBounds, now: float) -> bool:
    return bounds.most - bounds.least <= NEAR or now - bounds.since >= WAIT
