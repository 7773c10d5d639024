"""The Celery application. Celery is the doorbell: what is to be done stands in the database."""

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init
from kombu import Queue

from . import starting

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "killswitch.settings")

app = Celery("killswitch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = (Queue("kills"), Queue("book"))
app.autodiscover_tasks(["killswitch.kills", "killswitch.book", "killswitch.health"])


@setup_logging.connect
def _log_as_everybody_does(loglevel: int | None = None, **_: Any) -> None:
    """Keep Celery from handlers of its own, which would leave no secret out; `-l` still counts."""
    if loglevel:
        logging.getLogger().setLevel(loglevel)


@worker_init.connect
def _worker_starts(**_: Any) -> None:
    starting.starts("worker")


@beat_init.connect
def _beat_starts(**_: Any) -> None:
    starting.starts("beat")
