"""`manage.py kill` as a process of its own, with an environment of nothing but what it needs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from killswitch.simulator.process import SimulatorProcess
from tests.conftest import ROOT, ask_broker_at, database_url
from tests.nothing_secret import API_KEY, SECRET_KEY

KEY = API_KEY
FIRST = 19816
CLOSED = {"DATABASE_URL": "postgresql://desk:secret@127.0.0.1:9/killswitch", "REDIS_URL": "redis://127.0.0.1:9/0"}


@dataclass
class Shell:
    """Runs `manage.py` with exactly this environment."""

    environment: dict[str, str]
    folder: Path

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, **options) as process:
            try:
                out, errors = process.communicate(timeout=60)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, out or "", errors or "")

    def kill(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("kill", *arguments, **options)

    def with_(self, **changes: str) -> "Shell":
        return Shell({**self.environment, **changes}, self.folder)


@pytest.fixture
def make_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SimulatorProcess]]:
    """Start a simulator whose key is easy to find where it should not be."""
    started: list[SimulatorProcess] = []

    def make(*arguments: str) -> SimulatorProcess:
        process = SimulatorProcess(*arguments, api_key=KEY).__enter__()
        started.append(process)
        ask_broker_at(process.url, monkeypatch)
        monkeypatch.setenv("CLEAR_STREET_API_KEY", KEY)
        return process

    yield make
    for process in started:
        process.stop()


@pytest.fixture
def simulator(make_broker: Callable[..., SimulatorProcess]) -> SimulatorProcess:
    return make_broker("--accounts", "4", "--orders", "6", "--cancel-ms", "60")


@pytest.fixture
def shell(transactional_db: None, simulator: SimulatorProcess, tmp_path: Path) -> Shell:
    """A shell on the tests' database, with no Redis, no worker and no watchdog."""
    return Shell(
        {
            **bare(simulator),
            "SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": database_url(),
            "REDIS_URL": os.environ["REDIS_URL"],
        },
        tmp_path,
    )


def bare(simulator: SimulatorProcess) -> dict[str, str]:
    """Return the least that a break-glass kill needs."""
    return {
        "PATH": os.environ["PATH"],
        "CLEAR_STREET_API_KEY": KEY,
        "CLEAR_STREET_BASE_URL": simulator.url,
    }


@pytest.fixture
def glass(simulator: SimulatorProcess, tmp_path: Path) -> Shell:
    """A shell with nothing but the broker's address and key. Its home and temp folders are its own."""
    return glass_at(simulator, tmp_path)


def glass_at(simulator: SimulatorProcess, tmp_path: Path) -> Shell:
    folders = {name: tmp_path / name for name in ("here", "home", "temp")}
    for folder in folders.values():
        folder.mkdir()
    environment = {**bare(simulator), "HOME": str(folders["home"]), "TMPDIR": str(folders["temp"])}
    return Shell(environment, folders["here"])


def journals(shell: Shell) -> list[Path]:
    """Return the journals that were written, wherever they are."""
    return sorted(path for path in shell.folder.parent.rglob("*.jsonl"))


def lines_of(journal: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal, also of one that is being written."""
    text = journal.read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
