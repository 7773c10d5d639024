"""The offline verifier: what it makes of a file, and that it works alone."""

import ast
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from killswitch.audit import chain, verify_export
from killswitch.audit.models import Entry
from killswitch.audit.rows import sealed
from killswitch.audit.verify_export import CannotCheck, PublicKey, number_of, public_keys_of
from tests.audit.evidence import Signer, check, export, write

PROGRAM = Path(verify_export.__file__)
COUNT = 30


@pytest.fixture
def trail(db: None) -> list[bytes]:
    write(COUNT)
    return export()


@pytest.fixture
def signer() -> Signer:
    return Signer()


def hash_of(line: bytes) -> str:
    return str(json.loads(line)["hash"])


def seal(content: bytes, previous_hash: str) -> bytes:
    """Write a line that fits itself and the one before it, whatever its content is."""
    return chain.line(content, chain.link(chain.hash_of(content), previous_hash), previous_hash)


def content_of(line: bytes) -> bytes:
    return line.partition(b',"hash":"')[0] + b"}"


def seal_all(contents: list[bytes]) -> list[bytes]:
    lines, previous_hash = [], chain.GENESIS
    for content in contents:
        lines.append(seal(content, previous_hash))
        previous_hash = hash_of(lines[-1])
    return lines


def skeleton(line: bytes) -> bytes:
    told = json.loads(line)
    content = hashlib.sha256(content_of(line)).hexdigest()
    return chain.skeleton(told["sequence"], content, told["hash"], told["previous_hash"])


class TestWhatHolds:
    def test_with_anchors(self, trail: list[bytes], signer: Signer, tmp_path: Path) -> None:
        answer = check(tmp_path, trail, anchors=[signer.line(20, hash_of(trail[19]))], signers=[signer])
        assert answer.code == 0
        assert answer.text.startswith("HOLDS: entries 1 to 30, complete, in order, unchanged.")
        assert (
            f"1 anchor holds, the last at entry 20, signed 2026-11-21T12:00:00.000000Z by key {signer.name}"
            in answer.text
        )
        assert "No anchor vouches yet for entries 21 to 30" in answer.text

    def test_without_anchors_and_what_that_does_not_show(self, trail: list[bytes], tmp_path: Path) -> None:
        answer = check(tmp_path, trail)
        assert answer.code == 0
        assert "does not show whether the chain was written anew" in answer.text

    def test_one_entry(self, trail: list[bytes], tmp_path: Path) -> None:
        assert check(tmp_path, trail[:1]).text.startswith("HOLDS: entry 1,")

    @pytest.mark.parametrize(
        "changed",
        [
            lambda text: text.rstrip(b"\n"),
            lambda text: text + b"\n\n",
            lambda text: text.replace(b"\n", b"\r\n"),
            lambda text: b"\xef\xbb\xbf" + text,
            gzip.compress,
        ],
        ids=["no end of line", "blank lines", "Windows", "byte order mark", "gzip"],
    )
    def test_whatever_carried_the_file(
        self, changed: Callable[[bytes], bytes], trail: list[bytes], tmp_path: Path
    ) -> None:
        assert check(tmp_path, changed(b"".join(line + b"\n" for line in trail))).code == 0

    def test_anchors_for_other_keys_that_are_given_too(
        self, trail: list[bytes], signer: Signer, tmp_path: Path
    ) -> None:
        other = Signer()
        lines = [signer.line(10, hash_of(trail[9])), other.line(20, hash_of(trail[19]))]
        answer = check(tmp_path, trail, anchors=lines, signers=[signer, other])
        assert answer.told is not None
        assert (answer.code, answer.told["proven_by_anchors"]) == (0, 20)


class TestParts:
    """Files that are not the whole trail: what they claim, and what not."""

    def test_a_range_says_nothing_about_the_rest(self, trail: list[bytes], signer: Signer, tmp_path: Path) -> None:
        anchors = [signer.line(number, hash_of(trail[number - 1])) for number in (5, 15, 25)]
        answer = check(tmp_path, trail[9:20], anchors=anchors, signers=[signer])
        assert answer.code == 0
        assert "nothing is said about entries before" in answer.text
        assert "The anchor at entry 25 lies after the last entry of this (20)" in answer.text
        assert answer.told is not None
        assert answer.told["proven_by_anchors"] == 6

    def test_the_end_of_the_whole_trail_must_be_there(self, trail: list[bytes], signer: Signer, tmp_path: Path) -> None:
        given: dict[str, Any] = {"anchors": [signer.line(25, hash_of(trail[24]))], "signers": [signer]}
        assert check(tmp_path, trail[:20], **given).ways == [("cut off", 21, 25)]
        ends_there = check(tmp_path, trail[:20], "--up-to", "20", **given)
        assert (ends_there.code, ends_there.told and ends_there.told["verdict"]) == (2, "not_vouched_for")
        assert check(tmp_path, trail[:19], "--up-to", "20", **given).ways == [("cut off", 20, 20)]

    def test_its_beginning_too_where_it_is_asked_for(self, trail: list[bytes], tmp_path: Path) -> None:
        assert check(tmp_path, trail[4:], "--from", "1").ways == [("cut off", 1, 4)]
        assert check(tmp_path, trail[4:], "--from", "5").code == 0
        assert check(tmp_path, trail, "--from", "5").code == 0

    def test_skeletons_keep_the_chain_whole(self, trail: list[bytes], signer: Signer, tmp_path: Path) -> None:
        lines = [line if number % 3 else skeleton(line) for number, line in enumerate(trail)]
        answer = check(tmp_path, lines, anchors=[signer.line(30, hash_of(trail[29]))], signers=[signer])
        assert answer.code == 0
        assert "10 entries are left out and there only by hash" in answer.text
        assert answer.told is not None
        assert (answer.told["left_out"], answer.told["proven_by_anchors"]) == (10, 30)

    @pytest.mark.parametrize("name", ["content", "hash", "previous_hash"])
    def test_a_skeleton_cannot_be_edited(self, name: str, trail: list[bytes], tmp_path: Path) -> None:
        told = json.loads(skeleton(trail[9]))
        lines = [*trail[:9], rfc8785.dumps({**told, name: "a" * 64}), *trail[10:]]
        assert check(tmp_path, lines).ways[0] == ("edited", 10, 10)

    def test_a_search_without_skeletons_has_to_be_said(self, trail: list[bytes], tmp_path: Path) -> None:
        found = [trail[3], trail[4], trail[9], trail[20]]
        answer = check(tmp_path, found)
        assert answer.ways[0] == ("missing", 6, 9)
        assert "check it with --excerpt" in answer.text
        answer = check(tmp_path, found, "--excerpt")
        assert answer.code == 0
        assert answer.text.startswith("HOLDS: entries 4 to 21, each on its own.")
        assert "This does not show that nothing was left out" in answer.text

    def test_a_search_is_proven_as_far_as_anchors_reach(
        self, trail: list[bytes], signer: Signer, tmp_path: Path
    ) -> None:
        found = [*trail[3:6], *trail[9:15], trail[20]]
        anchors = [signer.line(number, hash_of(trail[number - 1])) for number in (8, 13, 25)]
        answer = check(tmp_path, found, "--excerpt", anchors=anchors, signers=[signer])
        assert answer.code == 0
        assert answer.told is not None
        assert answer.told["proven_by_anchors"] == 4

    @pytest.mark.parametrize(
        ("spoil", "way"),
        [
            (lambda found: [*found[:2], found[2].replace(b"ann", b"bob"), *found[3:]], ("edited", 10, 10)),
            (lambda found: [found[0], found[2], found[1], found[3]], ("re-ordered", 5, 5)),
            (lambda found: [*found, found[3]], ("inserted", 21, 21)),
        ],
        ids=["edited", "moved", "twice"],
    )
    def test_a_search_that_does_not_hold(
        self, spoil: Callable[[list[bytes]], list[bytes]], way: Any, trail: list[bytes], tmp_path: Path
    ) -> None:
        found = [trail[3], trail[4], trail[9], trail[20]]
        assert check(tmp_path, spoil(found), "--excerpt").ways[0] == way


def fork(trail: list[bytes]) -> list[bytes]:
    """A second entry 10, and all that follows from it, after the first one's."""
    other = seal(content_of(trail[9]).replace(b"ann", b"bob"), hash_of(trail[8]))
    return [*trail[:10], other, *trail[10:]]


def second_branch(trail: list[bytes]) -> list[bytes]:
    branch, previous_hash = [], hash_of(trail[8])
    for line in trail[9:]:
        branch.append(seal(content_of(line).replace(b"ann", b"bob"), previous_hash))
        previous_hash = hash_of(branch[-1])
    return [*trail[:20], *branch[11:]]


class TestWhatDoesNotHold:
    @pytest.mark.parametrize(
        ("spoil", "way"),
        [
            (fork, ("forked", 10, 10)),
            (second_branch, ("forked", 20, 20)),
            (lambda t: [*t[:10], t[9], *t[10:]], ("inserted", 10, 10)),
            (lambda t: [*t[:20], t[9], *t[20:]], ("inserted", 10, 10)),
            (lambda t: [*t[:9], seal(content_of(t[9]), "a" * 64), *t[9:]], ("inserted", 10, 10)),
            (lambda t: [*t[:9], t[9].replace(b"ann", b"bob"), *t[9:]], ("inserted", 10, 10)),
            (lambda t: [*t[:9], t[10], t[9], *t[11:]], ("re-ordered", 10, 10)),
            (lambda t: [*t[:9], t[20], *t[9:20], *t[21:]], ("re-ordered", 10, 10)),
            (lambda t: [*t[:9], *t[10:20], t[9], *t[20:]], ("re-ordered", 10, 10)),
            (lambda t: t[::-1], ("re-ordered", 29, 29)),
            (lambda t: [*t[:9], *t[12:]], ("missing", 10, 12)),
            (lambda t: [*t[:9], b"nonsense", *t[10:]], ("edited", 10, 10)),
            (lambda t: [*t[:9], t[9].replace(b'"hash"', b'"hush"'), *t[10:]], ("edited", 10, 10)),
            (lambda t: [*t[:9], t[9] + b" ", *t[10:]], ("edited", 10, 10)),
            (lambda t: [*t[:9], json.dumps(json.loads(t[9])).encode(), *t[10:]], ("edited", 10, 10)),
        ],
    )
    def test_is_named(
        self, spoil: Callable[[list[bytes]], list[bytes]], way: Any, trail: list[bytes], tmp_path: Path
    ) -> None:
        answer = check(tmp_path, spoil(trail))
        assert answer.code == 1
        assert answer.ways[0] == way

    def test_says_what_to_do(self, trail: list[bytes], tmp_path: Path) -> None:
        answer = check(tmp_path, [*trail[:9], *trail[10:]])
        assert answer.text.startswith("DOES NOT HOLD: MISSING, entry 10.")
        assert "Found: Entry 10: not there. Entry 11 comes right after entry 9. (line 10)" in answer.text
        assert "What to do: Keep the record" in answer.text

    def test_two_anchors_that_contradict_each_other(self, trail: list[bytes], signer: Signer, tmp_path: Path) -> None:
        lines = [signer.line(10, hash_of(trail[9])), signer.line(10, "a" * 64)]
        assert check(tmp_path, trail, anchors=lines, signers=[signer]).ways == [("forked", 1, 10)]

    def test_a_chain_that_is_false_everywhere_takes_no_time(self, trail: list[bytes], tmp_path: Path) -> None:
        """Each entry is looked into only so far, and only so many are."""
        lines = [line.replace(b"ann", b"bob") for line in trail] * 300
        answer = check(tmp_path, lines)
        assert answer.ways[0] == ("edited", 1, 1)
        assert answer.told is not None
        assert answer.told["breaks"] == 9_000
        assert len(answer.told["findings"]) <= verify_export.BREAKS_KEPT


FIRST = {
    "account_id": 1,
    "actor_id": None,
    "actor_name": "ann",
    "at": "2026-11-21T12:00:00.000000Z",
    "attempt_id": None,
    "broker_status": "",
    "client_order_id": "",
    "data": {},
    "filled_quantity": None,
    "http_status": None,
    "kill_id": None,
    "kind": "x",
    "latency_us": None,
    "leaves_quantity": None,
    "order_id": "",
    "outcome": "",
    "quantity": "1.50",
    "request_id": "",
    "sentence": "x",
    "sequence": 1,
    "side": "",
    "source": "",
    "symbol": "",
}
CONTENT = rfc8785.dumps(FIRST)
WORDS = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-chain.LARGEST_NUMBER, chain.LARGEST_NUMBER) | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=10,
)


class TestOneForm:
    """A line that hashes right must have one reading only, for every reader."""

    @given(WORDS, st.dictionaries(WORDS, PLAIN))
    def test_whatever_is_written_as_an_entry_is_one(self, words: str, data: dict[str, Any]) -> None:
        assert number_of(rfc8785.dumps({**FIRST, "sentence": words, "symbol": words, "data": data})) == 1

    @pytest.mark.parametrize(
        ("what", "instead"),
        [
            (b'"sequence":1', b'"sequence":1,"sequence":2'),
            (b'"sequence":1', b'"sequence":01'),
            (b'"sequence":1', b'"sequence":1.0'),
            (b'"sequence":1', b'"sequence":1e0'),
            (b'"sequence":1', b'"sequence":"1"'),
            (b'"sequence":1', b'"sequence": 1'),
            (b'"sequence":1', b'"sequence":-1'),
            (b'"sequence":1', b'"sequence":0'),
            (b'"sentence":"x"', b'"sentence":"y","sentence":"x"'),
            (b'"sentence":"x"', b'"sentence":"x"x"'),
            (b'"sentence":"x"', b'"sentence":"\\u0078"'),
            (b'"sentence":"x"', b'"sentence":"\\/"'),
            (b'"sentence":"x"', b'"sentence":"\\u000A"'),
            (b'"sentence":"x"', b'"sentence":"\\u000a"'),
            (b'"sentence":"x"', b'"sentence":"\\ud800"'),
            (b'"sentence":"x"', b'"sentence":"\xff"'),
            (b'"sentence":"x"', b'"sentence":"\t"'),
            (b'"sentence":"x"', b'"sentence":null'),
            (b'"symbol":""}', b'"symbol":"","symbol":"A"}'),
            (b'"symbol":""}', b'"symbol":"","zzz":1}'),
            (b'"symbol":""}', b'"symbol":""} '),
            (b'"symbol":""}', b'"symbol":""}{}'),
            (b'"symbol":""}', b'"symbol":"","hash":"%b"}' % (b"a" * 64)),
            (b'{"account', b' {"account'),
            (b'{"account_id":1', b'{"aaa":1,"account_id":1'),
            (b'"account_id":1', b'"account_id":-0'),
            (b'"account_id":1', b'"account_id":true'),
            (b'"account_id":1', b'"account_id":"1"'),
            (b'"quantity":"1.50"', b'"quantity":1.50'),
            (b'"at":"2026-11-21T12:00:00.000000Z"', b'"at":null'),
            (b'"data":{}', b'"data":[]'),
            (b'"data":{}', b'"data":{ }'),
            (b'"data":{}', b'"data":{"a":1,"a":2}'),
            (b'"data":{}', b'"data":{"b":1,"a":2}'),
            (b'"data":{}', b'"data":{"a":1,"b":2,"c":3,"b":4}'),
            (b'"data":{}', b'"data":{"a":1,"b":2,"d":3,"c":4}'),
            (b'"data":{}', b'"data":{"a":{"b":1,"b":2}}'),
            (b'"data":{}', b'"data":{"a":{"c":1,"b":2}}'),
            (b'"data":{}', b'"data":{"a":1.5}'),
            (b'"data":{}', b'"data":{"a":[1.0]}'),
            (b'"data":{}', b'"data":{"a":[1e3]}'),
            (b'"data":{}', b'"data":{"a":[NaN]}'),
            (b'"data":{}', b'"data":{"a":[-0]}'),
            (b'"data":{}', b'"data":{"a":9007199254740992}'),
            (b'"data":{}', b'"data":{"a":[9007199254740992]}'),
            (b'"data":{}', b'"data":{"a":[1, 2]}'),
            (b'"data":{}', b'"data":{"a":["\\u0062"]}'),
            (b'"data":{}', b'"data":{"a":"b"},"filled_quantity":null,"data":{"x":1}'),
            (b'"data":{}', b'"data":{"a":"b"},"filled_quantity":null,"x":{}'),
            (b'"data":{}', b'"data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
            (b'"data":{}', '"data":{"\ue000":1,"\U00010000":2}'.encode()),
        ],
    )
    def test_whatever_could_be_read_otherwise_is_none(self, what: bytes, instead: bytes, tmp_path: Path) -> None:
        assert number_of(CONTENT) == 1
        spoiled = CONTENT.replace(what, instead)
        assert spoiled != CONTENT
        assert number_of(spoiled) is None
        # With a hash that fits, as somebody can make who writes to the database.
        assert check(tmp_path, [seal(spoiled, chain.GENESIS)]).ways == [("edited", 1, 1)]

    def test_an_account_too_large_for_readers_of_json_is_text(self) -> None:
        assert number_of(CONTENT.replace(b'"account_id":1', b'"account_id":"9007199254740992"')) == 1


class TestCannotCheck:
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "no entry in this file"),
            (b"\n\n", "no entry in this file"),
            (b"Time,Who,What\n1,2,3\n", "not an export"),
            (b'{"a":1}\n', "not an export"),
            (b"\xff\xfe{\x00", "UTF-16"),
            (b"\x1f\x8bnonsense", "cannot be read"),
        ],
    )
    def test_what_is_no_export(self, content: bytes, why: str, tmp_path: Path) -> None:
        answer = check(tmp_path, content)
        assert (answer.code, answer.told and answer.told["verdict"]) == (2, "not_checked")
        assert why in answer.text

    def test_a_file_that_is_not_there(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert verify_export.main([str(tmp_path / "none.jsonl")]) == 2
        assert "none.jsonl cannot be read: No such file or directory" in capsys.readouterr().err

    @pytest.mark.parametrize("kept", [1, 40, 300, -1, -100])
    def test_a_last_line_that_broke_off(self, kept: int, trail: list[bytes], tmp_path: Path) -> None:
        answer = check(tmp_path, b"\n".join([*trail[:9], trail[9][:kept]]))
        assert answer.code == 2
        assert "broke off" in answer.text

    def test_a_packed_file_that_broke_off(self, trail: list[bytes], tmp_path: Path) -> None:
        assert check(tmp_path, gzip.compress(b"\n".join(trail))[:-20]).code == 2

    def test_anchors_without_a_key_and_a_key_without_anchors(
        self, trail: list[bytes], signer: Signer, tmp_path: Path
    ) -> None:
        assert check(tmp_path, trail, anchors=[signer.line(30, hash_of(trail[29]))]).code == 2
        assert check(tmp_path, trail, signers=[signer]).code == 2

    @pytest.mark.parametrize(
        ("anchors", "why"),
        [
            (b"", "no anchor"),
            (b"\n", "no anchor"),
            (b"nonsense\n", "does not hold anchors"),
            (b'{"algorithm":"ed25519","at":"20', "broke off"),
        ],
    )
    def test_what_are_no_anchors(
        self, anchors: bytes, why: str, trail: list[bytes], signer: Signer, tmp_path: Path
    ) -> None:
        answer = check(tmp_path, trail, anchors=anchors, signers=[signer])
        assert answer.code == 2
        assert why in answer.text


class TestPublicKey:
    def test_is_read_as_the_notary_writes_it(self, signer: Signer) -> None:
        other = Signer()
        [first, second] = public_keys_of(f"our keys\n{signer.pem}\r\n{other.pem}")
        assert (first.raw, first.name, second.raw) == (signer.raw, signer.name, other.raw)

    @pytest.mark.parametrize(
        ("pem", "why"),
        [
            ("", "no public key"),
            ("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n", "Keep that file secret"),
            ("-----BEGIN CERTIFICATE-----\nMC4=\n-----END CERTIFICATE-----\n", "this is: certificate"),
            ("-----BEGIN PUBLIC KEY-----\n!!!\n-----END PUBLIC KEY-----\n", "cannot be used"),
            ("-----BEGIN PUBLIC KEY-----\nMC4=\n-----END PUBLIC KEY-----\n", "of another kind"),
        ],
    )
    def test_what_is_none(self, pem: str, why: str) -> None:
        with pytest.raises(CannotCheck, match=why):
            public_keys_of(pem)

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"\0" * 31,
            b"\x02" + b"\0" * 31,  # on no curve
            (2**255 - 19 + 1).to_bytes(32, "little"),  # 1, in another way
            b"\x01" + b"\0" * 31,  # the neutral point
            b"\0" * 32,  # of order 4
            b"\x01" + b"\0" * 30 + b"\x80",  # 1 with a sign
            (2**255 - 19 - 1).to_bytes(32, "little"),  # of order 2
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),  # of order 8
        ],
    )
    def test_bad_points(self, raw: bytes) -> None:
        with pytest.raises(ValueError, match=r"Ed25519|deceive"):
            PublicKey(raw)


# RFC 8032, 7.1: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493


class TestSignature:
    @pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
    def test_of_the_rfc(self, secret: str, public: str, message: str, signature: str) -> None:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
        assert private.public_key().public_bytes_raw().hex() == public
        assert private.sign(bytes.fromhex(message)).hex() == signature
        key = PublicKey(bytes.fromhex(public))
        assert key.fits(bytes.fromhex(signature), bytes.fromhex(message))
        assert not key.fits(bytes.fromhex(signature), bytes.fromhex(message) + b"x")

    @settings(deadline=None, max_examples=30)
    @given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 511))
    def test_is_judged_as_by_cryptography(self, secret: bytes, message: bytes, bit: int) -> None:
        private = Ed25519PrivateKey.from_private_bytes(secret)
        signature = private.sign(message)
        flipped = (int.from_bytes(signature, "little") ^ 1 << bit).to_bytes(64, "little")
        key = PublicKey(private.public_key().public_bytes_raw())
        assert key.fits(signature, message)
        assert key.fits(flipped, message) == fits(private.public_key(), flipped, message) == False  # noqa: E712

    def test_has_one_form(self) -> None:
        _, public, message, hexadecimal = VECTORS[1]
        signature = bytes.fromhex(hexadecimal)
        key = PublicKey(bytes.fromhex(public))
        s = int.from_bytes(signature[32:], "little")
        for other in (signature[:32] + (s + ORDER).to_bytes(32, "little"), signature[:-1], signature + b"\0", b""):
            assert not key.fits(other, bytes.fromhex(message))


def fits(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


class TestAlone:
    """As somebody runs it who has nothing of ours but this file."""

    def run(self, folder: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        copied = folder / "verify_export.py"
        shutil.copy(PROGRAM, copied)
        command = [sys.executable, "-I", "-S", str(copied), *arguments]
        return subprocess.run(
            command, cwd=folder, input=given, capture_output=True, check=False, env={"PYTHONIOENCODING": "ascii:strict"}
        )

    def test_it_needs_nothing_else(self, trail: list[bytes], signer: Signer, tmp_path: Path) -> None:
        (tmp_path / "trail.jsonl").write_bytes(b"\n".join(trail))
        (tmp_path / "anchors.jsonl").write_bytes(signer.line(30, hash_of(trail[29])))
        (tmp_path / "key.pem").write_text(signer.pem)
        arguments = ("trail.jsonl", "--anchors", "anchors.jsonl", "--public-key", "key.pem")
        ended = self.run(tmp_path, *arguments)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert ended.stdout.startswith(b"HOLDS: entries 1 to 30")
        (tmp_path / "trail.jsonl").write_bytes(b"\n".join([trail[0].replace(b"ann", b"bob"), *trail[1:]]))
        ended = self.run(tmp_path, *arguments)
        assert ended.returncode == 1
        assert ended.stdout.startswith(b"DOES NOT HOLD: EDITED, entry 1.")

    def test_it_reads_what_comes_through_a_pipe(self, trail: list[bytes], tmp_path: Path) -> None:
        assert self.run(tmp_path, "-", given=b"\n".join(trail)).returncode == 0
        assert self.run(tmp_path, "-", given=gzip.compress(b"\n".join(trail))).returncode == 0

    def test_a_line_that_does_not_fit_into_memory_is_not_a_record_that_does_not_hold(self, tmp_path: Path) -> None:
        bomb = str(tmp_path / "bomb.gz")
        with gzip.open(bomb, "wb", 1) as file:
            for _ in range(500):
                file.write(b"a" * 1_000_000)
        command = ["sh", "-c", 'ulimit -v 400000; exec "$@"', "sh", sys.executable, "-I", "-S", str(PROGRAM), bomb]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert (ended.returncode, ended.stdout) == (2, b"")
        assert ended.stderr.startswith(b"COULD NOT BE CHECKED: A line is so long")

    def test_it_can_be_read_by_old_pythons_and_old_consoles(self) -> None:
        source = PROGRAM.read_text()
        tree = ast.parse(source, feature_version=(3, 9))
        assert source.isascii()
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_an_excerpt_from_the_table_is_followed_past_what_it_leaves_out(db: None, tmp_path: Path) -> None:
    write(COUNT)
    lines = [entry.line if entry.sequence % 4 == 0 else entry.skeleton for entry in sealed(Entry.objects.all())]
    answer = check(tmp_path, lines)
    assert answer.told is not None
    assert (answer.code, answer.told["left_out"]) == (0, COUNT - COUNT // 4)
