"""Do one thing again and again, in a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable

from django.db import connections

logger = logging.getLogger(__name__)


class Loop:
    """Does one step after the other for ever. Whatever goes wrong, the next one comes."""

    def __init__(self, what: str, step: Callable[[], float]) -> None:
        self._what = what
        self._step = step
        self._failures = 0

    def once(self) -> float:
        """Do a step, and return for how many seconds to wait then."""
        try:
            pause = self._step()
        except Exception:
            connections.close_all()
            self._failures += 1
            if self._failures == 1:
                logger.exception("%s: failed, and tries again until it works", self._what)
            return min(self._failures, 5)
        if self._failures:
            logger.warning("%s: works again, after %d tries", self._what, self._failures)
            self._failures = 0
        return pause

    def start(self) -> None:
        """Run in a thread of its own, which ends with the process."""
        threading.Thread(target=self._run, name=self._what, daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self.once())
