"""The canary: a task through the very queue that kills go through."""

import threading
import time
from datetime import datetime
from typing import Any

from celery import shared_task

from . import heartbeats
from .models import Heartbeat

# How often one worker process asks the broker.
REACH_EVERY = 15.0  # seconds

_asking = threading.Lock()
_asked_at: float | None = None


# Not acknowledged late: one that is lost is missed, and that is what it is for.
@shared_task(name="killswitch.health.tasks.canary", bind=True, acks_late=False)
def canary(task: Any, sent_at: str) -> None:
    """Say that a worker took a task from the queue; and now and then, whether it gets through to the broker."""
    where = str(task.request.hostname or "worker")
    heartbeats.note(Heartbeat.Who.WORKER, where, sent_at=datetime.fromisoformat(sent_at))
    if _asking.acquire(blocking=False):
        try:
            _see_the_broker(where)
        finally:
            _asking.release()


def _see_the_broker(where: str) -> None:
    global _asked_at
    if _asked_at is None or time.monotonic() - _asked_at >= REACH_EVERY:
        heartbeats.see_the_broker(Heartbeat.Who.WORKER, where)
        _asked_at = time.monotonic()
