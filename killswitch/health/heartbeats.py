"""Signs of life, by the database's clock, of watchdogs and workers."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.dispatch import receiver

from killswitch import pulse
from killswitch.database_clock import now
from killswitch.starting import Start, process_started
from killswitch.which_broker import broker_address

from .models import Heartbeat
from .reach import reach
from .verdict import Fault

logger = logging.getLogger(__name__)

BEAT_EVERY = 2.0  # seconds
REACH_EVERY = 15.0
# Who has not been heard of for so long is no longer named.
FORGOTTEN_AFTER = timedelta(hours=12)


def note(who: str, where: str, *, sent_at: datetime | None = None) -> None:
    """Write that somebody is at work, and for which broker."""
    values = {"seen_at": now(), "sent_at": sent_at, "broker": broker_address()}
    if not Heartbeat.objects.filter(who=who, where=where).update(**values):
        Heartbeat.objects.get_or_create(who=who, where=where, defaults=values)


def see_the_broker(who: str, where: str) -> None:
    """Ask the broker from here, and write what keeps this process from it."""
    reached = reach()
    if cuts_off(reached.fault):
        reached = reach()  # one lost packet is nothing
    is_stuck = reached.fault == Fault.UNCHECKED_VITAL
    trouble = reached.says if is_stuck or cuts_off(reached.fault) else ""
    Heartbeat.objects.filter(who=who, where=where).update(trouble=trouble, is_stuck=is_stuck)


def cuts_off(fault: Fault | None) -> bool:
    return fault in (Fault.BROKER_GONE, Fault.KEY_REFUSED)


@receiver(process_started)
def follow_the_watchdog(start: Start, **_: Any) -> None:
    """Beside a watchdog's work, in threads that it never waits for, write that it goes on."""
    if start.name == "watchdog":
        for name, step, every in (("heartbeat", _Beating().step, BEAT_EVERY), ("reach", _reach, REACH_EVERY)):
            threading.Thread(target=_for_ever, args=[step, every], name=name, daemon=True).start()


class _Beating:
    """Writes a beat for each that the work itself has noted."""

    def __init__(self) -> None:
        self._written: float | None = None

    def step(self) -> None:
        last = pulse.last()
        if last is not None and last != self._written:
            note(Heartbeat.Who.WATCHDOG, socket.gethostname())
            self._written = last


def _reach() -> None:
    see_the_broker(Heartbeat.Who.WATCHDOG, socket.gethostname())


def _for_ever(step: Callable[[], None], every: float) -> None:
    while True:
        time.sleep(every)
        try:
            step()
        except Exception as error:
            connections.close_all()
            logger.warning("a sign of life could not be written (%s)", type(error).__name__)
