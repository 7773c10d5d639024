"""What is secret is left out of every line that is written for people, wherever it comes from."""

import html
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import pytest
from django.test import Client, RequestFactory

from killswitch import env, redaction
from killswitch.error_pages import RedactedReporter
from killswitch.redaction import HIDDEN, Formatter, redact
from tests import nothing_secret
from tests.nothing_secret import API_KEY, MARK
from tests.test_settings import GOOD, ROOT

WORD = "p@ss/w%rd“é”-s3cret"
HOOK = """
import pytest
from tests import nothing_secret

nothing_secret.install()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    nothing_secret.fail_on_secrets(report)
    return report
"""
COOKIES = f"sessionid={token_hex(12)}; csrftoken={token_hex(12)}"
KEY = "sk-of-a-test-of-redaction"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set(redaction._known))
    monkeypatch.setattr(redaction, "_pattern", redaction._pattern)


def run(code: str, **changes: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "killswitch.settings"}
    environment = {**given, **GOOD, "CLEAR_STREET_API_KEY": KEY, **changes}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


class TestRedact:
    @pytest.mark.parametrize("form", [str, repr, json.dumps, html.escape, lambda text: redaction.quote(text, safe="")])
    def test_knows_a_secret_in_every_form_that_it_is_written_in(self, form: Callable[[str], str]) -> None:
        redaction.hide(WORD)
        text = redact(f"before {form(WORD)} after")
        assert HIDDEN in text
        assert "s3cret" not in text
        assert text.startswith("before ") and text.endswith(" after")

    def test_knows_one_line_of_a_key_of_several(self) -> None:
        redaction.hide("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHx\n-----END PRIVATE KEY-----")
        assert redact("line 2: MC4CAQAwBQYDK2VwBCIEIHx") == f"line 2: {HIDDEN}"

    def test_leaves_words_alone_that_a_short_secret_is_a_part_of(self) -> None:
        redaction.hide("x", "kill")
        assert redact("the kill of x") == "the kill of x"

    def test_takes_the_longest_of_two_that_begin_alike(self) -> None:
        redaction.hide("abcdefgh", "abcdefgh-and-more")
        assert redact("abcdefgh-and-more") == HIDDEN

    @pytest.mark.parametrize(
        ("text", "secret"),
        [
            ("Authorization: Bearer abc.def-123", "abc.def-123"),
            ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
            ("Cookie: theme=dark; sessionid=k2j3h4k5; x=1", "k2j3h4k5"),
            ("{'__Host-sessionid': 'k2j3h4k5'}", "k2j3h4k5"),
            ("csrfmiddlewaretoken=abcdefg&x=1", "abcdefg"),
            ("&#x27;csrftoken&#x27;: &#x27;k2j3h4k5&#x27;", "k2j3h4k5"),
            ("cannot connect to postgresql://ann:hunter22@host/db", "hunter22"),
            ("redis://:hunter22@host:6379/0", "hunter22"),
        ],
    )
    def test_knows_by_its_form_what_comes_with_a_request_or_an_address(self, text: str, secret: str) -> None:
        assert secret not in redact(text)
        assert HIDDEN in redact(text)

    def test_changes_nothing_else(self) -> None:
        text = "12:01 INFO killswitch: kill 019a-77 on 2 accounts, http://127.0.0.1:8000/kills/?page=2 by a@b.example"
        assert redact(text) == text


class TestLogs:
    def test_leave_it_out_of_words_arguments_tracebacks_and_stacks(self) -> None:
        redaction.hide(WORD)
        formatter = Formatter("{message}", style="{")
        try:
            raise ValueError(WORD)
        except ValueError:
            record = logging.LogRecord("x", logging.ERROR, "f", 1, "%s", (WORD,), sys.exc_info(), sinfo=WORD)
        text = formatter.format(record)
        assert "ValueError" in text
        assert "s3cret" not in text
        assert text.count(HIDDEN) >= 3

    @pytest.mark.parametrize(
        "name", ["", "killswitch.kills", "django.request", "django.server", "celery.task", "httpx"]
    )
    @pytest.mark.parametrize("debug", ["on", "off"])
    def test_of_every_logger_leave_it_out(self, name: str, debug: str) -> None:
        code = f"import django, logging; django.setup(); logging.getLogger({name!r}).error('it is {KEY}')"
        result = run(code, DEBUG=debug)
        assert HIDDEN in result.stderr
        assert KEY not in result.stderr + result.stdout

    def test_of_a_celery_worker_leave_it_out_and_heed_its_level(self) -> None:
        code = """
import logging, django
from killswitch.celery import app
django.setup()
app.log.setup(loglevel="WARNING")
from celery.utils.log import get_task_logger
get_task_logger("killswitch.x").error("it is %s", "KEY")
logging.getLogger("killswitch").info("not at this level")
""".replace("KEY", KEY)
        result = run(code)
        assert f"it is {HIDDEN}" in result.stderr
        assert KEY not in result.stderr + result.stdout
        assert "not at this level" not in result.stderr

    def test_of_the_web_process_leave_it_out(self) -> None:
        code = """
import killswitch.settings
from gunicorn.config import Config
from killswitch.web_log import Log
log = Log(Config())
try:
    raise OSError("KEY")
except OSError:
    log.exception("Error handling request %s", "/?KEY")
""".replace("KEY", KEY)
        result = run(code)
        assert result.stderr.count(HIDDEN) >= 2
        assert KEY not in result.stderr + result.stdout

    def test_tasks_carry_nothing_but_a_number_or_a_time(self) -> None:
        """What stands in Redis, and in a line about a task that failed, is the id of a kill."""
        from killswitch.celery import app

        app.loader.import_default_modules()
        ours = {name: task for name, task in app.tasks.items() if name.startswith("killswitch.")}
        codes = {name: task.run.__code__ for name, task in ours.items()}
        told = {name: code.co_varnames[: code.co_argcount] for name, code in codes.items()}
        assert told == {
            "killswitch.kills.tasks.run_kill": ("kill_id",),
            "killswitch.book.tasks.refresh": (),
            "killswitch.health.tasks.canary": ("task", "sent_at"),
        }


class TestWhatNobodyCaught:
    @pytest.mark.parametrize(
        "code",
        [
            "raise OSError('KEY')",
            "import threading; t = threading.Thread(target=lambda: open('KEY')); t.start(); t.join()",
        ],
        ids=["in the main thread", "in another"],
    )
    def test_is_written_without_it(self, code: str) -> None:
        result = run("import killswitch.settings; " + code.replace("KEY", KEY))
        assert "Error" in result.stderr
        assert HIDDEN in result.stderr
        # A traceback repeats the line of the code, which `python -c` has not kept.
        assert KEY not in result.stderr

    def test_is_written_without_it_by_the_kill_from_a_shell(self, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text(
            "from django.core.management import base\n"
            f"def broken(*_, **__): raise RuntimeError({KEY!r})\n"
            "base.BaseCommand.execute = broken\n"
        )
        result = subprocess.run(
            [sys.executable, "manage.py", "kill", "--all-accounts", "--reason", "x"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), **GOOD, "CLEAR_STREET_API_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 2, result.stderr
        assert f"RuntimeError: {HIDDEN}" in result.stderr


class TestPagesOfErrors:
    def test_leave_it_out_even_with_debug(self, settings) -> None:  # type: ignore[no-untyped-def]
        settings.DEBUG = True
        secret = token_hex(12)  # the page shows the lines of this test as well
        redaction.hide(secret)
        request = RequestFactory().post("/kills/", {"reason": secret}, HTTP_COOKIE=COOKIES)
        try:
            local = [secret]
            raise ValueError(local)
        except ValueError:
            reporter = RedactedReporter(request, *sys.exc_info())
        for text in (reporter.get_traceback_html(), reporter.get_traceback_text()):
            assert "ValueError" in text
            assert secret not in text
            assert not any(part.partition("=")[2] in text for part in COOKIES.split("; "))
            assert API_KEY not in text

    def test_are_made_by_it(self, settings) -> None:  # type: ignore[no-untyped-def]
        assert settings.DEFAULT_EXCEPTION_REPORTER == "killswitch.error_pages.RedactedReporter"


class TestTheSuite:
    """What looks through all output must itself be able to find something."""

    @pytest.mark.parametrize(
        "body",
        [
            "print(MARK)",
            "logging.getLogger('x').warning(MARK)",
            "subprocess.run([sys.executable, '-c', f'print({MARK!r})'], capture_output=True)",
            "subprocess.run([sys.executable, '-c', f'print({MARK!r})'], stdout=(tmp_path / 'x').open('wb'))",
        ],
        ids=["print", "log", "output", "file"],
    )
    def test_finds_what_a_test_shows(self, body: str, tmp_path: Path) -> None:
        start = "import logging, subprocess, sys\nfrom tests.nothing_secret import MARK\n\n\n"
        (tmp_path / "test_it.py").write_text(f"{start}def test_it(tmp_path):\n    {body}\n")
        (tmp_path / "conftest.py").write_text(HOOK)
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:django", "--rootdir", str(tmp_path), "-c", "/dev/null"]
        result = subprocess.run(
            [sys.executable, "-m", "pytest", *options, str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        nothing_secret.found_since()  # that test's own output shows it
        assert result.returncode == 1
        assert "shows a secret" in result.stdout

    def test_runs_with_secrets_that_can_be_found(self) -> None:
        assert MARK in env.secret("CLEAR_STREET_API_KEY")
        assert MARK in env.secret("SECRET_KEY")

    def test_looks_at_pages(self, db: None, settings) -> None:  # type: ignore[no-untyped-def]
        settings.DESK_NOTE = MARK
        assert nothing_secret.found_since() == []
        Client().get(f"/login/?next=/{MARK}")
        assert len(nothing_secret.found_since()) == 1
