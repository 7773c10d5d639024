"""The standing process as it runs, with a real key, real places and a database that other processes write to."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from killswitch.audit.anchors import anchors_of, last_anchor, public_keys
from killswitch.audit.models import Anchor, Entry, Kind, Verification
from killswitch.audit.operations import Actor
from killswitch.audit.verification import ask
from killswitch.notary.models import Delivery, Notary
from tests.conftest import database_url, end, start, wait_for

from .conftest import check_line, newest_log, write
from .servers import Http, Smtp

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., subprocess.Popen[bytes]]
SOON = 5.0  # seconds: it takes one, on machines that others use as well


@pytest.fixture
def notary(key_file: Path) -> Iterator[Start]:
    """Start notaries on the tests' database, with a key, and nothing else that is not asked for."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*, is_verified: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        if is_verified:
            # Today's verification was made: one more entry would be in the way of those that a test counts.
            Verification.objects.get_or_create(state=Verification.State.HOLDS, first=1, last_asked=None)
        given = {"DATABASE_URL": database_url(), "ANCHOR_KEY_FILE": str(key_file), **environment}
        before = Notary.objects.values_list("seen_at", flat=True).first()
        starts = Entry.objects.filter(kind=Kind.PROCESS_STARTED)
        count = starts.count()
        started.append(start([sys.executable, "manage.py", "notary"], given))
        wait_for(lambda: Notary.objects.exclude(seen_at=before).exists(), "the notary")
        wait_for(lambda: starts.count() > count, "the entry of its start")
        return started[-1]

    yield run
    for process in started:
        end(process)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "anchors.jsonl"


def numbers(path: Path) -> list[int]:
    if not path.exists():
        return []
    return [check_line(line, public_keys())["sequence"] for line in path.read_bytes().splitlines()]


def logs() -> str:
    return "".join(path.read_text() for path in Path(settings.FOLDER).glob("notary-*.log"))


def newest() -> int:
    return Entry.objects.latest("id").id


def is_anchored() -> bool:
    last = last_anchor()
    return last is not None and last.sequence == newest()


def test_the_end_of_a_kill_is_anchored_within_seconds_and_brought_everywhere(
    notary: Start, file: Path, endpoint: Http, mail_server: Smtp, key_file: Path
) -> None:
    notary(
        ANCHOR_FILE=str(file),
        ANCHOR_URL=f"{endpoint.url}/hook",
        ANCHOR_MAIL="a@example.com",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=str(mail_server.port),
    )
    wait_for(lambda: numbers(file) == [newest()], "the first anchor")
    write()
    write(Kind.SWEEP_ENDED)
    write(Kind.KILL_ENDED)
    wait_for(is_anchored, "the anchor of the kill's end", SOON)
    wait_for(lambda: numbers(file) == [1, newest()], "the line", SOON)
    wait_for(lambda: len(endpoint.arrived) == 2, "the post", SOON)
    wait_for(lambda: len(mail_server.mails) == 2, "the mail", SOON)
    assert file.read_bytes().splitlines() == [arrived.body for arrived in endpoint.arrived]
    secret = key_file.read_text().splitlines()[1]
    assert secret not in logs() + str([row.__dict__ for row in Notary.objects.all()])


def test_the_head_is_anchored_at_the_interval(notary: Start, file: Path) -> None:
    notary(ANCHOR_FILE=str(file), ANCHOR_SECONDS="1")
    for _ in range(3):
        write()
        wait_for(lambda: numbers(file)[-1:] == [newest()], "the next anchor", SOON)


def test_a_killed_notary_goes_on_without_a_gap(notary: Start, file: Path) -> None:
    """Killed a dozen times while it works: every anchor is in the file, in order, and every line holds."""
    for _ in range(4):
        process = notary(ANCHOR_FILE=str(file), ANCHOR_SECONDS="1")
        head = Entry.objects.count()
        for _ in range(3):
            write(Kind.KILL_ENDED)
            wait_for(is_anchored, "an anchor", SOON)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert Entry.objects.count() == head + 3
    Delivery.objects.update(lease_until=None)
    notary(ANCHOR_FILE=str(file))
    made = [anchor.sequence for anchor in anchors_of()]
    wait_for(lambda: numbers(file)[-1:] == made[-1:], "the last anchor", SOON)
    assert sorted(set(numbers(file))) == made
    assert set(Entry.objects.filter(kind=Kind.KILL_ENDED).values_list("id", flat=True)) <= set(made)
    assert numbers(file) == sorted(numbers(file))


def test_a_place_that_hangs_holds_up_neither_the_others_nor_the_end(notary: Start, file: Path, endpoint: Http) -> None:
    endpoint.drip = threading.Event()
    process = notary(ANCHOR_FILE=str(file), ANCHOR_URL=endpoint.url)
    for _ in range(3):
        write(Kind.KILL_ENDED)
        wait_for(lambda: numbers(file)[-1:] == [newest()], "the file", SOON)
    wait_for(lambda: endpoint.arrived, "the endpoint to be asked", SOON)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - begun < 5, "the endpoint hangs for 15"


def test_two_notaries_bring_each_anchor_once(notary: Start, file: Path, endpoint: Http) -> None:
    for _ in range(2):
        notary(ANCHOR_FILE=str(file), ANCHOR_URL=endpoint.url)
    for _ in range(7):
        write(Kind.KILL_ENDED)
        wait_for(lambda: numbers(file)[-1:] == [newest()], "the file", SOON)
    made = [anchor.sequence for anchor in anchors_of()]
    assert len(made) >= 7
    wait_for(lambda: len(endpoint.arrived) >= len(made), "the endpoint", SOON)
    assert numbers(file) == made
    assert [json.loads(arrived.body)["sequence"] for arrived in endpoint.arrived] == made


def test_without_a_key_it_says_so_and_makes_none(notary: Start, file: Path) -> None:
    process = notary(ANCHOR_KEY_FILE="", ANCHOR_FILE=str(file))
    write(Kind.KILL_ENDED)
    assert Notary.objects.get().key == ""
    log = newest_log()
    assert "notary: NO ANCHORS ARE MADE: there is no key" in log
    end(process)
    assert not Anchor.objects.exists()
    assert not file.exists()


def test_a_trail_that_does_not_hold_is_said_at_once(notary: Start, file: Path) -> None:
    from django.db import connection

    from killswitch.audit import guard

    notary(ANCHOR_FILE=str(file))
    write(Kind.KILL_ENDED)
    wait_for(is_anchored, "the anchor", SOON)
    last = newest()
    guard.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM audit_entry WHERE id = {last}")
    guard.install(connection)
    wait_for(lambda: Notary.objects.get().contradiction, "the notary to say so", SOON)
    assert Notary.objects.get().contradiction.startswith(f"entry {last} was anchored and is gone")
    assert f"THE AUDIT TRAIL DOES NOT HOLD: entry {last} was anchored and is gone" in newest_log()


def test_by_hand(key_file: Path, file: Path) -> None:
    def anchor() -> subprocess.CompletedProcess[str]:
        given: dict[str, Any] = {"DATABASE_URL": database_url(), "ANCHOR_KEY_FILE": str(key_file)}
        return subprocess.run(
            [sys.executable, "manage.py", "anchor"],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "killswitch.settings", **given},
            capture_output=True,
            text=True,
            timeout=60,
        )

    nothing = anchor()
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "the audit trail is empty" in nothing.stderr
    write(count=2)
    made = anchor()
    assert check_line(made.stdout.encode(), public_keys())["sequence"] == 2
    again = anchor()
    assert again.stdout == made.stdout
    assert "nothing has happened since" in again.stderr


class TestVerifications:
    def test_one_is_made_at_once_and_whenever_somebody_asks(self, notary: Start) -> None:
        write(count=20)
        notary(is_verified=False)
        done = Verification.objects.filter(state=Verification.State.HOLDS)
        wait_for(lambda: done.count() == 1, "the daily verification", SOON)
        ask(actor=Actor(name="ann"))
        wait_for(lambda: done.filter(asked_by_name="ann").exists(), "the one that ann asked for", SOON)
        assert Entry.objects.filter(kind=Kind.TRAIL_VERIFIED, actor_name="ann").count() == 1

    def test_one_that_was_under_way_is_gone_on_with(self, notary: Start) -> None:
        for _ in range(12):
            write(count=10_000)
        first = notary(is_verified=False)
        rows = Verification.objects
        wait_for(lambda: rows.filter(state=Verification.State.RUNNING).exists(), "the verification", SOON)
        end(first)
        left = rows.get()
        assert left.state == Verification.State.ASKED
        assert 0 < left.checked < 120_000
        notary(is_verified=False)
        wait_for(lambda: rows.filter(state=Verification.State.HOLDS).exists(), "the rest")
        assert rows.get().checked == rows.get().last
