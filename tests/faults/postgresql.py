"""A PostgreSQL server of a test's own, which it may stop in the middle of anything."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dj_database_url
import pytest
from django.db import connections
from django.db.utils import ConnectionHandler

BINARIES = Path("/usr/lib/postgresql")  # Debian's
SERVER_USER = "postgres"  # the server refuses to run as root


def find_binaries() -> Path | None:
    """Return the folder of the newest installed server's programs."""
    versions = sorted(BINARIES.glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else None


class PostgreSQL:
    """One server on a Unix socket, and at `host` where one is given. It keeps what it committed, however it ends."""

    def __init__(self, binaries: Path, host: str = "") -> None:
        self._binaries = binaries
        self._host = host
        self.port = 5432  # of the socket's name
        self._user = {"user": SERVER_USER, "group": SERVER_USER} if os.geteuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="ks-pg-"))
        if self._user:
            shutil.chown(self.folder, SERVER_USER, SERVER_USER)
        self._run("initdb", "--auth=trust", f"--username={SERVER_USER}", "--encoding=UTF8", "--no-sync")
        if host:
            with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")
            self.port = free_port(host)

    def url_at(self, host: str) -> str:
        return f"postgresql://{SERVER_USER}@{host}:{self.port}/postgres"

    @property
    def url(self) -> str:
        host = str(self.folder).replace("/", "%2F")
        return f"postgresql://{SERVER_USER}@{host}:{self.port}/postgres"

    def start(self) -> None:
        # With its port: otherwise it takes that of PGPORT, which is another server's where the tests run on one.
        options = f"-c listen_addresses='{self._host}' -c unix_socket_directories='{self.folder}' -c port={self.port}"
        self._run("pg_ctl", "--wait", f"--log={self.folder}/log", f"--options={options}", "start")

    def stop(self) -> None:
        """Stop it at once: every connection breaks, every transaction that was not committed is gone."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")

    def remove(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), f"--pgdata={self.folder}/data", *arguments]
        with (self.folder / "programs.log").open("ab") as log:
            subprocess.run(command, check=True, cwd="/", stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self._user)


def free_port(host: str) -> int:
    with socket.socket() as listening:
        listening.bind((host, 0))
        port: int = listening.getsockname()[1]
    return port


@contextmanager
def own_server(host: str = "") -> Iterator[PostgreSQL]:
    """Start a server; skip the test where there is none to start, but never in CI."""
    binaries = find_binaries()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail("no PostgreSQL: CI must install it")
        pytest.skip("no PostgreSQL server here")
    made = PostgreSQL(binaries, host)
    made.start()
    try:
        yield made
    finally:
        made.remove()


@contextmanager
def as_the_database(url: str) -> Iterator[None]:
    """Make another database the one that this thread reads."""
    own = connections["default"]
    connections["default"] = other = ConnectionHandler({"default": dj_database_url.parse(url)})["default"]
    try:
        yield
    finally:
        other.close()
        connections["default"] = own
