"""Check an export of the Killswitch audit trail: offline, with nothing but this file and Python 3.9 or newer.

    python verify_export.py trail.jsonl --anchors anchors.jsonl --public-key key.pem

Each line of an export is one entry. It carries a hash of its own content and of the entry before it, so that no entry
can be changed, taken out, put in or moved without breaking the chain. Whoever can write the whole chain anew can make
it fit again; that shows against an anchor: the hash of one entry, signed and kept elsewhere at that time.

Ends with 0: the record holds, 1: it does not hold, 2: it could not be checked, or none of the anchors lies in it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import hashlib
import io
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

HOLDS, DOES_NOT_HOLD, NOT_CHECKED = 0, 1, 2
GENESIS = b"0" * 64
PIECE = 20_000
# Breaks that are looked into; of those beyond only the number is told.
BREAKS_KEPT = 50
# How far an entry may have been moved or renumbered for its old number to be found.
NUMBERS_TRIED = 5_000
BYTES_TRIED = 10_000_000

# (number, hash of the content, own hash, hash of the entry before, content). The content of one that is left out of an
# excerpt is None. What is not written as an entry is has no hash of its content; its number may be None.
if TYPE_CHECKING:  # Python 3.9 cannot say it when it runs
    from typing import Self

    Entry = tuple[int | None, bytes | None, bytes, bytes, bytes | None]
else:
    Entry = tuple


class CannotCheck(Exception):
    """There is nothing to say about the record: a file is missing, is none of ours, or broke off."""


# --- the one form of an entry

_TEXT = rb'"[^"\\\x00-\x1f]*(?:\\(?:["\\bfnrt]|u00(?:0[0-7be-f]|1[0-9a-f]))[^"\\\x00-\x1f]*)*"'
_WHOLE = rb'(?:null|-?[1-9][0-9]{0,15}|0|"-?[0-9]{16,}")'
_TEXT_OR_NULL = rb"(?:null|%b)" % _TEXT
_TIME = rb'"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"'
_SEQUENCE = rb"([1-9][0-9]{0,15})"
# Most data is flat and short: four keys at most are read at once, everything else as JSON, slowly.
_VALUE = rb"(?:%b|null|true|false|0|-?[1-9][0-9]{0,14}|\{\}|\[\])" % _TEXT
_PAIR = rb'"([A-Za-z0-9_]+)":' + _VALUE
_FLAT = rb"\{%b(?:,%b(?:,%b(?:,%b)?)?)?\}" % (_PAIR, _PAIR, _PAIR, _PAIR)
_DATA = rb'(?:\{\}|%b|(\{".*\}))' % _FLAT

_FORM = (
    ("account_id", _WHOLE),
    ("actor_id", _WHOLE),
    ("actor_name", _TEXT),
    ("at", _TEXT),
    ("attempt_id", _TEXT_OR_NULL),
    ("broker_status", _TEXT),
    ("client_order_id", _TEXT),
    ("data", _DATA),
    ("filled_quantity", _TEXT_OR_NULL),
    ("http_status", _WHOLE),
    ("kill_id", _TEXT_OR_NULL),
    ("kind", _TEXT),
    ("latency_us", _WHOLE),
    ("leaves_quantity", _TEXT_OR_NULL),
    ("order_id", _TEXT),
    ("outcome", _TEXT),
    ("quantity", _TEXT_OR_NULL),
    ("request_id", _TEXT),
    ("sentence", _TEXT),
    ("sequence", _SEQUENCE),
    ("side", _TEXT),
    ("source", _TEXT),
    ("symbol", _TEXT),
)
_match_content = re.compile(b"{%b}" % b",".join(b'"%b":%b' % (n.encode(), form) for n, form in _FORM)).fullmatch
_match_data = re.compile(_DATA).fullmatch
_match_skeleton = re.compile(
    rb'\{"content":"([0-9a-f]{64})","hash":"([0-9a-f]{64})","previous_hash":"([0-9a-f]{64})","sequence":%b\}'
    % _SEQUENCE
).fullmatch
_SUFFIX = len(b',"hash":"","previous_hash":""}') + 128


def number_of(content: bytes) -> int | None:
    """Return the number that an entry gives itself, or None where it is not written in the one form of an entry.

    Whatever a reader could take in two ways is not: keys that stand twice or elsewhere, blanks, other escapes.
    """
    match = _match_content(content)
    if match is None:
        return None
    *keys, sequence = match.groups()
    if not _is_in_order(*keys):
        return None
    if not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError:
            return None
    return int(sequence)


def has_form(data: bytes) -> bool:
    """Say whether the data of an entry are written in the one form."""
    match = _match_data(data)
    return match is not None and _is_in_order(*match.groups())


def _is_in_order(
    first: bytes | None, second: bytes | None, third: bytes | None, fourth: bytes | None, nested: bytes | None
) -> bool:
    if nested:
        return nested in _known or _is_canonical(nested)
    if second is None or first is None:
        return True
    return first < second and (third is None or (second < third and (fourth is None or third < fourth)))


_known: set[bytes] = set()  # data that was found to be in its form: much of it comes again and again


def _is_canonical(data: bytes) -> bool:
    """Say whether data is a JSON object in the form of RFC 8785, without fractions."""
    try:
        value = _read_json(data.decode())
        if not isinstance(value, dict) or _written(value).encode() != data:
            return False
    except (ValueError, RecursionError):
        return False
    if len(_known) > 5_000:
        _known.clear()
    _known.add(data)
    return True


def _refuse(text: str) -> Any:
    raise ValueError(f"not a number that an entry has: {text}")


def _whole(text: str) -> int:
    value = int(text) if len(text) < 18 else _refuse(text)
    return value if abs(value) < 2**53 else _refuse(text)


_read_json = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse, parse_int=_whole).decode
_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _written(value: Any) -> str:
    """Write a value as RFC 8785 does: keys in the order of their UTF-16 units."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_write_json(key)}:{_written(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return _write_json(value)


def _hex(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()


def link(content_hash: bytes, previous_hash: bytes) -> bytes:
    """Return the hash of an entry, from that of its content and that of the entry before."""
    return _hex(b'{"content":"%b","previous_hash":"%b"}' % (content_hash, previous_hash))


def entry_of(content: bytes, own: bytes, previous: bytes, number: int | None = None) -> Entry:
    """Read what an entry tells. `number` is that of its place, for one that is not written as an entry is."""
    told = number_of(content)
    if told is None or told != (number or told):
        return number, None, own, previous, None
    return told, hashlib.sha256(content).hexdigest().encode(), own, previous, content


# --- lines


def entries_of(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Read the lines of an export. Raises CannotCheck for what is none, and where the last line broke off."""
    is_first = True
    for line in lines:
        text = line[:-2] if line.endswith(b"\r\n") else line[:-1] if line.endswith(b"\n") else line
        if is_first:
            text = text.removeprefix(b"\xef\xbb\xbf") if text else text
        if not text:
            continue
        entry = entry_of_line(text)
        if entry[1] is None:
            if is_first and not _looks_like_an_entry(text):
                raise CannotCheck("This file is not an export of the audit trail (JSON Lines) as Killswitch writes it.")
            if text is line and not _is_json(text):
                raise CannotCheck(
                    "The last line of the file broke off: it was not copied or downloaded to its end. "
                    "Get it again and check that."
                )
        is_first = False
        yield entry


def entry_of_line(line: bytes) -> Entry:
    if (
        line[-_SUFFIX : 73 - _SUFFIX - 64] == b',"hash":"'
        and line[-85:-66] == b'","previous_hash":"'
        and line[-2:] == b'"}'
    ):
        return entry_of(line[:-_SUFFIX] + b"}", line[-149:-85], line[-66:-2])
    match = _match_skeleton(line)
    if match is None:
        return None, None, b"", b"", None
    content_hash, own, previous, sequence = match.groups()
    return int(sequence), content_hash, own, previous, None


def _looks_like_an_entry(text: bytes) -> bool:
    return text.lstrip().startswith(b"{") and all(
        name in text for name in (b'"hash"', b'"previous_hash"', b'"sequence"')
    )


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


# --- Ed25519 (RFC 8032), only to verify

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]  # X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z
_NEUTRAL: _Point = (0, 1, 1, 0)


def _add(a: _Point, b: _Point) -> _Point:
    p = (a[1] - a[0]) * (b[1] - b[0]) % _P
    q = (a[1] + a[0]) * (b[1] + b[0]) % _P
    r = 2 * a[3] * b[3] * _D % _P
    s = 2 * a[2] * b[2] % _P
    e, f, g, h = q - p, s - r, s + r, q + p
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _read_point(text: bytes) -> _Point | None:
    """Return the point that 32 bytes stand for, or None where they stand for none or are not its one form."""
    y = int.from_bytes(text, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


def _write_point(point: _Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _is_neutral(point: _Point) -> bool:
    return point[0] % _P == 0 and (point[1] - point[2]) % _P == 0


class _Multiples:
    """All that is needed to multiply one point quickly: 256 multiples for each of the 32 bytes of a number."""

    def __init__(self, point: _Point) -> None:
        self._rows = []
        for _ in range(32):
            row = [_NEUTRAL]
            for _ in range(255):
                row.append(_add(row[-1], point))
            self._rows.append(row)
            point = _add(row[-1], point)

    def times(self, number: int) -> _Point:
        total = _NEUTRAL
        for row, digit in zip(self._rows, number.to_bytes(32, "little")):  # noqa: B905  (Python 3.9)
            if digit:
                total = _add(total, row[digit])
        return total


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_base: _Multiples | None = None


class PublicKey:
    """An Ed25519 key that may have signed an anchor. Raises ValueError for what is none, or one that fits anything."""

    def __init__(self, raw: bytes) -> None:
        point = _read_point(raw) if len(raw) == 32 else None
        if point is None:
            raise ValueError("these are not the 32 bytes of an Ed25519 public key")
        eightfold = point
        for _ in range(3):
            eightfold = _add(eightfold, eightfold)
        if _is_neutral(eightfold):
            raise ValueError("every signature fits this key: it was made to deceive")
        self.raw = raw
        self.name = hashlib.sha256(raw).hexdigest()[:16]
        self._minus: _Multiples | None = None
        self._point = point

    def fits(self, signature: bytes, message: bytes) -> bool:
        """Say whether the owner of this key signed the message."""
        global _base
        if len(signature) != 64:
            return False
        s = int.from_bytes(signature[32:], "little")
        if s >= _L:
            return False
        if _base is None:
            base = _read_point(_BASE_Y.to_bytes(32, "little"))
            _base = _Multiples(base or _NEUTRAL)
        if self._minus is None:
            x, y, z, t = self._point
            self._minus = _Multiples((_P - x, y, z, _P - t))
        k = int.from_bytes(hashlib.sha512(signature[:32] + self.raw + message).digest(), "little") % _L
        return _write_point(_add(_base.times(s), self._minus.times(k))) == signature[:32]


_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_PEM_START = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of Ed25519 (RFC 8410), the key after it


def public_keys_of(pem: str) -> list[PublicKey]:
    """Read one or several public keys. Raises CannotCheck."""
    keys = []
    for label, body in _PEM.findall(pem):
        if label != "PUBLIC KEY":
            secret = " Keep that file secret." if "PRIVATE" in label else ""
            raise CannotCheck(f"A public key is needed, and this is: {label.lower()}.{secret}")
        try:
            der = base64.b64decode("".join(body.split()), validate=True)
            if der[:12] != _PEM_START:
                raise ValueError("it is of another kind")
            keys.append(PublicKey(der[12:]))
        except ValueError as error:
            raise CannotCheck(f"The public key cannot be used: {error}. It must be an Ed25519 key in PEM.") from None
    if not keys:
        raise CannotCheck('There is no public key in this file: it must hold "-----BEGIN PUBLIC KEY-----".')
    return keys


# --- anchors


class Anchor(NamedTuple):
    """The hash that one entry had at a time, signed."""

    sequence: int
    hash: bytes
    at: str
    key: str
    signature: bytes
    signed: bytes  # what the signature is taken over


_match_anchor = re.compile(
    rb'(\{"algorithm":"ed25519","at":%b,"hash":"[0-9a-f]{64}","key":"[0-9a-f]{16}","sequence":[1-9][0-9]{0,15})'
    rb',"signature":"([A-Za-z0-9+/]{86}==)"\}' % _TIME
).fullmatch


def anchor_of(line: bytes) -> Anchor | None:
    """Read an anchor, or return None where it is not written as an anchor is."""
    match = _match_anchor(line)
    if match is None:
        return None
    signed = match[1] + b"}"
    told = json.loads(signed)
    signature = base64.b64decode(match[2])
    return Anchor(told["sequence"], told["hash"].encode(), told["at"], told["key"], signature, signed)


def anchors_of(lines: Iterable[bytes]) -> list[Anchor | bytes]:
    """Read a file of anchors; what is not written as an anchor is comes as it stands. Raises CannotCheck."""
    anchors: list[Anchor | bytes] = []
    for line in lines:
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        anchor = anchor_of(text) if text else None
        if text and anchor is None and not line.endswith(b"\n") and not _is_json(text):
            raise CannotCheck("The last line of the anchors broke off: get that file again.")
        if text:
            anchors.append(anchor or text)
    if not anchors:
        raise CannotCheck("There is no anchor in that file.")
    if all(isinstance(anchor, bytes) and b'"signature"' not in anchor for anchor in anchors):
        raise CannotCheck("That file does not hold anchors: each line must be one, as Killswitch wrote it.")
    return anchors


def check_anchors(anchors: Iterable[Anchor | bytes], keys: Sequence[PublicKey]) -> tuple[list[Anchor], list[Finding]]:
    """Return the anchors that one of the keys signed, in the order of their entries, and what is wrong with others."""
    by_name = {key.name: key for key in keys}
    good, findings = [], []
    for place, anchor in enumerate(anchors, 1):
        if isinstance(anchor, bytes):
            findings.append(Finding("anchor_edited", None, None, place=place))
        elif anchor.key not in by_name:
            findings.append(Finding("anchor_foreign", anchor.sequence, anchor.sequence, place=place, detail=anchor.key))
        elif not by_name[anchor.key].fits(anchor.signature, anchor.signed):
            findings.append(Finding("anchor_edited", anchor.sequence, anchor.sequence, place=place))
        else:
            good.append(anchor)
    return sorted(good, key=lambda anchor: anchor.sequence), findings


# --- findings, in words


@dataclass
class Finding:
    """What does not hold: in which way, and at which entry or within which range of entries."""

    kind: str
    first: int | None
    last: int | None
    place: int = 0  # line of the file; 0 where it is not at one
    detail: str = ""

    @property
    def word(self) -> str:
        return WORDS[self.kind][0]

    @property
    def found(self) -> str:
        found = self._say(WORDS[self.kind][1])
        return found[0].upper() + found[1:]

    @property
    def means(self) -> str:
        return self._say(WORDS[self.kind][2])

    def _say(self, words: str) -> str:
        last = "?" if self.last is None else f"{self.last:,}"
        return words.format(where=self.where, last=last, detail=self.detail).rstrip()

    @property
    def where(self) -> str:
        """Name the entry or entries."""
        if self.first is None:
            return f"line {self.place:,}"
        if self.last is None or self.last == self.first:
            return f"entry {self.first:,}"
        return f"entries {self.first:,} to {self.last:,}"


_TOUCHED = "Somebody or something changed the record, or this copy of it, after it was written."
_CHAIN_ANEW = (
    "Whoever did this could compute hashes and write to the record. The anchor is proof: "
    "it was signed when the record still read otherwise."
)

# Kind: the word for it, what was found, what that means.
WORDS = {
    "edited": (
        "EDITED",
        "{where}: what it tells does not fit the hash that was made of it when it was written. {detail}",
        _TOUCHED + " What this entry tells cannot be relied on.",
    ),
    "edited_form": (
        "EDITED",
        "{where} is not written in the one form that entries have.",
        _TOUCHED + " It may also be that a program rewrote the file on its way: compare with a fresh export.",
    ),
    "edited_hash": (
        "EDITED",
        "{where}: its own hash was changed. What it tells still fits the entry after it.",
        _TOUCHED + " What this entry tells seems to be what was written.",
    ),
    "edited_previous": (
        "EDITED",
        "{where}: the hash of the entry before, which it names, was changed. What it tells still fits its own hash.",
        _TOUCHED + " What this entry tells seems to be what was written.",
    ),
    "edited_anew": (
        "EDITED",
        "{where} was written anew, with its hash. The entry after it, for which an anchor vouches, names another.",
        "Whoever did this could compute hashes and write to the record. What this entry tells cannot be relied on.",
    ),
    "times": (
        "EDITED",
        "{where}: the note of which times lie there does not fit them.",
        "A search by time may have missed entries there. What the entries tell was checked by itself.",
    ),
    "missing": (
        "MISSING",
        "{where}: not there. {detail}",
        "Entries were taken out of the record, or of this copy of it. What they told is not known from here.",
    ),
    "inserted": (
        "INSERTED",
        "{where}: does not belong there. {detail}",
        "Something was put into the record, or into this copy of it, that was not written at that time.",
    ),
    "reordered": (
        "RE-ORDERED",
        "{where}: another entry stands there. {detail}",
        "Entries were moved. Each may tell what was written, but not in the order in which it happened.",
    ),
    "cut_off": (
        "CUT OFF",
        "{where}: not there, though an anchor was signed for {last} or later. The record ends before.",
        "The end of the record, or of this copy of it, was taken away. What it told is not known from here.",
    ),
    "beginning": (
        "CUT OFF",
        "{where}: not there. {detail}",
        "The beginning of the record, or of this copy of it, was taken away.",
    ),
    "short": (
        "CUT OFF",
        "{where}: not there, though they were expected. The record ends before.",
        "The end of the record, or of this copy of it, was taken away. What it told is not known from here.",
    ),
    "forked": (
        "FORKED",
        "{where} and the entry after do not belong to one chain. {detail}",
        "Either {where} was written anew with its hash, or everything after it was put in place of something else. "
        "An anchor would tell which.",
    ),
    "forked_after": (
        "FORKED",
        "{where}: does not follow the entry before, for which an anchor vouches.",
        "From there on another chain was put in place of the one that was written at that time.",
    ),
    "forked_twice": (
        "FORKED",
        "{where} is there twice, telling different things, both following the same entry.",
        "There are two versions of the record from there on. Only one was written at that time.",
    ),
    "forked_genesis": (
        "FORKED",
        "{where} names an entry before it, though it is the first.",
        "The beginning of the record was replaced.",
    ),
    "written_anew": (
        "FORKED",
        "the record was written anew within {where}: at {last} it does not have the hash that was anchored. {detail}",
        _CHAIN_ANEW,
    ),
    "anchor_foreign": (
        "ANCHOR OF ANOTHER KEY",
        "the anchor of {where} is signed by key {detail}, which is none of those given.",
        "Either the key was changed at that time: then give its public key as well. "
        "Or somebody else signed it, to cover up something: then trust only anchors from elsewhere.",
    ),
    "anchor_edited": (
        "ANCHOR EDITED",
        "the anchor of {where} does not carry the signature of its key.",
        "It was changed after it was signed, or made without the key. It proves nothing; compare with the same anchor "
        "from another place.",
    ),
}
TO_DO = (
    "Keep the record, every copy of it and the anchors as they are. Compare with a second export, a backup, and the "
    "anchors from every other place they were sent to. Tell whoever is in charge of the record; do not restart or "
    "repair anything before."
)


# --- the walk


@dataclass
class Break:
    """Where the chain does not go on as it should, as seen when it was passed."""

    place: int
    number: int | None
    expected: int
    has_form: bool = True
    fits_itself: bool = False
    follows: bool = False
    part: str = ""  # the one hash that was changed
    sealed_as: int | None = None  # the number under which its hash was made
    twin: str = ""  # how it stands to the entry of the same number just before
    came_later: bool = False  # what was expected here stands further on
    is_way_back: bool = False  # what was expected here was passed before
    vouched_after: bool = False  # an anchor vouches for it
    vouched_before: bool = False  # an anchor vouches for the entry before it


@dataclass
class Walk:
    """Follows a chain entry by entry, compares it with anchors, and notes where it breaks.

    `is_excerpt`: entries may be left out. `head` is the hash of the entry before the first, where it is known.
    """

    anchors: Sequence[Anchor] = ()
    is_excerpt: bool = False
    head: bytes | None = None
    expected: int | None = None  # the number that comes next; None before the first
    checked: int = 0
    skeletons: int = 0
    gaps: int = 0
    first: int | None = None
    last: int | None = None
    breaks: list[Break] = field(default_factory=list)
    break_count: int = 0
    held: list[int] = field(default_factory=list)  # the first and the last entry whose anchor holds
    held_count: int = 0
    differs: tuple[int, str, int] | None = None  # the first that does not: its entry, its time, the last that held
    proven: int = 0  # entries for which an anchor vouches
    _unproven: int = 1
    _other_head: bytes | None = None
    _head_before: bytes | None = None  # that of the last break
    _before: Entry | None = None
    _at: int = 0
    _highest: int = 0  # number passed before the last break
    _missing: list[tuple[int, int, Break]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.expected
        self._unproven = self.expected or 1

    def follow(self, entries: Iterable[Entry]) -> int:
        """Go on with these entries; return how many they were."""
        sha256, before = hashlib.sha256, self._before
        began_with = expected = self.expected
        head, anchored = self.head, self._anchored
        count = 0
        for entry in entries:
            count += 1
            number, content_hash, own, previous, content = entry
            if content is None:
                self.skeletons += content_hash is not None
            if (
                number != expected
                or previous != head
                or content_hash is None
                or sha256(b'{"content":"%b","previous_hash":"%b"}' % (content_hash, previous)).hexdigest().encode()
                != own
            ):
                self.expected, self.head, self._before = expected, head, before
                self._stumble(entry, self.checked + count)
                expected = self.expected
                number = expected - 1  # type: ignore[operator]
                anchored = self._anchored
            else:
                expected += 1  # type: ignore[operator]
            head, before = own, entry
            if number >= anchored:  # type: ignore[operator]
                self._compare(number, own)  # type: ignore[arg-type]
                anchored = self._anchored
        self.expected, self.head, self._before = expected, head, before
        self.checked += count
        if expected is not None and count:
            self.first = began_with if self.first is None else self.first
            self.last = max(self.last or 0, expected - 1)
        return count

    @property
    def _anchored(self) -> int:
        return self.anchors[self._at].sequence if self._at < len(self.anchors) else 2**63

    def _compare(self, number: int, own: bytes) -> None:
        """Hold the entry against its anchors, and pass those of entries that are not there."""
        held = self.held[-1] if self.held else 0
        while self._anchored <= number:
            anchor = self.anchors[self._at]
            self._at += 1
            if anchor.sequence < number:
                continue
            if anchor.hash != own:
                self.differs = self.differs or (number, anchor.at, held)
                continue
            self.held = [*self.held[:1], number]
            self.held_count += 1
            self.proven += max(0, number - self._unproven + 1)
            self._unproven = number + 1
            if self.breaks and self.break_count == len(self.breaks):
                self.breaks[-1].vouched_after = True

    def _stumble(self, entry: Entry, place: int) -> None:
        """Look at an entry that is not simply the next one, and go on from it."""
        number, content_hash, own, previous, _ = entry
        if self.expected is None:
            # Nothing is known of what stands before it, but that the very first follows nothing.
            self.expected = number or 1
            self.head = self.head or (GENESIS if self.expected == 1 else previous)
        if self.first is None and place > 1:
            self.first = self._began
        elif self.first is None:
            self.first = self._unproven = number or self.expected
        self.last = max(self.last or 0, self.expected - 1)
        if content_hash is not None and number is not None:
            fits = link(content_hash, previous) == own
            is_next, follows = number == self.expected, previous == self.head
            if fits and ((is_next and follows) or (self.is_excerpt and number > self.expected)):
                if number > self.expected:
                    self.gaps += 1
                    self._unproven = number
                self._go_on(number, None)
                return
            if fits and is_next and previous == self._other_head:
                # Only the hash of the one before was changed, and it is told already.
                self.breaks[-1].part = "hash"
                self._go_on(number, None)
                return
            if fits and number == self.expected - 1 and previous == self._head_before and self._was_told(number):
                # The one before was told already: this is the one in whose place it stands.
                self.breaks[-1].part = "extra"
                self._go_on(number, None)
                return
        self._note(entry, place)
        self._head_before = self.head
        self._unproven = (number or self.expected) + 1
        self._go_on(number or self.expected, link(content_hash, previous) if content_hash else None)

    def _was_told(self, number: int) -> bool:
        return bool(self.breaks) and self.break_count == len(self.breaks) and self.breaks[-1].number == number

    def _go_on(self, number: int, other_head: bytes | None) -> None:
        self.expected = number + 1
        self._other_head = other_head if self.break_count == len(self.breaks) else None

    def _note(self, entry: Entry, place: int) -> None:
        number, content_hash, own, previous, content = entry
        expected, head = self.expected or 1, self.head or GENESIS
        self.break_count += 1
        highest = self._highest
        self._highest = max(highest, expected - 1, number or 0)
        if self.is_excerpt and number is not None and number > expected:
            self.gaps += 1
            expected, head = number, previous
        found = Break(place, number, expected, has_form=content_hash is not None)
        if number is not None and (self._came_back(number) or number < (self.first or 1)):
            found.came_later = True
        if len(self.breaks) >= BREAKS_KEPT:
            return
        self.breaks.append(found)
        found.is_way_back = number is not None and number > expected and expected <= highest
        found.vouched_before = bool(self.held) and self.held[-1] == expected - 1
        if content_hash is not None:
            found.fits_itself = link(content_hash, previous) == own
            found.follows = previous == head
            if not found.fits_itself:
                if not found.follows and link(content_hash, head) == own:
                    found.part = "previous"
                elif content is not None:
                    found.sealed_as = _sealed_as(content, own, previous)
        if number is not None and number > expected:
            self._missing.append((expected, number - 1, found))
        before = self._before
        if number is not None and before is not None and before[0] == number and expected == number + 1:
            is_copy, is_twin = own == before[2], previous == before[3]
            found.twin = "copy" if is_copy else "fork" if is_twin and found.fits_itself else "other"

    def _came_back(self, number: int) -> bool:
        """Note that an entry which was missed stands here, and say whether it was missed."""
        for first, last, missed in self._missing:
            if first <= number <= last:
                missed.came_later = True
                return True
        return False

    # --- what it comes to

    def findings(self) -> list[Finding]:
        """Return what does not hold, the first first."""
        found = self._chain()
        if self.differs:
            number, at, held = self.differs
            detail = f"Up to entry {held:,} an anchor holds." if held else "No anchor before it holds or is at hand."
            range_ = Finding("written_anew", max(held + 1, self.first or 1), number, detail=f"Anchor of {at}. {detail}")
            if not any(b.number == number and not b.fits_itself for b in self.breaks):
                is_later = bool(found) and (found[0].first or 0) <= number
                found.insert(1 if is_later else 0, range_)
        return found

    def _chain(self) -> list[Finding]:
        found: list[Finding] = []
        if not self.breaks:
            return found
        shifts = [(b.sealed_as - b.expected, b) for b in self.breaks if b.sealed_as and b.number == b.expected]
        moved = self._moved(shifts)
        if moved:
            # What comes after it is the same change, seen again and again.
            found.append(moved)
            shown = [b for b in self.breaks if b.expected < (moved.first or 0)]
        else:
            shown = self.breaks
        found.extend(filter(None, (_named(one, self.is_excerpt) for one in shown)))
        return sorted(found, key=lambda finding: finding.first or 0) if moved else found

    def _moved(self, shifts: list[tuple[int, Break]]) -> Finding | None:
        """Name entries that were put in or taken out, or moved, and the numbers of others changed to hide it."""
        if not shifts:
            return None
        shift, at = shifts[0]
        number = at.expected
        all_shifts = [shift for shift, _ in shifts]
        grows = all_shifts == sorted(all_shifts, key=abs) and (min(all_shifts) > 0 or max(all_shifts) < 0)
        if not grows:
            detail = f"It was written as entry {number + shift:,}, and numbers were changed."
            return Finding("reordered", number, number, at.place, detail)
        if shift > 0:
            detail = f"The entries after were numbered anew: what is now {number:,} was written as {number + shift:,}."
            return Finding("missing", number, number + shift - 1, at.place, detail)
        detail = f"The entries after were numbered anew: what is now {number:,} was written as {number + shift:,}."
        return Finding("inserted", number + shift, number - 1, at.place, detail)

    @property
    def ends_before(self) -> Anchor | None:
        """Return the last anchor that is beyond the end of what was followed."""
        return self.anchors[-1] if self.anchors and self.anchors[-1].sequence > (self.last or 0) else None

    def anchor_of(self, sequence: int) -> Anchor | None:
        return next((anchor for anchor in self.anchors if anchor.sequence == sequence), None)

    # --- put down and taken up again

    def kept(self) -> dict[str, Any]:
        """Return how far this is, as JSON can keep it. The anchors are to be given again."""
        told = {name: getattr(self, name) for name in _KEPT}
        told["head"] = self.head.decode() if self.head is not None else None
        told["breaks"] = [asdict(one) for one in self.breaks]
        return told

    @classmethod
    def taken_up(cls, kept: dict[str, Any], anchors: Sequence[Anchor]) -> Self:
        walk = cls(anchors=anchors)
        for name in _KEPT:
            setattr(walk, name, kept[name])
        walk.head = kept["head"].encode() if kept["head"] is not None else None
        walk.breaks = [Break(**one) for one in kept["breaks"]]
        walk.differs = tuple(kept["differs"]) if kept["differs"] else None  # type: ignore[assignment]
        walk._missing = [(b.expected, (b.number or 0) - 1, b) for b in walk.breaks if (b.number or 0) > b.expected]
        while walk._anchored < (walk.expected or 0):
            walk._at += 1
        return walk


_KEPT = (
    *("is_excerpt", "expected", "checked", "skeletons", "gaps", "first", "last", "break_count", "held", "held_count"),
    *("differs", "proven", "_unproven", "_highest"),
)


def _sealed_as(content: bytes, own: bytes, previous: bytes) -> int | None:
    """Find the number under which an entry was sealed, where its number is all that was changed."""
    start, name, rest = content.rpartition(b',"sequence":')
    digits, comma, rest = rest.partition(b",")
    number = int(digits)
    # Of a very long entry fewer numbers are tried: nobody waits for minutes because somebody wrote a huge one.
    for distance in range(1, min(NUMBERS_TRIED, BYTES_TRIED // len(content))):
        for tried in (number - distance, number + distance):
            if tried > 0 and link(_hex(b"%b%b%d%b%b" % (start, name, tried, comma, rest)), previous) == own:
                return tried
    return None


def _named(found: Break, is_excerpt: bool) -> Finding | None:
    """Name one break by what it shows alone."""
    number, expected, place = found.number, found.expected, found.place
    if not found.has_form:
        return Finding("edited_form", number or expected, number or expected, place)
    if number is None:
        return None
    if number > expected:
        if found.is_way_back:
            return None
        if found.sealed_as == expected:
            return Finding("edited", expected, expected, place, f"Its number was changed to {number:,}.")
        if found.came_later:
            return Finding("reordered", expected, expected, place, f"Entry {number:,} is there instead.")
        detail = f"Entry {number:,} comes right after entry {expected - 1:,}." if expected > 1 else ""
        return Finding("missing" if expected > 1 else "beginning", expected, number - 1, place, detail)
    if number < expected:
        if found.twin == "fork":
            return Finding("forked_twice", number, number, place)
        if found.twin == "copy":
            return Finding("inserted", number, number, place, "It is there twice.")
        if found.twin == "other":
            return Finding("inserted", number, number, place, "There are two entries of that number.")
        if found.came_later or is_excerpt:
            return Finding("reordered", number, number, place, f"It comes after entry {expected - 1:,}.")
        return Finding("inserted", number, number, place, f"It stands again after entry {expected - 1:,}.")
    if found.part in ("hash", "previous"):
        return Finding(f"edited_{found.part}", number, number, place)
    if found.part == "extra":
        return Finding("inserted", number, number, place, "The entry that has this number comes after it.")
    if not found.fits_itself:
        return Finding("edited", number, number, place)
    if expected == 1:
        return Finding("forked_genesis", number, number, place)
    if found.vouched_before:
        return Finding("forked_after", number, number, place)
    if found.vouched_after:
        return Finding("edited_anew", number - 1, number - 1, place)
    return Finding("forked", number - 1, number - 1, place)


# --- the verdict


@dataclass
class Report:
    """What was checked and what came of it, for people and for machines."""

    findings: list[Finding]
    first: int | None = None
    last: int | None = None
    checked: int = 0
    left_out: int = 0  # entries that stand there by their hash only
    gaps: int = 0
    breaks: int = 0
    proven: int = 0  # entries for which an anchor vouches
    anchors_given: int = 0
    anchors_held: int = 0
    last_anchor: Anchor | None = None  # of those that hold
    is_file: bool = False  # an export, not the database
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.findings

    @property
    def is_vouched_for(self) -> bool:
        """Say whether one of the anchors that were given lies among the entries."""
        return bool(self.anchors_held) or not self.anchors_given

    @property
    def exit_code(self) -> int:
        if not self.holds:
            return DOES_NOT_HOLD
        # Whoever gives anchors asks whether they hold: that none says anything is no answer.
        return HOLDS if self.is_vouched_for else NOT_CHECKED

    @property
    def headline(self) -> str:
        if self.findings:
            found = self.findings[0]
            if found.kind == "written_anew":
                return f"DOES NOT HOLD: {found.word}, somewhere within {found.where}."
            return f"DOES NOT HOLD: {found.word}, {found.where}."
        whole = "each on its own" if self.gaps else "complete, in order, unchanged"
        if self.left_out and not self.gaps:
            left_out = _counted(self.left_out, "of them is", "of them are")
            whole = f"in order, unchanged. {left_out} left out of this file and stand there by their hashes only"
        if self.is_file and not self.is_vouched_for:
            return (
                f"NOT VOUCHED FOR: {_range(self.first, self.last)}, {whole}, and none of the anchors lies among them."
            )
        return f"HOLDS: {_range(self.first, self.last)}, {whole}."

    @property
    def verdict(self) -> str:
        if not self.holds:
            return "does_not_hold"
        return "not_vouched_for" if self.is_file and not self.is_vouched_for else "holds"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can keep it."""
        last = self.last_anchor
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "findings": [
                {
                    "kind": found.word.lower(),
                    "detail": found.kind,
                    "first": found.first,
                    "last": found.last,
                    "line": found.place or None,
                    "found": found.found,
                    "means": found.means,
                }
                for found in self.findings[:BREAKS_KEPT]
            ],
            "to_do": "" if self.holds else TO_DO,
            "first": self.first,
            "last": self.last,
            "checked": self.checked,
            "left_out": self.left_out,
            "gaps": self.gaps,
            "breaks": self.breaks,
            "proven_by_anchors": self.proven,
            "anchors": {
                "given": self.anchors_given,
                "hold": self.anchors_held,
                "last": last and {"sequence": last.sequence, "at": last.at, "key": last.key},
            },
            "notes": self.notes,
        }


def text_of_json(told: dict[str, Any]) -> str:
    """Write what a report says as JSON for people."""
    lines = [told["headline"], ""]
    for number, found in enumerate(told["findings"][:FINDINGS_SHOWN]):
        at = f" (line {found['line']:,})" if found["line"] and found["first"] is not None else ""
        lines += [f"{'Also found' if number else 'Found'}: {found['found']}{at}", f"  {found['means']}", ""]
    if len(told["findings"]) > FINDINGS_SHOWN or told["breaks"] > len(told["findings"]):
        lines += [f"The chain breaks at {_counted(told['breaks'], 'place', 'places')} in all.", ""]
    if told["to_do"]:
        lines += [f"What to do: {told['to_do']}", ""]
    checked = _counted(told["checked"], "entry", "entries")
    lines += [f"Checked: {checked}, {_range(told['first'], told['last'])}."]
    lines += [f"- {note}" for note in told["notes"]]
    return "\n".join(lines)


FINDINGS_SHOWN = 5


def _range(first: int | None, last: int | None) -> str:
    if first is None or last is None:
        return "no entry"
    return f"entry {first:,}" if first == last else f"entries {first:,} to {last:,}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def report(
    walk: Walk,
    *,
    anchors_given: int = 0,
    wrong_anchors: Sequence[Finding] = (),
    starts_at: int | None = None,
    up_to: int | None = None,
    must_reach_anchors: bool | None = None,
) -> Report:
    """Say what a walk that is over has shown.

    `starts_at` and `up_to` are the entries that should be there. An anchor beyond the last of them shows that the end
    is missing, unless `must_reach_anchors` is off: left open, that is so for what begins with the very first entry and
    was not said to end earlier.
    """
    findings = walk.findings()
    first, last = walk.first, walk.last or 0
    beyond = walk.ends_before
    is_file = must_reach_anchors is None
    if must_reach_anchors is None:
        must_reach_anchors = first == 1 and not walk.is_excerpt and up_to is None
    if starts_at is not None and first is not None and first > starts_at:
        findings.insert(0, Finding("beginning", starts_at, first - 1))
    if beyond and must_reach_anchors:
        findings.append(Finding("cut_off", last + 1, beyond.sequence))
    elif up_to is not None and last < up_to:
        findings.append(Finding("short", last + 1, up_to))
    told = Report(
        findings=[*findings, *wrong_anchors],
        first=first,
        last=walk.last,
        checked=walk.checked,
        left_out=walk.skeletons,
        gaps=walk.gaps,
        breaks=walk.break_count,
        proven=walk.proven,
        anchors_given=anchors_given,
        anchors_held=walk.held_count,
        last_anchor=walk.anchor_of(walk.held[-1]) if walk.held else None,
        is_file=is_file,
    )
    told.notes = list(_notes(told, None if must_reach_anchors else beyond))
    return told


def _notes(told: Report, beyond: Anchor | None) -> Iterator[str]:
    """Say what was proven by this, and what was not."""
    first, last, anchor = told.first, told.last or 0, told.last_anchor
    if told.left_out:
        yield (
            f"{_counted(told.left_out, 'entry is', 'entries are')} left out and there only by hash: "
            "the chain can be followed past them, what they tell is not in this file."
        )
    if told.gaps:
        yield (
            f"This is an excerpt with {_counted(told.gaps, 'gap', 'gaps')}. Each entry was held against its own hash, "
            "and against the entry before it where that is there. This does not show that nothing was left out, nor "
            "that an entry is the one that was written (anybody can compute a hash), except where an anchor vouches "
            "for it. A whole export shows more."
        )
    if first is not None and first > 1:
        yield f"It begins with entry {first:,}: nothing is said about entries before."
    if not told.anchors_given:
        yield (
            "No anchor was given. So this does not show whether the chain was written anew from some entry on, nor "
            "whether entries are missing at its end: give anchors that were kept elsewhere, and the public key."
        )
        return
    if anchor is None:
        yield "No anchor that holds is at one of these entries: none of them is vouched for."
    elif told.gaps or not told.holds:
        yield (
            f"{_counted(told.anchors_held, 'anchor holds', 'anchors hold')}, the last at entry {anchor.sequence:,}, "
            f"signed {anchor.at} by key {anchor.key}. Anchors vouch for {_counted(told.proven, 'entry', 'entries')}."
        )
    else:
        yield (
            f"{_counted(told.anchors_held, 'anchor holds', 'anchors hold')}, the last at entry {anchor.sequence:,}, "
            f"signed {anchor.at} by key {anchor.key}: entries up to that one are what they were then."
        )
    if told.holds and not told.gaps and anchor is not None and anchor.sequence < last:
        yield (
            f"No anchor vouches yet for {_range(anchor.sequence + 1, last)}: they fit the chain, but whoever can "
            "write to the record could have written these anew. An anchor that lies among them settles it: take the "
            "entries up to one."
        )
    if beyond is not None:
        yield (
            f"The anchor at entry {beyond.sequence:,} lies after the last entry of this ({last:,}): nothing is said "
            "about entries after it."
        )


# --- the program


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        try:
            told = check(options)
        except MemoryError:
            # Else it would end with 1, which means something else.
            raise CannotCheck("A line is so long that it does not fit into memory: that is none of ours.") from None
    except CannotCheck as error:
        if options.json:
            print(json.dumps({"verdict": "not_checked", "error": str(error)}))
        else:
            print(f"COULD NOT BE CHECKED: {error}", file=sys.stderr)
        return NOT_CHECKED
    except KeyboardInterrupt:
        print("COULD NOT BE CHECKED: stopped before the end.", file=sys.stderr)
        return NOT_CHECKED
    finding = told.as_json()
    print(json.dumps(finding, indent=2) if options.json else text_of_json(finding))
    if not options.json and not options.excerpt and any(found.kind == "missing" for found in told.findings):
        print("\nIf this file is meant to leave entries out (the export of a search), check it with --excerpt.")
    return told.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Check an export (JSON Lines) of the Killswitch audit trail, offline.",
        epilog="Ends with 0: the record holds, 1: it does not hold, 2: it could not be checked.",
    )
    parser.add_argument("file", metavar="trail.jsonl", help="the export; may be packed with gzip; - is standard input")
    parser.add_argument("--anchors", metavar="FILE", help="anchors that were kept elsewhere, one a line")
    parser.add_argument(
        "--public-key", metavar="FILE", action="append", default=[], help="key of the anchors, PEM; may be given again"
    )
    parser.add_argument("--excerpt", action="store_true", help="entries may be left out: the export of a search")
    parser.add_argument("--from", dest="starts_at", metavar="N", type=_number, help="entry N must be there or before")
    parser.add_argument("--up-to", metavar="N", type=_number, help="it was exported up to entry N, not to its end")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for programs")
    return parser


def _number(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,15}", text):
        raise argparse.ArgumentTypeError("must be a whole number from 1 on")
    return int(text)


def check(options: argparse.Namespace) -> Report:
    """Check what the command line names. Raises CannotCheck."""
    if bool(options.anchors) != bool(options.public_key):
        raise CannotCheck("Anchors and the public key need each other: give --anchors and --public-key.")
    keys = [key for name in options.public_key for key in public_keys_of_file(name)]
    anchors = anchors_of_file(options.anchors) if options.anchors else []
    good, wrong = check_anchors(anchors, keys)
    walk = Walk(anchors=good, is_excerpt=options.excerpt)
    with opened(options.file) as lines:
        entries = entries_of(lines)
        while walk.follow(islice(entries, PIECE)):
            _tell_progress(walk)
    _tell_progress(None)
    if not walk.checked:
        raise CannotCheck("There is no entry in this file: nothing was checked.")
    return report(
        walk, anchors_given=len(anchors), wrong_anchors=wrong, starts_at=options.starts_at, up_to=options.up_to
    )


def _tell_progress(walk: Walk | None) -> None:
    if sys.stderr.isatty():
        print(
            f"\r{walk.checked:>14,} entries " if walk else "\r" + " " * 24 + "\r", end="", file=sys.stderr, flush=True
        )


@contextlib.contextmanager
def opened(name: str) -> Iterator[Any]:
    """Open a file to read its lines, unpacked. Raises CannotCheck for whatever goes wrong until it is closed."""
    try:
        with contextlib.ExitStack() as stack:
            raw: Any = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
            file = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
            start = file.peek(2)[:2]
            if start in (b"\xff\xfe", b"\xfe\xff"):
                raise CannotCheck(
                    f"{name} is written in UTF-16: a program rewrote it on its way. Get the file as it was."
                )
            yield stack.enter_context(gzip.GzipFile(fileobj=file)) if start == b"\x1f\x8b" else file
    except (OSError, EOFError, zlib.error) as error:
        raise CannotCheck(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def public_keys_of_file(name: str) -> list[PublicKey]:
    """Raises CannotCheck."""
    with opened(name) as file:
        return public_keys_of(file.read(1_000_000).decode("ascii", "replace"))


def anchors_of_file(name: str) -> list[Anchor | bytes]:
    """Raises CannotCheck."""
    with opened(name) as lines:
        return anchors_of(lines)


if __name__ == "__main__":
    sys.exit(main())
