"""Carry out what nobody else does: with Redis gone, the worker gone, or both, a committed kill still goes through."""

import logging
import time
from datetime import timedelta

from django.db import connections

from killswitch import pulse

from .carry_out import begin, hand_over
from .claims import overdue

logger = logging.getLogger(__name__)

# With everything well a worker takes a kill within milliseconds.
GRACE = timedelta(seconds=2)
LOOK_EVERY = 0.5  # seconds


class Watchdog:
    """Looks for overdue sweeps and begins to work on each kill that has some."""

    def __init__(self) -> None:
        self._is_stopping = False  # set by a signal's handler: no lock may be in it

    def watch(self) -> None:
        """Look until `stop` is called, then give back what is not finished. A database that is gone is waited for."""
        while not self._is_stopping:
            time.sleep(LOOK_EVERY)
            try:
                self._look()
                pulse.beat()
            except Exception:
                # Whatever it was, the next look must come.
                connections.close_all()
                logger.exception("the watchdog could not look")
        hand_over()

    def stop(self) -> None:
        self._is_stopping = True

    def _look(self) -> None:
        for kill_id in overdue(GRACE):
            # Also where we are at work on other accounts of the same kill: a claim takes only what is free.
            logger.warning("kill %s: nobody works on all of it, the watchdog does", kill_id)
            try:
                begin(kill_id, who="watchdog")
            except Exception:
                connections.close_all()
                logger.exception("kill %s: the watchdog failed, it tries again", kill_id)
