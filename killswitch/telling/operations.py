"""Ask for a test message."""

import os
import socket
from datetime import datetime

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append


def source() -> str:
    """Return how this process is named in the record."""
    return f"teller {socket.gethostname()} {os.getpid()}"


def ask_for_test(*, actor: Actor, now: datetime) -> None:
    """Ask for a test message to every place. It goes the way of all news: by its entry in the trail."""
    sentence = f"{actor.name or 'Somebody'} asked for a test message to everybody who is told"
    append([Draft(kind=Kind.MESSAGE_TESTED, at=now, sentence=sentence, actor=actor)])
