"""Carry out what nobody else does: with Redis gone, the worker gone, or both, a committed kill still goes through."""

import logging
import threading
import uuid
from datetime import timedelta

from django.db import Error as DatabaseError
from django.db import connections
from django.utils import timezone

from .carry_out import carry_out
from .claims import overdue

logger = logging.getLogger(__name__)

# With everything well a worker takes a kill within milliseconds.
GRACE = timedelta(seconds=2)
LOOK_EVERY = 0.5  # seconds


class Watchdog:
    """Looks for overdue sweeps and runs each kill that has some on a thread of its own."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._at_work: dict[uuid.UUID, threading.Thread] = {}

    def watch(self) -> None:
        """Look until `stop` is called. A database that does not answer is waited for."""
        while not self._stopping.wait(LOOK_EVERY):
            try:
                self._look()
            except DatabaseError as error:
                connections.close_all()
                logger.error("the watchdog cannot read the database: %s", type(error).__name__)

    def stop(self) -> None:
        self._stopping.set()

    def _look(self) -> None:
        self._at_work = {kill_id: thread for kill_id, thread in self._at_work.items() if thread.is_alive()}
        now = timezone.now()
        for kill_id in overdue(now, unclaimed_before=now - GRACE):
            if kill_id not in self._at_work:
                logger.warning("kill %s: nobody works on it, the watchdog does", kill_id)
                thread = threading.Thread(target=self._carry_out, args=[kill_id], daemon=True)
                self._at_work[kill_id] = thread
                thread.start()

    def _carry_out(self, kill_id: uuid.UUID) -> None:
        try:
            carry_out(kill_id)
        except Exception:
            logger.exception("kill %s: the watchdog failed, it tries again", kill_id)
        finally:
            connections.close_all()
