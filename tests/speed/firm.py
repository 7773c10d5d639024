"""The whole product as a firm runs it, each part a process, before a stand-in broker; and people who press."""

import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from killswitch.access.role_names import RISK_DESK
from killswitch.access.roles import give_role
from killswitch.book.models import Account
from killswitch.kills.models import Kill
from tests.conftest import unrecorded, wait_for
from tests.faults.stack import QUICK, Stack

from .tls import Tls

CANCEL_ALL, CANCEL_ONE = "cancel_all", "cancel_one"


@dataclass(frozen=True)
class Broker:
    """A stand-in broker for one measurement. Times in milliseconds."""

    accounts: int
    orders: int
    latency: float = 50
    cancel: float = 200  # from PENDING_CANCEL to CANCELED

    @property
    def arguments(self) -> list[str]:
        sizes = ["--accounts", str(self.accounts), "--orders", str(self.orders), "--ended", "0"]
        return [*sizes, "--latency-ms", f"{self.latency:g}", "--cancel-ms", f"{self.cancel:g}"]


@dataclass(frozen=True)
class Press:
    """A press, by this machine's clocks: one that only goes forward, and the one that the time of day comes from."""

    kill_id: str
    monotonic: float
    wall: float
    answered_after: float  # seconds


class Firm:
    """The product while it runs. Every part is there that would be there in an incident."""

    def __init__(self, database_url: str, broker: Broker, tls: Tls | None = None) -> None:
        self.stack = Stack(database_url)
        for name in (*QUICK, "KILL_WARM_CONNECTIONS"):  # as they are where nobody sets them
            del self.stack.environment[name]
        arguments = broker.arguments
        if tls is not None:
            arguments += tls.arguments
            self.stack.environment["SSL_CERT_FILE"] = str(tls.certificate)
        self.stack.broker(*arguments)
        self.control = self.stack.control
        self.redis = self.stack.redis()
        self.worker = self.stack.worker()
        self.watchdog = self.stack.watchdog()
        beat = [sys.executable, "-m", "celery", "-A", "killswitch", "beat", "-l", "INFO"]
        self.stack.start("beat", beat)
        self.stack.lookout()
        self.address = self.stack.web()
        self.http = httpx.Client(base_url=self.address, timeout=60, cookies=[_session("bench")])
        self._token = self.http.get("/kills/").text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]

    def end(self) -> None:
        self.http.close()
        self.stack.end()

    def accounts(self) -> list[int]:
        """Wait until the book has every account, of which it lists five a second, and return them."""
        expected = self.control.summary()["accounts"]
        wait_for(lambda: Account.objects.exclude(listed_at=None).count() >= expected, "the book", 60 + expected / 2)
        return sorted(Account.objects.values_list("account_id", flat=True))

    def press(self, *, person: httpx.Client | None = None, **asked: Any) -> Press:
        form = {"csrfmiddlewaretoken": self._token, "idempotency_key": str(uuid.uuid4()), "reason": "bench", **asked}
        monotonic, wall = time.monotonic(), time.time()
        answer = (person or self.http).post("/kills/", data=form)
        took = time.monotonic() - monotonic
        if answer.status_code != 303:
            raise RuntimeError(f"the press was answered {answer.status_code}: {answer.text[:300]}")
        return Press(answer.headers["Location"].split("/")[2], monotonic, wall, took)

    def state(self, press: Press) -> str:
        told: str = self.http.get(f"/kills/{press.kill_id}.json").json()["state"]
        return told

    def ended(self, press: Press, seconds: float = 120) -> str:
        """Wait until a kill is over. The database is asked, so that no page is made for it."""
        wait_for(lambda: Kill.objects.get(id=press.kill_id).ended_at, "the kill to end", seconds)
        return Kill.objects.get(id=press.kill_id).state

    def arrivals(self, press: Press, call: str) -> list[float]:
        """Return how long after the press each request arrived at the broker, in seconds, the first first."""
        log = self.control.log(call=call)
        return sorted(after for one in log if (after := one["at_monotonic_ns"] / 1e9 - press.monotonic) > 0)

    def last_answer(self, press: Press, call: str) -> float:
        """Return how long after the press the broker had answered the last of its requests, in seconds."""
        answers = [at for one in self.control.log(call=call) if (at := one["answered_at"])]
        return max(datetime.fromisoformat(at).timestamp() for at in answers) - press.wall


@contextmanager
def firm(database_url: str, broker: Broker, tls: Tls | None = None) -> Iterator[Firm]:
    made = Firm(database_url, broker, tls)
    try:
        yield made
    finally:
        made.end()


def _session(name: str) -> tuple[str, str]:
    with unrecorded():
        user, is_new = User.objects.get_or_create(username=name)
        if is_new:
            give_role(user, RISK_DESK)
    client = Client()
    client.force_login(user)
    return settings.SESSION_COOKIE_NAME, client.cookies[settings.SESSION_COOKIE_NAME].value
