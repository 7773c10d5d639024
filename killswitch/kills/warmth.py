"""Keep connections to the broker open in every process that may have to send: a kill should not wait for handshakes."""

import logging
import threading
import time
from typing import Any

from django.conf import settings
from django.dispatch import receiver

from killswitch import broker
from killswitch.starting import Start, process_started

logger = logging.getLogger(__name__)

# Servers close what is idle after a minute or more.
EVERY = 30.0  # seconds
SENDERS = ("worker", "watchdog")


@receiver(process_started)
def stay_warm(start: Start, **_: Any) -> None:
    """Beside the work of whoever sends, in a thread that nothing waits for, use the connections now and then."""
    if start.name in SENDERS and settings.KILL_WARM_CONNECTIONS:
        threading.Thread(target=_for_ever, name="warmth", daemon=True).start()


def _for_ever() -> None:
    while True:
        try:
            broker.run(_warm(), timeout=EVERY)
        except Exception as error:
            logger.warning("connections to the broker could not be kept open (%s)", type(error).__name__)
        time.sleep(EVERY)


async def _warm() -> None:
    await broker.client().warm(settings.KILL_WARM_CONNECTIONS)
