"""What production settings turn on, and what every answer tells the browser to refuse."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from killswitch.access.roles import RISK_DESK, give_role
from tests.conftest import unrecorded
from tests.production import PRODUCTION
from tests.test_settings import ROOT

HTTPS = {"secure": True, "SERVER_NAME": "killswitch.example.com"}


def run(command: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **PRODUCTION, **changes}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def check(**changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return run(command, **changes)


class TestCheck:
    def test_finds_nothing_with_settings_of_production(self) -> None:
        result = check()
        assert result.returncode == 0, result.stderr

    @pytest.mark.parametrize(
        ("changes", "found"),
        [
            ({"HTTPS_ONLY": "off"}, "security.W012"),
            ({"DEBUG": "on"}, "security.W018"),
            ({"SECRET_KEY": "short"}, "security.W009"),
            ({"PROXY_SAYS_HTTPS": "on"}, "killswitch.W003"),
            (
                {"SSO_ISSUER": "http://login.example.com", "SSO_CLIENT_ID": "x", "SSO_RISK_DESK_GROUPS": "desk"},
                "killswitch.W004",
            ),
            ({"CLEAR_STREET_BASE_URL": "http://broker.example.com"}, "killswitch.W002"),
        ],
    )
    def test_finds_what_is_open(self, changes: dict[str, str], found: str) -> None:
        result = check(**changes)
        assert result.returncode == 1
        assert found in result.stderr

    def test_finds_a_secret_that_everybody_can_read(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text("k" * 20)
        path.chmod(0o640)
        changes = {"CLEAR_STREET_API_KEY": "", "CLEAR_STREET_API_KEY_FILE": str(path)}
        assert check(**changes).returncode == 0
        path.chmod(0o644)
        result = check(**changes)
        assert result.returncode == 1
        assert "CLEAR_STREET_API_KEY_FILE names a file that everybody here can read" in result.stderr


def test_a_cookie_is_bound_to_the_host_by_its_name() -> None:
    code = "from django.conf import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME)"
    shell = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    assert run(shell).stdout == "__Host-sessionid __Host-csrftoken\n"
    assert run(shell, HTTPS_ONLY="off").stdout == "sessionid csrftoken\n"


class TestProxy:
    def test_is_believed_only_where_that_is_set(self) -> None:
        code = "from django.conf import settings; print(settings.SECURE_PROXY_SSL_HEADER)"
        shell = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
        assert run(shell).stdout == "None\n"
        assert run(shell, PROXY_SAYS_HTTPS="on").stdout == "('HTTP_X_FORWARDED_PROTO', 'https')\n"


@pytest.fixture
def https(settings) -> None:  # type: ignore[no-untyped-def]
    """The settings of production that a request meets."""
    settings.ALLOWED_HOSTS = ["killswitch.example.com"]
    settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 3600


class TestOverTLS:
    def test_plain_http_is_sent_away_but_for_a_monitor(self, db: None, https: None) -> None:
        client = Client(SERVER_NAME="killswitch.example.com")
        answer = client.get("/login/")
        assert (answer.status_code, answer["Location"]) == (301, "https://killswitch.example.com/login/")
        assert client.get("/healthz").status_code == 200

    def test_another_host_is_refused(self, db: None, https: None) -> None:
        assert Client(SERVER_NAME="evil.example").get("/login/", secure=True).status_code == 400

    def test_browsers_are_told_to_stay_with_it(self, db: None, https: None) -> None:
        assert Client().get("/login/", **HTTPS)["Strict-Transport-Security"] == "max-age=3600"

    def test_cookies_go_over_nothing_else(self, db: None, https: None) -> None:
        with unrecorded():
            give_role(User.objects.create_user("desk", password="correct horse battery"), RISK_DESK)
        client = Client()
        form = {"username": "desk", "password": "correct horse battery"}
        cookies = client.post("/login/", form, **HTTPS).cookies
        assert {"sessionid", "csrftoken"} <= cookies.keys()
        for cookie in cookies.values():
            assert cookie["secure"] and cookie["httponly"] and cookie["samesite"] == "Lax"


RULES = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class TestEveryAnswer:
    @pytest.mark.parametrize("page", ["/login/", "/", "/nowhere/", "/healthz", "/static/css/killswitch.css"])
    def test_says_what_to_refuse(self, page: str, db: None) -> None:
        answer = Client().get(page)
        rules = {name: value for name, value in RULES.items() if not page.startswith("/static/")}
        wanted = rules or {"Content-Security-Policy": RULES["Content-Security-Policy"]}
        answer.close()
        assert {name: answer.headers.get(name) for name in wanted} == wanted

    def test_says_it_when_something_broke_and_for_a_host_that_is_not_ours(
        self, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert Client(SERVER_NAME="evil.example").get("/login/")["Content-Security-Policy"]
        monkeypatch.setattr("orders_ui.views.login.LogIn.extra_context", 7)
        answer = Client(raise_request_exception=False).get("/login/")
        assert answer.status_code == 500
        assert answer["Content-Security-Policy"] == RULES["Content-Security-Policy"]


def test_the_page_about_security_names_only_tests_that_there_are() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    paths = set(re.findall(r"`((?:tests|killswitch)/[\w/.]+)`", page))
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []
    text = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = {
        name.strip("…") for name in re.findall(r"`(\w*…?[A-Z_a-z…]+)`", page) if "…" in name or name.startswith("Test")
    }
    assert len(names) > 15
    assert [name for name in names if name not in text] == []
