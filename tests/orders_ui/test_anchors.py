"""What the audit trail's page says about anchors, and the files to check against."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from django.utils import timezone

from killswitch.audit.models import Anchor, Kind
from killswitch.audit.operations import Draft, append
from killswitch.notary import keys
from killswitch.notary.models import Delivery, Notary
from killswitch.notary.operations import make_anchor


def anchor(**ago: float) -> Anchor:
    """Write an entry and sign it, so long ago."""
    at = timezone.now() - timedelta(**ago)
    append([Draft(kind=Kind.DENIED, at=at, sentence="x may not y")])
    made = make_anchor(keys.Key(Ed25519PrivateKey.generate()), now=at)
    assert made is not None
    return made


def notary(**values: Any) -> None:
    Notary.objects.create(**{"host": "here", "seen_at": timezone.now(), "key": "0123456789abcdef", **values})


def place(**values: Any) -> None:
    Delivery.objects.create(**{"place": "file /a", "seen_at": timezone.now(), **values})


def shown(client: Client) -> str:
    text = client.get("/audit/").content.decode()
    return " ".join(text.partition('<section class="anchors"')[2].partition("</section>")[0].split())


class TestStanding:
    def test_is_quiet_where_all_is_well(self, compliance_client: Client) -> None:
        made = anchor(minutes=3)
        notary()
        place(delivered=made.sequence, delivered_at=timezone.now())
        text = shown(compliance_client)
        assert "loud" not in text
        assert f'signs every entry up to <a href="/audit/{made.sequence}/">' in text
        assert made.key in text
        assert "<dt>Copy at file /a</dt><dd> complete, the last one brought at" in text

    def test_counts_what_came_after(self, compliance_client: Client) -> None:
        anchor()
        append([Draft(kind=Kind.DENIED, at=timezone.now(), sentence="x may not y")] * 2)
        assert "2 newer entries not signed yet" in shown(compliance_client)

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (None, "NO ANCHORS ARE MADE</strong>: no notary has ever run"),
            ({"seen_at": timezone.now() - timedelta(minutes=5)}, "the notary was last heard of"),
            ({"key": ""}, "the notary has no key to sign with. Whoever runs the machines makes one with <code>"),
            ({}, "ANCHORS ARE KEPT NOWHERE ELSE"),
            ({"contradiction": "entry 3 <gone>"}, "THE AUDIT TRAIL DOES NOT HOLD</strong>: entry 3 &lt;gone&gt;"),
        ],
    )
    def test_is_loud_where_none_are_made(
        self, values: dict[str, Any] | None, words: str, compliance_client: Client
    ) -> None:
        if values is not None:
            notary(**values)
        assert words in shown(compliance_client)

    def test_shows_a_place_that_fails_and_is_loud_once_it_is_late(
        self, compliance_client: Client, settings: Any
    ) -> None:
        settings.ANCHOR_LATE_MINUTES = 15
        anchor(minutes=10)
        notary()
        place(tries=4, failing_since=timezone.now(), error="OSError: <no space>")
        text = shown(compliance_client)
        assert "loud" not in text
        assert (
            '<span class="warn">does not arrive, is tried again</span> <small>OSError: &lt;no space&gt;</small>' in text
        )
        settings.ANCHOR_LATE_MINUTES = 5
        text = shown(compliance_client)
        assert "ANCHORS DO NOT ARRIVE</strong> at file /a" in text
        assert "(4 failures)" in text

    def test_leaves_out_a_place_that_is_configured_no_more(self, compliance_client: Client) -> None:
        anchor(hours=1)
        notary()
        place(seen_at=timezone.now() - timedelta(days=1))
        assert "file /a" not in shown(compliance_client)


class TestFiles:
    def test_hold_every_anchor_and_every_key(self, compliance_client: Client) -> None:
        made = [anchor(minutes=5), anchor()]
        response = compliance_client.get("/audit/anchors.jsonl")
        assert response["Content-Disposition"] == 'attachment; filename="anchors.jsonl"'
        lines = b"".join(response).splitlines()  # type: ignore[call-overload]
        assert [json.loads(line)["sequence"] for line in lines] == [one.sequence for one in made]
        pem = compliance_client.get("/audit/public-key.pem").content.decode()
        assert pem.count("-----BEGIN PUBLIC KEY-----") == 2
        assert pem.count("\n") == 6
