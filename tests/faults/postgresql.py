"""A PostgreSQL server of a test's own, which it may stop in the middle of anything."""

import os
import shutil
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
    """One server on a Unix socket. It keeps what it committed when it is stopped, however hard."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._user = {"user": SERVER_USER, "group": SERVER_USER} if os.geteuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="ks-pg-"))
        if self._user:
            shutil.chown(self.folder, SERVER_USER, SERVER_USER)
        self._run("initdb", "--auth=trust", f"--username={SERVER_USER}", "--encoding=UTF8", "--no-sync")

    @property
    def url(self) -> str:
        host = str(self.folder).replace("/", "%2F")
        return f"postgresql://{SERVER_USER}@{host}/postgres"

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}'"
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


@contextmanager
def own_server() -> Iterator[PostgreSQL]:
    """Start a server; skip the test where there is none to start, but never in CI."""
    binaries = find_binaries()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail("no PostgreSQL: CI must install it")
        pytest.skip("no PostgreSQL server here")
    made = PostgreSQL(binaries)
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
