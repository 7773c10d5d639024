"""Redis, and the canary that is sent through it."""

import time
from collections.abc import Callable
from datetime import datetime

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from killswitch.celery import app

from .found import Found
from .verdict import Fault, Part

QUEUE = "kills"
SECONDS = 1.0  # how long Redis may take for one answer
LIMIT = 5 * SECONDS
# With so many waiting nobody takes them: one more would tell nothing, and would stand before the kills that wait.
WAITING_AT_MOST = 5


class Queue:
    """Asks Redis, and sends the canaries. `database_now` tells the time by which their trip is measured."""

    def __init__(self, database_now: Callable[[], datetime]) -> None:
        self._database_now = database_now
        self._redis = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=SECONDS,
            socket_connect_timeout=SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def check(self) -> list[Found]:
        began = time.monotonic()
        try:
            self._redis.ping()
            took = time.monotonic() - began
            waiting = int(self._redis.llen(QUEUE))  # type: ignore[arg-type]
            if waiting < WAITING_AT_MOST:
                self._send()
        except Exception as error:
            # Celery and Redis raise what they like; none of it may be shown, for an address can hold a password.
            return [Found(Part.REDIS, Fault.REDIS_GONE, f"no answer ({type(error).__name__})")]
        says = f"answers within {took * 1000:,.1f} ms" + (f", {waiting:,} tasks are waiting" if waiting else "")
        return [Found(Part.REDIS, None, says, took)]

    def _send(self) -> None:
        sent_at = self._database_now().isoformat()
        app.send_task("killswitch.health.tasks.canary", args=[sent_at], queue=QUEUE, retry=False, ignore_result=True)
