"""The standing process as it runs, with real servers and a database that other processes write to."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Outcome, State
from killswitch.telling.models import Delivery
from tests.conftest import database_url, end, start, wait_for
from tests.notary.servers import Http, Smtp

from .conftest import end as end_kill
from .conftest import engage, touch, write

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., subprocess.Popen[bytes]]
SECRET = "T0KEN-not-shown"


@pytest.fixture
def teller(endpoint: Http, mail_server: Smtp) -> Iterator[Start]:
    """Start tellers on the tests' database that mail and post to the tests' servers."""
    started: list[subprocess.Popen[bytes]] = []
    given = {
        "TELL_MAIL_TO": "ann.secret@example.com",
        "TELL_URLS": endpoint.url.replace("http://", "json://") + f"/{SECRET}",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": str(mail_server.port),
    }

    def run(**environment: str) -> subprocess.Popen[bytes]:
        starts = Entry.objects.filter(kind=Kind.PROCESS_STARTED)
        count = starts.count()
        command = [sys.executable, "manage.py", "teller"]
        started.append(start(command, {"DATABASE_URL": database_url(), **given, **environment}))
        wait_for(lambda: starts.count() > count and Delivery.objects.count() == 2, "the teller")
        return started[-1]

    yield run
    for process in started:
        end(process)


def logs() -> str:
    return "".join(path.read_text() for path in Path(settings.FOLDER).glob("teller-*.log"))


def titles(endpoint: Http) -> list[str]:
    return [json.loads(arrived.body)["title"] for arrived in endpoint.arrived]


def test_a_kill_is_told_everywhere_within_seconds_and_no_address_is_shown(
    teller: Start, endpoint: Http, mail_server: Smtp
) -> None:
    teller()
    kill = engage()
    wait_for(lambda: len(mail_server.mails) == 1 and len(endpoint.arrived) == 1, "that it was engaged", 10)
    touch(kill, Outcome.STUCK, count=2)
    end_kill(kill, State.NOT_FLAT)
    wait_for(lambda: len(mail_server.mails) == 2 and len(endpoint.arrived) == 2, "its end", 10)
    assert titles(endpoint)[1].startswith("[LOCAL] NOT FLAT: 2 orders stuck on account 19816, kill by ann ")
    wait_for(lambda: Delivery.objects.filter(told_at__isnull=False, token=None).count() == 2, "the rows")
    endpoint.answers = [500]
    write(Kind.MESSAGE_TESTED)
    wait_for(lambda: "it answered 500" in logs(), "the failure in the log", 10)
    wait_for(lambda: len(endpoint.arrived) == 4, "the second try", 10)
    rows = [str(row.__dict__) for row in Delivery.objects.all()]
    entries = [f"{entry.sentence} {entry.source} {entry.data}" for entry in Entry.objects.all()]
    shown = logs() + "".join(rows + entries)
    assert "chat 1 (json)" in shown
    assert not [secret for secret in (SECRET, "ann.secret") if secret in shown]


def test_one_that_hangs_keeps_nobody_else_waiting(teller: Start, endpoint: Http, mail_server: Smtp) -> None:
    endpoint.drip = threading.Event()
    teller()
    engage()
    wait_for(lambda: len(endpoint.arrived) == 1, "the post that hangs", 10)
    for number in range(3):
        write(Kind.MESSAGE_TESTED)
        wait_for(lambda count=number + 2: len(mail_server.mails) == count, "the mail", 10)  # type: ignore[misc]
    assert len(endpoint.arrived) == 1


def test_what_happens_while_it_is_down_is_told_when_it_is_back(
    teller: Start, endpoint: Http, mail_server: Smtp
) -> None:
    process = teller()
    engage()
    wait_for(lambda: len(mail_server.mails) == 1 and len(endpoint.arrived) == 1, "the first message", 10)
    wait_for(lambda: not Delivery.objects.exclude(token=None).exists(), "that it was written down")
    process.send_signal(signal.SIGKILL)
    process.wait()
    write(Kind.TRAIL_BROKEN, at=timezone.now() - timedelta(minutes=20))
    write(Kind.TRAIL_BROKEN, at=timezone.now() - timedelta(minutes=19))
    write(Kind.MESSAGE_TESTED)
    teller()
    wait_for(lambda: len(mail_server.mails) == 3 and len(endpoint.arrived) == 3, "what it missed", 15)
    late, test = titles(endpoint)[1:]
    assert ": 2 messages, the last: " in late
    assert late.startswith("TOLD LATE")
    assert "TEST by ann" in test


def test_two_of_them_tell_once(teller: Start, endpoint: Http, mail_server: Smtp) -> None:
    teller(), teller()
    for _ in range(4):
        write(Kind.MESSAGE_TESTED)
    last = Entry.objects.latest("id").id
    told = Delivery.objects.filter(followed=last, token=None)
    wait_for(lambda: told.count() == 2, "all of it told", 90)
    assert (len(mail_server.mails), len(endpoint.arrived)) == (4, 4)


@pytest.mark.parametrize("given", [{}, {"TELL_URLS": f"json://{SECRET}/ nothing-at-all"}])
def test_without_anybody_to_tell_it_says_what_to_set(db: None, given: dict[str, str]) -> None:
    process = start([sys.executable, "manage.py", "teller"], {"DATABASE_URL": database_url(), **given})
    assert process.wait(30) == 1
    log = max(Path(settings.FOLDER).glob("teller-*.log"), key=lambda path: path.stat().st_mtime_ns).read_text()
    assert "TELL_URLS" in log
    assert SECRET not in log
    assert "Traceback" not in log


def test_a_kill_does_not_wait_for_anybody(teller: Start, endpoint: Http, mail_server: Smtp, settings: Any) -> None:
    """With every place hanging, a press is committed as fast as ever: nothing of it knows who is told."""
    endpoint.drip = threading.Event()
    mail_server.refuses = True
    teller()
    before = timezone.now()
    for _ in range(20):
        engage()
    assert timezone.now() - before < timedelta(seconds=5)
