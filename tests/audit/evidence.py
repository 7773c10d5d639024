"""Trails, anchors and exports for tests of the verifier, and what somebody does who tampers with them."""

import base64
import hashlib
import io
import json
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connection

from killswitch.audit import chain, guard, verify_export
from killswitch.audit.anchors import anchor_line, signed_part
from killswitch.audit.models import Anchor, AnchorKey, Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.audit.rows import sealed

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DATA: tuple[dict[str, Any], ...] = (
    {},
    {"call": "cancel_open_order", "clock_offset": 0.25},
    {"scope": "все", "filter": {"symbols": ["A", "B"], "deep": [{"z": None, "a": True}]}, "count": 7},
    {"a": 1, "b": "x", "c": [], "d": {}, "e": "fifth"},
)


def write(count: int) -> None:
    """Write entries, so many at a time that no transaction is long."""
    for first in range(1, count + 1, 5_000):
        append(_draft(number) for number in range(first, min(first + 5_000, count + 1)))


def _draft(number: int) -> Draft:
    return Draft(
        kind=Kind.ATTEMPT_ANSWERED,
        at=NOON + timedelta(seconds=number),
        sentence=f"“number” {number}\n",
        actor=Actor(id=number % 3 or None, name="ann", source="web 10.0.0.1"),
        account_id=1000 + number % 2,
        symbol="AAPL",
        data=DATA[number % len(DATA)],
    )


@dataclass
class Signer:
    """Somebody with a key for anchors."""

    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def raw(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def name(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def pem(self) -> str:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def anchor(self, sequence: int, own_hash: str) -> Anchor:
        signed = signed_part(sequence=sequence, own_hash=own_hash, at=NOON, key=self.name)
        signature = base64.b64encode(self.private.sign(signed)).decode()
        return Anchor(sequence=sequence, hash=own_hash, at=NOON, key=self.name, signature=signature)

    def line(self, sequence: int, own_hash: str) -> bytes:
        return anchor_line(self.anchor(sequence, own_hash))

    def sign_table(self, *sequences: int) -> list[bytes]:
        """Make anchors of these entries, in the table; return them as lines."""
        if not AnchorKey.objects.filter(key=self.name).exists():
            AnchorKey.objects.create(key=self.name, public=self.pem, first_used_at=NOON)
        entries = Entry.objects.filter(id__in=sequences).order_by("id").values_list("id", "hash")
        made = [self.anchor(sequence, own) for sequence, own in entries]
        Anchor.objects.bulk_create(made)
        return [anchor_line(anchor) for anchor in made]


# --- exports


def export() -> list[bytes]:
    return [entry.line for entry in sealed(Entry.objects.all(), after=None)]


@dataclass
class Answer:
    code: int
    text: str
    told: dict[str, Any] | None = None

    @property
    def ways(self) -> list[tuple[str, int | None, int | None]]:
        """Return what does not hold: the way, and the first and last entry concerned."""
        assert self.told is not None, self.text
        return [(one["kind"], one["first"], one["last"]) for one in self.told["findings"]]


def check(
    folder: Path,
    lines: Iterable[bytes] | bytes,
    *options: str,
    anchors: Iterable[bytes] | bytes | None = None,
    signers: Iterable[Signer] = (),
) -> Answer:
    """Run the offline verifier over these lines, twice: for programs and for people."""
    arguments = [_put(folder / "trail.jsonl", lines), *options]
    if anchors is not None:
        arguments += ["--anchors", _put(folder / "anchors.jsonl", anchors)]
    for signer in signers:
        arguments += ["--public-key", _put(folder / f"{signer.name}.pem", signer.pem.encode())]
    code, told = _run([*arguments, "--json"])
    same_code, text = _run(arguments)
    assert same_code == code
    return Answer(code, text, json.loads(told))


def _put(path: Path, content: Iterable[bytes] | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else b"".join(line + b"\n" for line in content))
    return str(path)


def _run(arguments: list[str]) -> tuple[int, str]:
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = verify_export.main(arguments)
    return code, said.getvalue()


# --- what somebody does who can write to the database


def take_off_the_triggers() -> None:
    guard.remove(connection)


def run(sql: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def renumber(first: int, by: int) -> None:
    """Move the numbers of all entries from `first` on, past the primary key."""
    run("UPDATE audit_entry SET id = -(id + %s) WHERE id >= %s", by, first)
    run("UPDATE audit_entry SET id = -id WHERE id < 0")


def exchange(one: int, other: int) -> None:
    for number, to in ((one, -1), (other, one), (-1, other)):
        run("UPDATE audit_entry SET id = %s WHERE id = %s", to, number)


def copy(sequence: int, to: int, *, sentence: str = "never happened") -> None:
    names = [f.column for f in Entry._meta.concrete_fields if f.column not in ("id", "sentence")]
    columns = ", ".join(names)
    run(
        f"INSERT INTO audit_entry (id, sentence, {columns}) SELECT %s, %s, {columns} FROM audit_entry WHERE id = %s",
        to,
        sentence,
        sequence,
    )


def seal_anew(first: int, last: int | None = None) -> None:
    """Compute the hashes of `first` and of those after it anew, so that they fit each other and what is before."""
    before = Entry.objects.filter(id__lt=first).order_by("-id").values_list("hash", flat=True).first()
    previous_hash = before or chain.GENESIS
    for entry in list(sealed(Entry.objects.all(), after=first - 1, up_to=last)):
        own_hash = chain.link(chain.hash_of(entry.content), previous_hash)
        run(
            "UPDATE audit_entry SET hash = %s, previous_hash = %s WHERE id = %s",
            own_hash,
            previous_hash,
            entry.sequence,
        )
        previous_hash = own_hash
