"""What Celery rings for. A task carries no work of its own: what is to be done stands in the sweeps."""

import uuid
from typing import Any

from celery import shared_task
from celery.exceptions import Reject
from celery.signals import worker_shutdown, worker_shutting_down

from .carry_out import Ending, begin, hand_over, stop_all


@shared_task(name="killswitch.kills.tasks.run_kill")
def run_kill(kill_id: str) -> None:
    """Begin what is left of a kill. It goes on after this: a latched one would hold a thread for days."""
    try:
        begin(uuid.UUID(kill_id))
    except Ending:
        raise Reject("this worker is about to end", requeue=True) from None


@worker_shutting_down.connect
def _stop_all(**_: Any) -> None:
    stop_all()


@worker_shutdown.connect
def _hand_over(**_: Any) -> None:
    hand_over()
