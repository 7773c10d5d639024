"""Each place gets what it is given, keeps it, and says when it did not."""

import base64
import email
import email.policy
import hashlib
import importlib.util
import os
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from killswitch.audit.anchors import anchor_line
from killswitch.audit.models import Anchor
from killswitch.notary import keys, places
from killswitch.notary.endpoint import Endpoint
from killswitch.notary.file import File
from killswitch.notary.mail import Mail
from killswitch.notary.places import Refused
from tests.conftest import ROOT

from .conftest import Anchored, check_line
from .servers import Http, Smtp

pytestmark = pytest.mark.django_db


def lines(anchors: list[Anchor]) -> list[bytes]:
    return [anchor_line(anchor) for anchor in anchors]


class TestFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "anchors.jsonl"

    def test_gets_a_line_each(self, path: Path, anchored: Anchored, key: keys.Key) -> None:
        first, second, third = anchored(3)
        place = File(str(path))
        place.take([first, second])
        place.take([third])
        assert path.read_bytes().splitlines() == lines([first, second, third])
        assert [check_line(line, key.public)["sequence"] for line in path.read_bytes().splitlines()] == [1, 2, 3]

    def test_is_made_again_where_it_was_taken_away_and_keeps_its_mode(self, path: Path, anchored: Anchored) -> None:
        first, second, third = anchored(3)
        place = File(str(path))
        place.take([first])
        path.rename(path.with_suffix(".1"))
        place.take([second])
        path.chmod(0o600)
        place.take([third])
        assert path.read_bytes().splitlines() == lines([second, third])
        assert path.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("length", [1, 30, -1])
    def test_a_line_that_a_crash_broke_off_is_gone_on_with(self, length: int, path: Path, anchored: Anchored) -> None:
        first, second = anchored(2)
        File(str(path)).take([first])
        with path.open("ab") as file:
            file.write((anchor_line(second) + b"\n")[:length])
        File(str(path)).take([second])
        assert path.read_bytes() == b"".join(line + b"\n" for line in lines([first, second]))

    def test_what_somebody_else_wrote_without_an_end_stays_a_line_of_its_own(
        self, path: Path, anchored: Anchored
    ) -> None:
        [anchor] = anchored()
        path.write_bytes(b"# evidence")
        File(str(path)).take([anchor])
        assert path.read_bytes().splitlines() == [b"# evidence", *lines([anchor])]

    def test_a_full_disk_is_an_error(self, anchored: Anchored) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full here")
        with pytest.raises(OSError, match="No space left"):
            File("/dev/full").take(anchored())

    def test_keeps_nothing_of_what_a_full_disk_took_in_part(self, path: Path, anchored: Anchored) -> None:
        first, second, third = anchored(3)
        place = File(str(path))
        place.take([first])
        size = path.stat().st_size
        with no_file_longer_than(2 * size + 20), pytest.raises(OSError, match="too large"):
            place.take([second, third])
        assert path.stat().st_size == size
        place.take([second, third])
        assert path.read_bytes().splitlines() == lines([first, second, third])

    def test_a_folder_that_is_gone_is_an_error(self, tmp_path: Path, anchored: Anchored) -> None:
        with pytest.raises(FileNotFoundError):
            File(str(tmp_path / "no" / "anchors.jsonl")).take(anchored())


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Make writes fail beyond `size`, as on a full disk: the one before comes back short."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestMail:
    def test_brings_all_in_one(self, mail_server: Smtp, anchored: Anchored) -> None:
        anchors = anchored(3)
        Mail(["a@example.com", "b@example.com"]).take(anchors)
        [(recipients, data)] = mail_server.mails
        assert recipients == ["a@example.com", "b@example.com"]
        mail = email.message_from_bytes(data, policy=email.policy.default)
        assert re.match(r"Killswitch anchors of the audit trail, to entry 3, 2026-11-21T12:02", mail["Subject"])
        [attachment] = mail.iter_attachments()
        assert attachment.get_filename() == "anchors-3.jsonl"
        assert attachment.get_content().splitlines() == lines(anchors)
        assert anchors[-1].hash in mail.get_body().get_content()  # type: ignore[union-attr]

    def test_logs_in_where_that_is_set(self, mail_server: Smtp, anchored: Anchored, settings: Any) -> None:
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "me", "secret"
        Mail(["a@example.com"]).take(anchored())
        [line] = mail_server.logins
        assert base64.b64decode(line.split()[-1]) == b"\0me\0secret"

    def test_a_refusal_is_an_error(self, mail_server: Smtp, anchored: Anchored) -> None:
        mail_server.refuses = True
        with pytest.raises(OSError, match="disk full"):
            Mail(["a@example.com"]).take(anchored())
        assert mail_server.mails == []

    def test_a_server_that_says_nothing_is_given_up(self, anchored: Anchored, settings: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
            settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
            settings.EMAIL_TIMEOUT = 0.2
            with pytest.raises(OSError, match="timed out"):
                Mail(["a@example.com"]).take(anchored())


class TestEndpoint:
    def test_gets_a_post_each(self, endpoint: Http, anchored: Anchored) -> None:
        anchors = anchored(2)
        Endpoint(f"{endpoint.url}/anchors?x=1", token="s3cret").take(anchors)
        assert [(a.method, a.path) for a in endpoint.arrived] == [("POST", "/anchors?x=1")] * 2
        assert [a.body for a in endpoint.arrived] == lines(anchors)
        for arrived in endpoint.arrived:
            assert arrived.headers["content-type"] == "application/json"
            assert arrived.headers["authorization"] == "Bearer s3cret"

    def test_sends_no_token_where_there_is_none(self, endpoint: Http, anchored: Anchored) -> None:
        Endpoint(endpoint.url).take(anchored())
        assert "authorization" not in endpoint.arrived[0].headers

    @pytest.mark.parametrize("status", [302, 403, 500])
    def test_has_not_got_it_with_any_other_answer(self, status: int, endpoint: Http, anchored: Anchored) -> None:
        endpoint.answers = [status]
        with pytest.raises(Refused, match=f"answered {status}"):
            Endpoint(endpoint.url).take(anchored())
        assert len(endpoint.arrived) == 1

    def test_one_that_drips_is_given_up(self, endpoint: Http, anchored: Anchored) -> None:
        endpoint.drip = threading.Event()
        with pytest.raises(Refused, match="no answer within"):
            Endpoint(endpoint.url, seconds=0.5).take(anchored())

    def test_one_that_is_not_there_is_an_error_without_its_path(self, anchored: Anchored) -> None:
        place = Endpoint("http://127.0.0.1:9/hook/s3cret")
        with pytest.raises(Refused, match="ConnectError") as raised:
            place.take(anchored())
        assert "s3cret" not in str(raised.value)
        assert place.name == "http://127.0.0.1:9"


class TestBucket:
    @pytest.fixture
    def make_bucket(self, endpoint: Http, settings: Any) -> Callable[[], places.Place]:
        if importlib.util.find_spec("boto3") is None:
            assert not os.environ.get("CI"), "no boto3: CI must install it"
            pytest.skip("no boto3 here")
        settings.ANCHOR_S3_BUCKET, settings.ANCHOR_S3_PREFIX = "evidence", "killswitch/"
        settings.ANCHOR_S3_ENDPOINT = endpoint.url
        settings.ANCHOR_S3_ACCESS_KEY, settings.ANCHOR_S3_SECRET_KEY = "AKIDEXAMPLE", "s3cret"
        settings.ANCHOR_S3_RETENTION_DAYS = 2192

        def make() -> places.Place:
            [place] = places.configured()
            return place

        return make

    def test_gets_a_locked_object_each(
        self, make_bucket: Callable[[], places.Place], endpoint: Http, anchored: Anchored
    ) -> None:
        anchors = anchored(2)
        place = make_bucket()
        place.take(anchors)
        assert place.name == "bucket evidence/killswitch/"
        for arrived, anchor in zip(endpoint.arrived, anchors, strict=True):
            body = anchor_line(anchor) + b"\n"
            name = f"{anchor.sequence:012d}-{anchor.hash[:16]}.json"
            assert (arrived.method, arrived.path) == ("PUT", f"/evidence/killswitch/{name}")
            assert body in arrived.body  # with its checksum after it, where that is how it is sent
            told = arrived.headers
            assert told["x-amz-object-lock-mode"] == "COMPLIANCE"
            until = datetime.fromisoformat(told["x-amz-object-lock-retain-until-date"].replace("Z", "+00:00"))
            assert abs(until.astimezone(UTC) - timezone.now() - timedelta(days=2192)) < timedelta(minutes=1)
            assert told["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            assert "x-amz-object-lock-mode" in told["authorization"]
            assert told["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()

    def test_a_refusal_is_an_error_and_not_tried_again_at_once(
        self, make_bucket: Callable[[], places.Place], endpoint: Http, anchored: Anchored
    ) -> None:
        endpoint.answers = [503]
        with pytest.raises(Refused, match="503") as raised:
            make_bucket().take(anchored())
        assert "s3cret" not in str(raised.value)
        assert len(endpoint.arrived) == 1

    def test_one_without_boto3_stops_the_notary(self, tmp_path: Path) -> None:
        hidden = (
            "import sys; sys.modules['boto3'] = None; sys.argv = ['manage.py', 'notary']; import manage; manage.main()"
        )
        result = subprocess.run(
            [sys.executable, "-c", hidden],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "killswitch.settings",
                "ANCHOR_S3_BUCKET": "evidence",
                "ANCHOR_S3_RETENTION_DAYS": "1",
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 1
        assert result.stderr.startswith("CommandError: ANCHOR_S3_BUCKET is set and boto3 is not installed: pip install")


class TestConfigured:
    def test_is_what_the_settings_name(self, settings: Any) -> None:
        assert places.configured() == []
        settings.ANCHOR_FILE = "/var/lib/anchors.jsonl"
        settings.ANCHOR_MAIL = ["a@example.com"]
        settings.ANCHOR_URL = "https://example.com/hook/s3cret"
        names = [place.name for place in places.configured()]
        assert names == ["file /var/lib/anchors.jsonl", "mail a@example.com", "https://example.com"]
