"""The Celery application. Celery is the doorbell: what is to be done stands in the database."""

import logging
import os
import sys
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, task_postrun, task_prerun, worker_init
from django.db import close_old_connections
from kombu import Queue

from . import starting

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "killswitch.settings")

app = Celery("killswitch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = (Queue("kills"), Queue("book"))
# Celery would close the database's connection around each task, and to log in to PostgreSQL takes as long as to claim a
# kill. `_drop_what_is_broken_or_old` stands in for it.
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize
app.autodiscover_tasks(["killswitch.kills", "killswitch.book", "killswitch.health"])


@setup_logging.connect
def _log_as_everybody_does(loglevel: int | None = None, **_: Any) -> None:
    """Keep Celery from handlers of its own, which would leave no secret out; `-l` still counts."""
    if loglevel:
        logging.getLogger().setLevel(loglevel)


@task_prerun.connect
@task_postrun.connect
def _drop_what_is_broken_or_old(**_: Any) -> None:
    """Treat the thread's connection as Django does around a request."""
    close_old_connections()


@worker_init.connect
def _worker_starts(**_: Any) -> None:
    starting.starts("worker")


@beat_init.connect
def _beat_starts(**_: Any) -> None:
    starting.starts("beat")
