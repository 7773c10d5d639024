"""The standing process: makes anchors, brings them to their places, verifies the trail. Each by itself."""

import logging
import socket
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from killswitch.audit.anchors import last_anchor
from killswitch.audit.models import Anchor
from killswitch.loop import Loop

from .deliveries import deliver, see, tell
from .keys import Key
from .models import Notary as NotaryRow
from .operations import contradiction, is_due, make_anchor
from .places import Place
from .verifying import Verifying, ask

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5  # seconds
REPORT_EVERY = 15.0
LONGEST_PAUSE = 300.0  # between two tries of a place
FORGOTTEN_AFTER = timedelta(days=7)


class Carrier:
    """Brings anchors to one place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._token = uuid.uuid4()
        self._failures = 0

    def step(self) -> float:
        got_there = deliver(self._place, self._token)
        if got_there is None:
            return LOOK_EVERY
        self._failures = 0 if got_there else self._failures + 1
        return min(2.0 ** (self._failures - 1), LONGEST_PAUSE) if self._failures else 0.0


class Notary:
    """Everything that goes on in the process."""

    def __init__(self, key: Key | None, places: Sequence[Place]) -> None:
        self._key = key
        self._places = places
        self._is_stopping = False  # set by a signal's handler: no lock may be in it
        self._signed: Anchor | None = None
        self._contradiction = ""
        self._started_at = self._report_at = time.monotonic()

    def watch(self) -> None:
        """Work until `stop` is called. What hangs then, hangs in a thread that ends with the process."""
        verifying = Verifying(self._key, is_ending=lambda: self._is_stopping)
        Loop("anchors", self._look).start()
        for place in self._places:
            Loop(place.name, Carrier(place).step).start()
        Loop("verification", verifying.step).start()
        while not self._is_stopping:
            time.sleep(0.1)
        verifying.finish()

    def stop(self) -> None:
        self._is_stopping = True

    def _look(self) -> float:
        now = timezone.now()
        self._compare()
        if self._key is not None and is_due(now):
            made = make_anchor(self._key, now=now)
            if made is not None:
                self._signed = made
                logger.info("anchor of entry %d made", made.sequence)
        if time.monotonic() >= self._report_at:
            self._report()
        return LOOK_EVERY

    def _compare(self) -> None:
        """See that the trail still holds what was last anchored. What was found once stays said."""
        known = [anchor for anchor in (last_anchor(), self._signed) if anchor is not None]
        if self._contradiction:
            return
        self._contradiction = contradiction(max(known, key=lambda anchor: anchor.sequence, default=None))
        if self._contradiction:
            logger.error("THE AUDIT TRAIL DOES NOT HOLD: %s", self._contradiction)
            self._report_at = time.monotonic()
            ask()

    def _report(self) -> None:
        """Say in the database that this notary is there and how it is, and what the places do not get."""
        now = timezone.now()
        see(self._places, now)
        key = self._key.id if self._key else ""
        values = {"seen_at": now, "key": key, "contradiction": self._contradiction}
        NotaryRow.objects.update_or_create(host=socket.gethostname()[:255], defaults=values)
        NotaryRow.objects.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()
        if time.monotonic() - self._started_at > settings.ANCHOR_LATE_MINUTES * 60:
            tell(self._places, now)
        self._report_at = time.monotonic() + REPORT_EVERY
