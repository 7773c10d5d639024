"""The key that signs anchors: Ed25519, from the environment or a file. Its private half never leaves this room."""

import base64
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from killswitch import env
from killswitch.redaction import hide

BEGIN = "-----BEGIN "
MAKE_ONE = "make one with manage.py anchor_key FILE"


class BadKey(ValueError):
    """What is configured is not a key that can sign. Says why, and shows nothing of it."""


@dataclass(frozen=True)
class Key:
    """A key that signs anchors."""

    _private: Ed25519PrivateKey = field(repr=False)

    @property
    def id(self) -> str:
        """Return the first 16 hexadecimal digits of the SHA-256 of the raw public half."""
        return hashlib.sha256(self._private.public_key().public_bytes_raw()).hexdigest()[:16]

    @property
    def public(self) -> str:
        """Return the public half as PEM."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    def sign(self, text: bytes) -> str:
        return base64.b64encode(self._private.sign(text)).decode()


def configured() -> Key | None:
    """Return the key of ANCHOR_KEY or ANCHOR_KEY_FILE, None where neither is set. Raises BadKey.

    A file that cannot be read ends the process.
    """
    # Files of variables hold one line each: there, a PEM has \n for the end of a line.
    text = env.secret("ANCHOR_KEY").replace("\\n", "\n")
    hide(text)
    name = "ANCHOR_KEY_FILE" if env.text("ANCHOR_KEY_FILE", "") else "ANCHOR_KEY"
    return _read(name, text.encode()) if text else None


def _read(name: str, text: bytes) -> Key:
    """Read a private key. What went wrong inside is not passed on: it may show a part of the key."""
    if BEGIN.encode() not in text:
        raise BadKey(f"{name} is not a PEM file (there is no line “{BEGIN}PRIVATE KEY-----”): {MAKE_ONE}")
    if b"PUBLIC KEY-----" in text or b"CERTIFICATE-----" in text:
        raise BadKey(f"{name} is the public half: what signs is the private key")
    if b"OPENSSH PRIVATE KEY-----" in text:
        raise BadKey(f"{name} is a key for SSH: {MAKE_ONE}")
    try:
        private = serialization.load_pem_private_key(text, password=None)
    except TypeError:
        raise BadKey(f"{name} is encrypted, and nobody is there to type a passphrase: {MAKE_ONE}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey(f"{name} is a damaged PEM file, or not a private key: copy it again, or {MAKE_ONE}") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise BadKey(f"{name} is a key of another kind ({_kind(private)}), not Ed25519: {MAKE_ONE}")
    return Key(private)


def _kind(private: object) -> str:
    return type(private).__name__.removesuffix("PrivateKey").lstrip("_") or "unknown"


def make(path: Path) -> Key:
    """Write a new key to a file that only its owner can read. Raises FileExistsError, OSError."""
    private = Ed25519PrivateKey.generate()
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Key(private)
