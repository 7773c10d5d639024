"""The key that signs: where it comes from, and what is said of one that cannot sign."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519

from killswitch.notary import keys
from tests.conftest import ROOT

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def pem(private: object, *, form: object = PKCS8, passphrase: bytes = b"") -> str:
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return private.private_bytes(PEM, form, hidden).decode()  # type: ignore[attr-defined, no-any-return]


GOOD = pem(ed25519.Ed25519PrivateKey.generate())
PUBLIC = keys.Key(ed25519.Ed25519PrivateKey.generate()).public
WRONG = {
    "not a PEM file": "correct horse battery staple",
    "not a PEM": GOOD.splitlines()[1],
    "another kind (RSA)": pem(rsa.generate_private_key(65537, 2048)),
    "another kind (EC)": pem(ec.generate_private_key(ec.SECP256R1())),
    "another kind (Ed448)": pem(ed448.Ed448PrivateKey.generate()),
    "another kind (X25519)": pem(x25519.X25519PrivateKey.generate()),
    "encrypted": pem(ed25519.Ed25519PrivateKey.generate(), passphrase=b"secret"),
    "the public half": PUBLIC,
    "a key for SSH": pem(ed25519.Ed25519PrivateKey.generate(), form=serialization.PrivateFormat.OpenSSH),
    "damaged": GOOD.replace("MC4CAQAw", "MC4CAQ"),
}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Run:
    """Run a command of manage.py with the product's own settings."""

    def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "killswitch.settings", **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


class TestConfigured:
    @pytest.mark.parametrize("why", WRONG)
    @pytest.mark.parametrize("way", ["ANCHOR_KEY", "ANCHOR_KEY_FILE"])
    def test_says_what_is_wrong_and_shows_nothing(
        self, why: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = WRONG[why]
        path = tmp_path / "key.pem"
        path.write_text(text)
        monkeypatch.setenv(way, str(path) if way.endswith("FILE") else text)
        with pytest.raises(keys.BadKey, match=way) as raised:
            keys.configured()
        assert why in str(raised.value)
        body = [line for line in text.splitlines() if "-----" not in line]
        assert not any(line in repr(raised.value) for line in body)
        assert raised.value.__suppress_context__ or raised.value.__context__ is None

    def test_takes_a_text_and_one_in_a_single_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANCHOR_KEY", GOOD)
        several = keys.configured()
        monkeypatch.setenv("ANCHOR_KEY", GOOD.replace("\n", "\\n"))
        one = keys.configured()
        assert several is not None
        assert one is not None
        assert several.id == one.id

    def test_takes_what_openssl_makes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "key.pem"
        made = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path)], check=False)
        if made.returncode:
            pytest.skip("no openssl here")
        monkeypatch.setenv("ANCHOR_KEY_FILE", str(path))
        assert keys.configured() is not None

    def test_is_none_where_nothing_is_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANCHOR_KEY", "  ")
        assert keys.configured() is None

    def test_refuses_two(self, monkeypatch: pytest.MonkeyPatch, key_file: Path) -> None:
        monkeypatch.setenv("ANCHOR_KEY", GOOD)
        monkeypatch.setenv("ANCHOR_KEY_FILE", str(key_file))
        with pytest.raises(SystemExit, match="both set"):
            keys.configured()

    @pytest.mark.parametrize(("name", "why"), [("gone.pem", "No such file"), ("", "Is a directory")])
    def test_says_why_a_file_cannot_be_read(
        self, name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANCHOR_KEY_FILE", str(tmp_path / name))
        with pytest.raises(SystemExit, match=f"cannot be read: {why}"):
            keys.configured()

    def test_does_not_show_itself(self, key: keys.Key) -> None:
        assert repr(key) == "Key()"


class TestAnchorKey:
    def test_makes_a_key_once_and_prints_its_public_half(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "new.pem"
        made = run("anchor_key", str(path))
        assert made.returncode == 0, made.stderr
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert made.stdout.startswith("-----BEGIN PUBLIC KEY-----\n")
        assert run("anchor_key", "--public", ANCHOR_KEY_FILE=str(path)).stdout == made.stdout
        kept = path.read_text()
        again = run("anchor_key", str(path))
        assert (again.returncode, path.read_text()) == (1, kept)
        assert "never overwritten" in again.stderr

    @pytest.mark.parametrize("command", [["notary"], ["anchor"], ["anchor_key", "--public"]])
    def test_every_command_ends_with_one_line(self, command: list[str], run: Run) -> None:
        result = run(*command, ANCHOR_KEY=WRONG["damaged"])
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("CommandError: ANCHOR_KEY is a damaged PEM file")
        assert result.stderr.count("\n") == 1

    @pytest.mark.parametrize("command", [["anchor"], ["anchor_key", "--public"]])
    def test_says_that_there_is_none(self, command: list[str], run: Run) -> None:
        assert "CommandError: there is no key" in run(*command).stderr

    def test_says_that_it_cannot_write(self, run: Run, tmp_path: Path) -> None:
        assert "cannot be written: No such file" in run("anchor_key", str(tmp_path / "no" / "key.pem")).stderr
