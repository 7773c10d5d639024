"""Real parts for the tests: a Redis server, a Celery worker, a simulator, each a process of its own."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, TransactionTestCase

from killswitch import broker
from killswitch.access import changes
from killswitch.access.groups import make_groups
from killswitch.access.role_names import ADMINISTRATOR, COMPLIANCE, RISK_DESK
from killswitch.access.roles import give_role
from killswitch.audit import guard
from killswitch.book import operations
from killswitch.celery import app
from killswitch.demo import redis_server
from killswitch.kills.carry_out import close
from killswitch.simulator.process import SimulatorProcess
from tests import last_in_its_transaction, nothing_secret

ROOT = Path(__file__).parent.parent


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 40) -> Any:
    """Wait until `condition()` is true and return what it gave; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
    return value


def just_shown_who(client: Client, user: User) -> None:
    """Let a client that was logged in by force count as one that has just logged in by password."""
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time(), "reauthenticated": True}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


@contextmanager
def unrecorded() -> Iterator[None]:
    """Make users as if they had been there before the record began."""
    for signal, receiver, sender in changes.RECEIVERS:
        signal.disconnect(receiver, sender=sender)
    try:
        yield
    finally:
        changes.connect()


def _flush_as_the_migrations_left_it(case: TransactionTestCase) -> None:
    """Empty the database after a test, which the audit table refuses while its triggers are on."""
    guard.remove(connection)
    try:
        _flush(case)
        with unrecorded():
            make_groups(apps)
    finally:
        guard.install(connection)


_flush = TransactionTestCase._fixture_teardown
TransactionTestCase._fixture_teardown = _flush_as_the_migrations_left_it  # type: ignore[method-assign]


last_in_its_transaction.install()
nothing_secret.install()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    nothing_secret.fail_on_secrets(report)
    return report


def pytest_unconfigure() -> None:
    shutil.rmtree(settings.FOLDER, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_client_outlives_its_test() -> Iterator[None]:
    yield
    broker.run(close(), timeout=10)
    broker.close()


@pytest.fixture(autouse=True)
def _looks_wait_for_their_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that comes late is saved by another thread, which cannot write while a test is in a transaction."""
    monkeypatch.setattr(operations, "GLANCE_SECONDS", operations.LOOK_SECONDS)


def ask_broker_at(url: str, patch: pytest.MonkeyPatch) -> None:
    """Point this process, and those that it starts, to a broker, as a new start with that address would."""
    patch.setenv("CLEAR_STREET_BASE_URL", url)
    patch.setattr(settings, "CLEAR_STREET_BASE_URL", url)


@pytest.fixture
def make_simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SimulatorProcess]]:
    """Start a simulator of one's own and talk to it as the broker for the rest of the test."""
    started: list[SimulatorProcess] = []

    def make(*arguments: str) -> SimulatorProcess:
        process = SimulatorProcess(*arguments).__enter__()
        started.append(process)
        ask_broker_at(process.url, monkeypatch)
        monkeypatch.setenv("CLEAR_STREET_API_KEY", process.api_key)
        return process

    yield make
    for process in started:
        process.stop()


def start(command: list[str], environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process of the product, with the product's own settings."""
    log = Path(settings.FOLDER) / f"{Path(command[-1]).name}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "killswitch.settings", **(environment or {})},
        )


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def redis() -> Iterator[Path]:
    """A real Redis on the socket that REDIS_URL names."""
    socket = Path(os.environ["REDIS_URL"].removeprefix("unix://"))
    process = start(redis_server.command(socket.parent, socket))
    wait_for(socket.exists, "Redis")
    yield socket
    end(process)


def database_url() -> str:
    """Return the address of the tests' own database, for other processes."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    return f"postgresql://{values['USER']}:{values['PASSWORD']}@{values['HOST']}:{values['PORT']}/{values['NAME']}"


@contextmanager
def running_worker() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "celery", "-A", "killswitch", "worker", "--without-gossip", "--without-mingle"]
    process = start(command, {"DATABASE_URL": database_url()})
    try:
        wait_for(lambda: app.control.ping(timeout=0.5), "the worker")
        yield process
    finally:
        end(process)


@pytest.fixture
def worker(transactional_db: None, redis: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real Celery worker on the tests' database, Redis and broker. Ask for the simulator first."""
    with running_worker() as process:
        yield process


@pytest.fixture
def people(db: None) -> dict[str, User]:
    """One user per role, all with the password `secret-enough`."""
    roles = {"desk": RISK_DESK, "desk2": RISK_DESK, "compliance": COMPLIANCE, "admin": ADMINISTRATOR}
    password = make_password("secret-enough", hasher="pbkdf2_sha256")
    with unrecorded():
        users = {name: User.objects.create(username=name, password=password) for name in roles}
        for name, role in roles.items():
            give_role(users[name], role)
    return users
