"""What stands in the record of a process that starts: the settings that matter, and never a secret."""

import multiprocessing
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.views.debug import SafeExceptionReporterFilter

from killswitch import starting
from killswitch.audit import operations
from killswitch.audit.models import Entry, Kind
from killswitch.health.entries import place, settings_that_matter
from killswitch.health.record import keep_record, tell
from killswitch.starting import Start
from killswitch.version import FOLDER, VERSION, digest
from tests.conftest import database_url, wait_for
from tests.faults.postgresql import as_the_database, own_server
from tests.faults.stack import Stack
from tests.nothing_secret import API_KEY, SECRET_KEY

SECRETS = {"SECRET_KEY": SECRET_KEY, "CLEAR_STREET_API_KEY": API_KEY}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://api.clearstreet.com", "https://api.clearstreet.com"),
        ("http://[::1]:7001/base?token=s-e-c-r-e-t", "http://::1:7001"),
        ("rediss://user:s-e-c-r-e-t@host:6380/0?password=s-e-c-r-e-t", "rediss://host:6380"),
        ("redis://:s-e-c-r-e-t@host", "redis://host"),
        ("unix:///run/redis.sock?password=s-e-c-r-e-t", "unix:///run/redis.sock"),
        ("unix://user:s-e-c-r-e-t@/run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_an_address_is_shown_without_what_is_secret(address: str, shown: str) -> None:
    assert place(address) == shown


class TestSettings:
    def test_names_what_decides_how_a_kill_goes(self) -> None:
        told = settings_that_matter()
        assert told["KILL_PATIENCE_SECONDS"] == "30"
        assert told["CLEAR_STREET_TIMEOUT_SECONDS"] == "5"
        assert told["RELEASE_BY_SAME_PERSON"] is False
        assert told["HTTPS_ONLY"] is False
        assert told["broker"] == "http://127.0.0.1:9"
        assert told["database"]["vendor"] in ("sqlite3", "postgresql")

    def test_follows_every_setting_of_a_kill(self) -> None:
        """A new one must not be forgotten: it goes in by its name."""
        wanted = {name for name in dir(settings) if name.startswith("KILL_")}
        assert wanted
        assert wanted <= settings_that_matter().keys()

    def test_takes_no_secret_whatever_it_is_called(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("PASSWORD", "OPTIONS"):
            monkeypatch.setitem(settings.DATABASES["default"], name, {"passfile": "s-e-c-r-e-t"})
        settings.REDIS_URL = "redis://:s-e-c-r-e-t@host:1/0"
        settings.CLEAR_STREET_BASE_URL = "https://host/s-e-c-r-e-t"
        for name in ("ANCHOR_KEY", "KILL_WEBHOOK", "CLEAR_STREET_API_KEY", "BOOK_TOKEN", "SECRET_KEY"):
            setattr(settings, name, "s-e-c-r-e-t")
        assert "s-e-c-r-e-t" not in str(settings_that_matter())

    def test_names_the_code(self) -> None:
        pyproject = (FOLDER / "pyproject.toml").read_text()
        assert re.search(r'^version = "(.+)"$', pyproject, re.MULTILINE)[1] == VERSION  # type: ignore[index]
        assert re.fullmatch("[0-9a-f]{64}", digest())


@pytest.mark.django_db
class TestOnce:
    def test_is_written_once(self) -> None:
        start = Start("web")
        assert tell(start)
        assert tell(start)
        [entry] = Entry.objects.all()
        assert (entry.kind, entry.at, entry.source) == (Kind.PROCESS_STARTED, start.at, start.source)
        assert entry.sentence.startswith(
            f"web started: version {VERSION}, code {digest()[:12]}, broker http://127.0.0.1"
        )
        assert entry.data["python"] == sys.version.split(" ")[0]

    def test_is_written_by_one_of_the_children(self) -> None:
        """What one child has done the other knows, though they share no more than what was there before the fork."""
        start = Start("web")
        child = multiprocessing.get_context("fork").Process(target=start.tell_once, args=[lambda: None])
        child.start()
        child.join(10)
        tell(start)
        assert not Entry.objects.exists()

    def test_is_tried_again_after_an_error(self) -> None:
        start = Start("web")

        def fail() -> None:
            raise DatabaseError

        with pytest.raises(DatabaseError):
            start.tell_once(fail)
        assert tell(start)
        assert Entry.objects.count() == 1

    def test_nothing_that_goes_wrong_stops_a_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        heard = []

        def broken(start: Start, **_: Any) -> None:
            heard.append(start.name)
            raise RuntimeError

        monkeypatch.setattr(starting, "_start", None)
        starting.process_started.disconnect(keep_record)
        starting.process_started.connect(broken)
        try:
            starting.starts("worker")
        finally:
            starting.process_started.disconnect(broken)
            starting.process_started.connect(keep_record)
        assert heard == ["worker"]


@pytest.fixture
def stack(transactional_db: None) -> Iterator[Stack]:
    made = Stack(database_url(), **SECRETS)
    yield made
    made.end()


def starts() -> dict[str, int]:
    found = Entry.objects.filter(kind=Kind.PROCESS_STARTED)
    names = [entry.data["process"] for entry in found]
    return {name: names.count(name) for name in names}


def test_each_standing_process_tells_of_its_start_once_and_of_no_secret(stack: Stack) -> None:
    stack.broker("--accounts", "12", api_key=SECRETS["CLEAR_STREET_API_KEY"])
    stack.redis()
    stack.worker()
    stack.watchdog()
    stack.web(WEB_WORKERS="3")
    stack.start("beat", [sys.executable, "-m", "celery", "-A", "killswitch", "beat"])
    wait_for(lambda: len(starts()) == 4, "four starts", 30)
    # The book is refreshed by the worker: its clock is known within seconds.
    offset = wait_for(Entry.objects.filter(kind=Kind.CLOCK_OFFSET).first, "the clock’s offset", 45)
    assert starts() == {"worker": 1, "beat": 1, "watchdog": 1, "web": 1}
    assert offset.source.startswith("worker ")
    assert abs(float(offset.data["offset_seconds"])) < 0.5
    assert float(offset.data["uncertainty_seconds"]) <= 0.125
    text = str(list(Entry.objects.values()))
    hidden = SafeExceptionReporterFilter().hidden_settings
    named = {value for name, value in stack.environment.items() if hidden.search(name) and len(value) > 5}
    for secret in {*SECRETS.values(), *named}:
        assert secret not in text
    assert "s-e-c-r-e-t" not in text


def test_a_database_that_is_down_at_start_stops_nobody_and_is_told_later(transactional_db: None) -> None:
    with own_server() as server:
        server.stop()
        stack = Stack(server.url, CLEAR_STREET_BASE_URL="http://127.0.0.1:9", CLEAR_STREET_API_KEY="x", SECRET_KEY="y")
        try:
            watchdog = stack.watchdog()  # waits until it says that it watches
            wait_for(lambda: "its start could not be recorded yet" in watchdog.said, "the watchdog to say so")
            server.start()
            migrate = stack.start("migrate", [sys.executable, "manage.py", "migrate", "--verbosity", "0"])
            wait_for(lambda: migrate.exit_code == 0, "the tables", 60)
            with as_the_database(server.url):
                entry = wait_for(Entry.objects.filter(kind=Kind.PROCESS_STARTED).first, "the entry", 30)
            assert entry.data["process"] == "watchdog"
            assert str(watchdog.pid) in entry.source
        finally:
            stack.end()


def test_the_record_takes_a_start_like_any_other_entry() -> None:
    """Its data have one form: no number in them is one that a reader of JSON could change."""
    told = settings_that_matter()
    assert not any(isinstance(value, float) for value in told.values())
    assert operations.chain.canonical(told)
