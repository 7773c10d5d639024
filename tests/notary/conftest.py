import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.conf import settings

from killswitch.audit.models import Anchor, Kind
from killswitch.audit.operations import Draft, append
from killswitch.notary import keys
from killswitch.notary.operations import make_anchor

from .servers import Http, Smtp, http_server, smtp_server

NOON = datetime(2026, 11, 21, 12, 0, 0, 120, tzinfo=UTC)


def write(kind: Kind = Kind.DENIED, count: int = 1) -> None:
    append([Draft(kind=kind, at=NOON, sentence="something happened") for _ in range(count)])


def check_line(line: bytes, public: str) -> dict[str, Any]:
    """Verify an anchor as somebody would who has nothing but its line and the public key. Return what it tells."""
    told: dict[str, Any] = json.loads(line)
    signature = base64.b64decode(told.pop("signature"))
    load_pem_public_key(public.encode()).verify(signature, rfc8785.dumps(told))  # type: ignore[union-attr,call-arg]
    return told


def newest_log() -> str:
    """Return what the notary that was started last has said."""
    logs = Path(settings.FOLDER).glob("notary-*.log")
    return max(logs, key=lambda path: path.stat().st_mtime_ns).read_text()


@pytest.fixture
def key() -> keys.Key:
    return keys.Key(Ed25519PrivateKey.generate())


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "anchor-key.pem"
    keys.make(path)
    return path


Anchored = Callable[..., list[Anchor]]


@pytest.fixture
def anchored(db: None, key: keys.Key) -> Anchored:
    """Write entries and sign the head after each, a minute apart."""

    def make(count: int = 1) -> list[Anchor]:
        made = []
        for number in range(count):
            write()
            anchor = make_anchor(key, now=NOON + timedelta(minutes=number))
            assert anchor is not None
            made.append(anchor)
        return made

    return make


@pytest.fixture
def endpoint() -> Iterator[Http]:
    with http_server() as server:
        yield server


@pytest.fixture
def mail_server(settings: Any) -> Iterator[Smtp]:
    with smtp_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        yield server
