"""Verifications of the trail, as asked for on its page and once a day: beside the anchors, never before them."""

import logging
import time
from collections.abc import Callable

from killswitch.audit import verification
from killswitch.audit.operations import Actor

from .keys import Key
from .operations import source

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5  # seconds
ASK_EVERY = 60.0
# How long a verification has to keep how far it came when the process is to end.
FINISH_WITHIN = 3.0


def ask() -> None:
    """Ask for a verification of the whole trail."""
    verification.ask(actor=Actor(source=source()))


class Verifying:
    """Carries out one verification after the other."""

    def __init__(self, key: Key | None, *, is_ending: Callable[[], bool]) -> None:
        self._key = key
        self._is_ending = is_ending
        self._is_at_work = False
        self._ask_at = time.monotonic()

    def step(self) -> float:
        if time.monotonic() >= self._ask_at:
            verification.ask_daily(actor=Actor(source=source()))
            self._ask_at = time.monotonic() + ASK_EVERY
        self._is_at_work = True
        try:
            # A key that only the database knows vouches for nothing.
            public_keys = self._key.public if self._key else ""
            done = verification.carry_out_next(public_keys=public_keys, is_ending=self._is_ending)
        finally:
            self._is_at_work = False
        if done is not None:
            logger.info("%s", done)
        return LOOK_EVERY

    def finish(self) -> None:
        """Wait until what is under way has kept how far it came, and not for long."""
        until = time.monotonic() + FINISH_WITHIN
        while self._is_at_work and time.monotonic() < until:
            time.sleep(0.02)
