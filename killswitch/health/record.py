"""Write of this process itself into the record: that it started, and how its clock stands, in a thread beside the work.

Neither may keep a process from its work: a database that is gone is waited for.
"""

import logging
import threading
import time
from typing import Any

from django.db import connections
from django.dispatch import receiver

from killswitch import broker
from killswitch.audit.operations import append
from killswitch.broker import BrokerError
from killswitch.starting import Start, process_started

from .clock import ClockWatch
from .entries import clock_offset, started

logger = logging.getLogger(__name__)

TRY_AGAIN = 2.0  # seconds
# Not whole seconds: asked at another part of the second each time, the broker's whole seconds tell more.
LOOK_EVERY = 5.2
ASK_SECONDS = 5.0


@receiver(process_started)
def keep_record(start: Start, **_: Any) -> None:
    threading.Thread(target=_keep_record, args=[start], name="record", daemon=True).start()


def _keep_record(start: Start) -> None:
    while not tell(start):
        connections.close_all()
        time.sleep(TRY_AGAIN)
    connections.close_all()
    watch = ClockWatch(time.monotonic())
    while True:
        time.sleep(LOOK_EVERY)
        try:
            look(start, watch, time.monotonic())
        except Exception:
            # Whatever it was, the next look must come.
            logger.exception("the clock's offset could not be recorded")
        finally:
            connections.close_all()


def tell(start: Start) -> bool:
    """Write that the process started, unless that is written. Return whether it is."""
    try:
        start.tell_once(lambda: append([started(start)]))
    except Exception as error:
        logger.warning("%s: its start could not be recorded yet (%s)", start.name, type(error).__name__)
        return False
    return True


def look(start: Start, watch: ClockWatch, now: float) -> None:
    """Write how the clock stands where that is due."""
    bounds = broker.clock_bounds()
    if watch.should_ask(bounds, now):
        if not ask():
            watch.rest(now)
        bounds = broker.clock_bounds()
    why = watch.wants(bounds, now)
    if why and bounds is not None:
        append([clock_offset(start, bounds, why=why, before=watch.written)])
        watch.note(bounds, now)


def ask() -> bool:
    """Ask the broker for something small, for the sake of its clock. Return whether it answered."""
    try:
        broker.run(_version(), timeout=ASK_SECONDS)
        return True
    except (BrokerError, TimeoutError) as error:
        logger.debug("the broker's clock could not be asked for (%s)", type(error).__name__)
        return False


async def _version() -> None:
    await broker.client().version()
