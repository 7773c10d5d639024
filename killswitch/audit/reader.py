"""What a process of `ahead` does before it reads. It imports nothing that needs Django to be set up already."""

import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait
from signal import SIG_IGN, SIGINT, signal
from typing import Any

import django
from django.db import DEFAULT_DB_ALIAS, connections


def set_up(database: dict[str, Any]) -> None:
    """Use the database of the process that asked, whatever the settings say, and end with it."""
    signal(SIGINT, SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    connections.databases[DEFAULT_DB_ALIAS] = database
    django.setup()


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
