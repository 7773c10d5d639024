"""A missing or odd value stops the start with one line that says which."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from killswitch import env

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
        ("LOG_FORMAT", "xml"),
        ("METRICS_TOKEN", "short"),
        ("METRICS_TOKEN", "two words, and long enough"),
        ("REDIS_URL", "localhost"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "rediss://:pw-not-shown@localhost/0?ssl_cert_reqs=none"),
        ("REDIS_URL", "rediss://:pw-not-shown@localhost/0?ssl_check_hostname=False"),
        ("DEBUG", "perhaps"),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "a.example.com, *"),
        ("CSRF_TRUSTED_ORIGINS", "killswitch.example.com"),
        ("HTTPS_ONLY", "yes, please"),
        ("PROXY_SAYS_HTTPS", "X-Forwarded-Proto"),
        ("PROXIES", "nginx"),
        ("SESSION_HOURS", "0"),
        ("SECOND_FACTOR_FOR", "desk"),
        ("SSO_ISSUER", "login.example.com"),
        ("FRESH_SECONDS", "0"),
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
        ("SSO_ISSUER", "https://login.example.com", "SSO_RISK_DESK_GROUPS"),
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


SHOW = """
from killswitch import settings, env
print(settings.SECRET_KEY, settings.DATABASES["default"]["PASSWORD"], settings.REDIS_URL, settings.EMAIL_HOST_PASSWORD)
from killswitch.broker import ClearStreet
print(env.secret("CLEAR_STREET_API_KEY"), env.secret("TELL_URLS"), env.secret("ANCHOR_KEY"))
"""
ADDRESSES = {"DATABASE_URL": "postgresql://u:s3cret@host/db", "REDIS_URL": "redis://:s3cret@host/0"}


class TestEverySecret:
    """Each may come from the variable or from a file, and says in one line what is wrong with that."""

    def test_may_stand_in_files(self, tmp_path: Path) -> None:
        """All of them at once, and none in the environment."""
        given = {}
        for name in env.SECRETS:
            path = tmp_path / name
            path.write_text(ADDRESSES.get(name, f"of-{name}") + "\n")
            given |= {name: "", f"{name}_FILE": str(path)}
        given["ANCHOR_S3_ACCESS_KEY"] = "x"
        result = start([sys.executable, "-c", SHOW], given)
        assert result.stderr == ""
        assert result.stdout.split() == [
            *("of-SECRET_KEY", "s3cret", "redis://:s3cret@host/0", "of-EMAIL_HOST_PASSWORD"),
            *("of-CLEAR_STREET_API_KEY", "of-TELL_URLS", "of-ANCHOR_KEY"),
        ]

    @pytest.mark.parametrize("name", ["SECRET_KEY", "CLEAR_STREET_API_KEY", "DATABASE_URL", "REDIS_URL"])
    @pytest.mark.parametrize(
        ("content", "why"), [(None, "cannot be read: No such file"), ("\n", "names a file that is empty")]
    )
    def test_says_what_is_wrong_with_a_file(self, name: str, content: str | None, why: str, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        if content is not None:
            path.write_text(content)
        result = check({name: "", f"{name}_FILE": str(path)})
        assert result.returncode == 1
        assert result.stderr.startswith(f"killswitch: {name}_FILE {why}")
        assert result.stderr.count("\n") == 1

    @pytest.mark.parametrize("name", ["SECRET_KEY", "CLEAR_STREET_API_KEY", "DATABASE_URL", "REDIS_URL"])
    def test_is_not_given_twice(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("not-shown")
        result = check({f"{name}_FILE": str(tmp_path / "secret")})
        assert result.stderr == f"killswitch: {name} and {name}_FILE are both set: set one of them\n"

    def test_is_read_once_so_that_a_file_may_go_while_a_process_runs(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text("sk-of-a-file")
        code = f"""
import os, killswitch.settings
os.unlink({str(path)!r})
from killswitch.broker import ClearStreet
print(ClearStreet.from_environment()._key)
"""
        result = start(
            [sys.executable, "-c", code], {"CLEAR_STREET_API_KEY": "", "CLEAR_STREET_API_KEY_FILE": str(path)}
        )
        assert result.stdout == "b'sk-of-a-file'\n", result.stderr

    def test_no_other_place_reads_one(self) -> None:
        """A secret that is read past `env.secret` would neither come from a file nor be left out of the logs."""
        names = "|".join(env.SECRETS)
        read = re.compile(rf"""(environ|getenv|\btext|\burl|\bheader)\W{{1,6}}(get\W+)?["']({names})["']\)""")
        places = [path for room in ("killswitch", "orders_ui") for path in (ROOT / room).rglob("*.py")]
        assert not [str(path) for path in places if "simulator" not in path.parts and read.search(path.read_text())]
        told = {name for path in places for name in re.findall(r'secret(?:_url)?\("([A-Z_0-9]+)"', path.read_text())}
        assert told == set(env.SECRETS)


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
