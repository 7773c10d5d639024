"""A real mail server and a real HTTP server behind apprise: what they take, and what is said where they do not."""

import contextlib
import json
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from killswitch.telling import places
from killswitch.telling.chat import Chat, check
from killswitch.telling.mail import Mail
from killswitch.telling.places import Message, NotInstalled, Refused, Tone
from tests.conftest import wait_for
from tests.notary.servers import Http, Smtp

MESSAGE = Message(subject="NOT FLAT: 2 orders stuck – “TSLA”", body="Call the broker’s desk.\n\nBy: ann", tone=Tone.BAD)
SECRET = "T0KEN-not-shown"


def json_url(endpoint: Http) -> str:
    return endpoint.url.replace("http://", "json://") + f"/{SECRET}"


@pytest.fixture
def silent() -> Iterator[int]:
    """A server that takes a connection and never says anything."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def nobody() -> int:
    """A port at which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def refusal(place: Any, caplog: pytest.LogCaptureFixture, *secrets: str) -> str:
    """Return why a place refuses, and hold that nothing of it shows a secret."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Refused) as refused:
        place.take(MESSAGE)
    shown = "".join(traceback.format_exception(refused.value)) + caplog.text + place.name + place.key
    assert not [secret for secret in secrets if secret in shown]
    return str(refused.value)


class TestMail:
    def test_carries_line_and_text(self, settings: Any, mail_server: Smtp) -> None:
        settings.TELL_FROM = "killswitch@example.com"
        place = Mail("ann@example.com", 1)
        place.take(MESSAGE)
        [(recipients, raw)] = mail_server.mails
        mail = message_from_bytes(raw, policy=policy.default)
        assert recipients == ["ann@example.com"]
        assert (mail["Subject"], mail["From"]) == (MESSAGE.subject, "killswitch@example.com")
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail.get_content().split() == MESSAGE.body.split()  # type: ignore[attr-defined]
        assert place.name == "mail 1"

    def test_a_server_that_refuses(self, mail_server: Smtp, caplog: pytest.LogCaptureFixture) -> None:
        mail_server.refuses = True
        assert refusal(Mail("ann@example.com", 1), caplog, "ann@") == "the mail server answered 452"

    def test_a_server_that_hangs(self, settings: Any, silent: int, caplog: pytest.LogCaptureFixture) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", silent, 0.3
        why = refusal(Mail("ann@example.com", 1), caplog, "ann@")
        assert why == "the mail server did not answer, or hung up"

    def test_no_server(self, settings: Any, nobody: int, caplog: pytest.LogCaptureFixture) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", nobody
        why = refusal(Mail("ann@example.com", 1), caplog, "ann@")
        assert why == "the mail server could not be reached: Connection refused"


class TestChat:
    def test_is_told_by_apprise(self, endpoint: Http) -> None:
        place = Chat(json_url(endpoint), 2)
        place.take(MESSAGE)
        [arrived] = endpoint.arrived
        told = json.loads(arrived.body)
        assert (told["title"], told["message"], told["type"]) == (MESSAGE.subject, MESSAGE.body, "failure")
        assert (place.name, arrived.path) == ("chat 2 (json)", f"/{SECRET}")

    def test_one_that_refuses(self, endpoint: Http, caplog: pytest.LogCaptureFixture) -> None:
        endpoint.answers = [503]
        assert refusal(Chat(json_url(endpoint), 1), caplog, SECRET) == "it answered 503"

    def test_one_that_never_ends_its_answer(self, endpoint: Http, caplog: pytest.LogCaptureFixture) -> None:
        """Apprise waits for as long as a byte comes now and then: its process is ended."""
        endpoint.drip = threading.Event()
        assert refusal(Chat(json_url(endpoint), 1, seconds=5), caplog, SECRET) == "no answer within 5 s"

    def test_one_that_is_not_there(self, nobody: int, caplog: pytest.LogCaptureFixture) -> None:
        place = Chat(f"json://ann:{SECRET}@127.0.0.1:{nobody}/{SECRET}", 1)
        assert refusal(place, caplog, SECRET) == "it could not be reached, or did not answer"

    def test_its_process_is_given_no_secret_of_ours(self, endpoint: Http, monkeypatch: pytest.MonkeyPatch) -> None:
        """Read from the process itself, while it waits for its answer."""
        monkeypatch.setenv("CLEAR_STREET_API_KEY", "sk-not-passed-on")
        endpoint.drip = threading.Event()
        seen: list[bytes] = []

        def look() -> None:
            for status in Path("/proc").glob("[0-9]*/cmdline"):
                if b"killswitch.telling.chat_process" in status.read_bytes():
                    seen.append(status.read_bytes() + status.with_name("environ").read_bytes())

        def look_and_let_go() -> None:
            wait_for(lambda: endpoint.arrived, "the post", 60)
            look()
            assert endpoint.drip is not None
            endpoint.drip.set()

        looking = threading.Thread(target=look_and_let_go)
        looking.start()
        with contextlib.suppress(Refused):
            Chat(json_url(endpoint), 1, seconds=60).take(MESSAGE)
        looking.join()
        assert seen
        assert not [told for told in seen if b"sk-not-passed-on" in told or SECRET.encode() in told]


class TestConfigured:
    def test_nobody_by_default(self) -> None:
        assert places.configured() == []

    def test_each_is_called_by_a_number_and_its_kind(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.TELL_MAIL_TO = ["ann@example.com", "bob@example.com"]
        monkeypatch.setenv(
            "TELL_URLS", f"json://host/{SECRET}\n  slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/ "
        )
        found = places.configured()
        assert [place.name for place in found] == ["mail 1", "mail 2", "chat 1 (json)", "chat 2 (slack)"]
        keys = [place.key for place in found]
        assert len(set(keys)) == 4
        monkeypatch.setenv("TELL_URLS", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/")
        assert [place.key for place in places.configured()] == [keys[0], keys[1], keys[3]]

    def test_from_a_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
        path = tmp_path / "urls"
        path.write_text(f"json://host/{SECRET}\njsons://host/{SECRET}\n")
        monkeypatch.setenv("TELL_URLS_FILE", str(path))
        assert [place.name for place in places.configured()] == ["chat 1 (json)", "chat 2 (jsons)"]

    def test_without_apprise_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TELL_URLS", f"json://host/{SECRET}")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(NotInstalled, match=r"apprise is not installed: pip install \.\[chat\]"):
            places.configured()

    @pytest.mark.parametrize(
        ("urls", "why"),
        [
            (f"json://host/{SECRET} {SECRET}", "TELL_URLS is wrong: address 2 does not begin with a scheme"),
            (f"nothing-that-exists://{SECRET}", "does not understand address 1 (nothing-that-exists)"),
            (f"json://host slack://{SECRET}", "does not understand address 2 (slack)"),
        ],
    )
    def test_an_odd_address_stops_the_start_and_is_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, urls: str, why: str
    ) -> None:
        monkeypatch.setenv("TELL_URLS", urls)
        with pytest.raises(SystemExit) as stopped:
            places.configured()
        assert why in str(stopped.value)
        assert SECRET not in str(stopped.value)

    def test_all_are_checked_in_one_go(self) -> None:
        assert check(["json://a", "json://", "slack://x", "xml://b"]) == [2, 3]
