"""What the notary wrote outside holds against the trail with the verifier alone, and shows what was done to it."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from killswitch.audit import guard, verify_export
from killswitch.audit.anchors import public_keys
from killswitch.audit.chain import hash_of, link
from killswitch.audit.models import Entry
from killswitch.audit.rows import sealed
from killswitch.notary.file import File

from .conftest import Anchored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(tmp_path: Path, anchored: Anchored) -> Path:
    """A folder with the trail as it is, its anchors and the public key."""
    File(str(tmp_path / "anchors.jsonl")).take(anchored(3))
    (tmp_path / "key.pem").write_text(public_keys())
    return tmp_path


def verify(folder: Path) -> subprocess.CompletedProcess[str]:
    lines = b"".join(entry.line + b"\n" for entry in sealed(Entry.objects.all()))
    (folder / "trail.jsonl").write_bytes(lines)
    command = [sys.executable, verify_export.__file__, "trail.jsonl"]
    return subprocess.run(
        [*command, "--anchors", "anchors.jsonl", "--public-key", "key.pem"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_trail_that_nobody_touched_holds(folder: Path) -> None:
    result = verify(folder)
    assert result.returncode == verify_export.HOLDS, result.stdout
    assert "3 anchors hold" in result.stdout


def test_a_chain_that_was_written_anew_shows(folder: Path) -> None:
    """Every hash of it fits, from the second entry on; what was anchored does not."""
    guard.remove(connection)
    previous = Entry.objects.get(id=1).hash
    for number in (2, 3):
        Entry.objects.filter(id=number).update(sentence="nothing happened", previous_hash=previous)
        [entry] = sealed(Entry.objects.filter(id=number))
        previous = link(hash_of(entry.content), previous)
        Entry.objects.filter(id=number).update(hash=previous)
    guard.install(connection)
    result = verify(folder)
    assert result.returncode == verify_export.DOES_NOT_HOLD
    assert "entry 2" in result.stdout


def test_an_anchor_that_somebody_else_signed_shows(folder: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from killswitch.notary import keys

    (folder / "key.pem").write_text(keys.Key(Ed25519PrivateKey.generate()).public)
    assert verify(folder).returncode == verify_export.DOES_NOT_HOLD
