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
        ("TELL_MAIL_TO", "ann"),
        ("TELL_FROM", "two words@example.com"),
        ("TELL_LATE_MINUTES", "0"),
        ("PUBLIC_URL", "killswitch.example.com"),
        ("PUBLIC_URL", "https://ann:pw-not-shown@killswitch.example.com"),
        ("EMAIL_FOLDER", "mail"),
        ("KILL_PATIENCE_SECONDS", "-1"),
        ("BOOK_REQUESTS_PER_SECOND", "many"),
        ("ANCHOR_SECONDS", "0"),
        ("ANCHOR_FILE", "anchors.jsonl"),
        ("ANCHOR_MAIL", "somebody"),
        ("ANCHOR_URL", "example.com/not-shown"),
        ("ANCHOR_URL", "https://me:not-shown@example.com"),
        ("ANCHOR_URL_TOKEN", "not-shown not-shown"),
        ("ANCHOR_URL_TOKEN_FILE", "/nonexistent/token"),
        ("ANCHOR_S3_ACCESS_KEY", "not-shown"),
        ("ANCHOR_S3_RETENTION_DAYS", "0"),
    ],
)
def test_an_odd_value_is_named_and_no_secret_shown(name: str, value: str) -> None:
    result = check({name: value})
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"killswitch: {name} ")
    assert "not-shown" not in result.stderr


@pytest.mark.parametrize(
    ("name", "value", "missing"),
    [
        ("ANCHOR_MAIL", "a@example.com", "EMAIL_HOST"),
        ("TELL_MAIL_TO", "a@example.com", "EMAIL_HOST"),
        ("ANCHOR_S3_BUCKET", "evidence", "ANCHOR_S3_RETENTION_DAYS"),
    ],
)
def test_what_goes_together_is_asked_for_together(name: str, value: str, missing: str) -> None:
    result = check({name: value})
    assert result.returncode == 1
    assert result.stderr.startswith(f"killswitch: {missing} is missing: ")


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    code = "import killswitch.settings; print(killswitch.settings.ANCHOR_URL_TOKEN)"
    given = {"ANCHOR_URL_TOKEN_FILE": str(tmp_path / "token")}
    assert start([sys.executable, "-c", code], given).stdout == "s3cret\n"
    both = start([sys.executable, "-c", code], {**given, "ANCHOR_URL_TOKEN": "not-shown"})
    assert both.stderr == "killswitch: ANCHOR_URL_TOKEN and ANCHOR_URL_TOKEN_FILE are both set: set one of them\n"


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
