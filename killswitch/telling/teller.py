"""The standing process that tells others. Each place has a thread of its own: one that hangs keeps nobody waiting."""

import time
from collections.abc import Sequence

from django.utils import timezone

from killswitch.loop import Loop

from .deliveries import Carrier, see, tell
from .places import Place

LOOK_EVERY = 0.5  # seconds
REPORT_EVERY = 15.0
LONGEST_PAUSE = 300.0  # between two tries of a place


class Pace:
    """Brings messages to one place, and waits longer after each failure."""

    def __init__(self, place: Place) -> None:
        self._carrier = Carrier(place)
        self._failures = 0

    def step(self) -> float:
        got_there = self._carrier.deliver()
        if got_there is None:
            return LOOK_EVERY
        self._failures = 0 if got_there else self._failures + 1
        return min(2.0 ** (self._failures - 1), LONGEST_PAUSE) if self._failures else 0.0


class Teller:
    """Everything that goes on in the process."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._is_stopping = False  # set by a signal's handler: no lock may be in it

    def watch(self) -> None:
        """Work until `stop` is called. What hangs then, hangs in a thread that ends with the process."""
        Loop("places", self._report).start()
        for place in self._places:
            Loop(place.name, Pace(place).step).start()
        while not self._is_stopping:
            time.sleep(0.1)

    def stop(self) -> None:
        self._is_stopping = True

    def _report(self) -> float:
        """Say in the database that this teller is there, and whom messages do not reach."""
        now = timezone.now()
        see(self._places, now)
        tell(self._places, now)
        return REPORT_EVERY
