"""Make whoever may have to send ready for it: connections to the broker that are open, and no pauses in a kill."""

import gc
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
# A kill makes objects by the hundred thousand and keeps them. By Python's defaults the collector would look through all
# that a process has again and again in the middle of it.
COLLECT_AFTER = (50_000, 20, 50)


@receiver(process_started)
def be_ready(start: Start, **_: Any) -> None:
    """In a worker or watchdog: let the collector of garbage wait, and use connections in a thread of their own."""
    if start.name not in SENDERS:
        return
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    if settings.KILL_WARM_CONNECTIONS:
        threading.Thread(target=_keep_connections, name="connections", daemon=True).start()


def _keep_connections() -> None:
    while True:
        try:
            broker.run(_use_connections(), timeout=EVERY)
        except Exception as error:
            logger.warning("connections to the broker could not be kept open (%s)", type(error).__name__)
        time.sleep(EVERY)


async def _use_connections() -> None:
    await broker.client().warm(settings.KILL_WARM_CONNECTIONS)
