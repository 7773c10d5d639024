"""Carry out what nobody else does: with Redis gone, the worker gone, or both, a committed kill still goes through."""

import logging
import threading
import time
import uuid
from datetime import timedelta

from django.db import connections
from django.utils import timezone

from .carry_out import carry_out
from .claims import overdue

logger = logging.getLogger(__name__)

# With everything well a worker takes a kill within milliseconds.
GRACE = timedelta(seconds=2)
LOOK_EVERY = 0.5  # seconds
START_EVERY = 1.0  # seconds, per kill


class Watchdog:
    """Looks for overdue sweeps and runs each kill that has some on a thread of its own."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._started: dict[uuid.UUID, float] = {}

    def watch(self) -> None:
        """Look until `stop` is called. A database that does not answer is waited for."""
        while not self._stopping.wait(LOOK_EVERY):
            try:
                self._look()
            except Exception:
                # Whatever it was, the next look must come.
                connections.close_all()
                logger.exception("the watchdog could not look")

    def stop(self) -> None:
        self._stopping.set()

    def _look(self) -> None:
        now, clock = timezone.now(), time.monotonic()
        self._started = {kill_id: at for kill_id, at in self._started.items() if clock - at < START_EVERY}
        for kill_id in overdue(now, unclaimed_before=now - GRACE):
            # Also where a thread is at work on other accounts of the same kill: a claim takes only what is free.
            if kill_id not in self._started:
                logger.warning("kill %s: nobody works on all of it, the watchdog does", kill_id)
                self._started[kill_id] = clock
                threading.Thread(target=self._carry_out, args=[kill_id], daemon=True).start()

    def _carry_out(self, kill_id: uuid.UUID) -> None:
        try:
            carry_out(kill_id, who="watchdog")
        except Exception:
            logger.exception("kill %s: the watchdog failed, it tries again", kill_id)
        finally:
            connections.close_all()
