"""A missing or odd value stops the start with one line that says which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GOOD = {
    "SECRET_KEY": "not-shown-anywhere",
    "CLEAR_STREET_API_KEY": "sk-not-shown-anywhere",
    "CLEAR_STREET_BASE_URL": "http://127.0.0.1:9",
    "DATABASE_URL": "sqlite:////nonexistent/x.sqlite3",
    "REDIS_URL": "redis://127.0.0.1:9/0",
}


def start(command: list[str], changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **GOOD, **changes}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def check(changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return start([sys.executable, "-c", "import killswitch.settings"], changes)


def test_a_good_environment_starts() -> None:
    result = check({})
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", ["SECRET_KEY", "CLEAR_STREET_API_KEY", "DATABASE_URL", "REDIS_URL"])
@pytest.mark.parametrize("value", ["", "   "])
def test_a_missing_value_is_named(name: str, value: str) -> None:
    result = check({name: value})
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"killswitch: {name} is missing")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLEAR_STREET_API_KEY", "two words"),
        ("CLEAR_STREET_API_KEY", "Schlüssel"),
        ("CLEAR_STREET_BASE_URL", "api.clearstreet.com"),
        ("CLEAR_STREET_BASE_URL", "http://"),
        ("CLEAR_STREET_BASE_URL", "http://host:port"),
        ("CLEAR_STREET_TIMEOUT_SECONDS", "soon"),
        ("CLEAR_STREET_TIMEOUT_SECONDS", "0"),
        ("CLEAR_STREET_TIMEOUT_SECONDS", "nan"),
        ("DATABASE_URL", "mysql://host/name"),
        ("DATABASE_URL", "postgresql://user:pw-not-shown@host:port/name"),
        ("REDIS_URL", "localhost"),
        ("REDIS_URL", "http://localhost"),
        ("DEBUG", "perhaps"),
        ("KILL_PATIENCE_SECONDS", "-1"),
        ("BOOK_REQUESTS_PER_SECOND", "many"),
    ],
)
def test_an_odd_value_is_named_and_no_secret_shown(name: str, value: str) -> None:
    result = check({name: value})
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"killswitch: {name} ")
    assert "not-shown" not in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "manage.py", "check"],
        [sys.executable, "-m", "celery", "-A", "killswitch", "worker"],
        [sys.executable, "-m", "gunicorn", "-c", "killswitch/gunicorn.conf.py", "killswitch.wsgi"],
    ],
    ids=["manage.py", "worker", "web"],
)
def test_every_process_stops_with_that_line(command: list[str]) -> None:
    result = start(command, {"REDIS_URL": ""})
    assert result.returncode != 0
    assert "killswitch: REDIS_URL is missing" in result.stderr
    assert "Traceback" not in result.stderr
