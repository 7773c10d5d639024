"""The Celery application. Celery is the doorbell: what is to be done stands in the database."""

import os

from celery import Celery
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "killswitch.settings")

app = Celery("killswitch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = (Queue("kills"), Queue("book"))
app.autodiscover_tasks(["killswitch.kills", "killswitch.book"])
