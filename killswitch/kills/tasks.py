"""What Celery rings for. A task carries no work of its own: what is to be done stands in the sweeps."""

import uuid

from celery import shared_task

from .carry_out import carry_out


@shared_task(name="killswitch.kills.tasks.run_kill")
def run_kill(kill_id: str) -> None:
    """Carry out what is left of a kill."""
    carry_out(uuid.UUID(kill_id))
