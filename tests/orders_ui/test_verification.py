"""The page that says whether the trail holds, and verifies it on request."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from killswitch.access.roles import COMPLIANCE, give_role
from killswitch.audit.models import Entry, Kind, Verification
from killswitch.audit.operations import Actor
from killswitch.audit.verification import Evidence, ask, carry_out_now
from killswitch.database_clock import now as database_now
from tests.audit.evidence import Signer, run, take_off_the_triggers, write

POLL = {"HX-Request": "true"}
PAGE = "/audit/verification/"


def text(client: Client, page: str = PAGE) -> str:
    response = client.get(page)
    assert response.status_code == 200
    return response.content.decode()


def verify() -> Verification:
    return carry_out_now(actor=Actor(name="ann"), evidence=Evidence())


def spoil() -> None:
    take_off_the_triggers()
    run("UPDATE audit_entry SET sentence = 'never happened' WHERE id = 3")


@pytest.mark.parametrize("page", ["/audit/", PAGE])
class TestSays:
    def test_that_it_never_was(self, page: str, compliance_client: Client) -> None:
        assert '<span class="warn">never</span>' in text(compliance_client, page)

    def test_that_it_holds_and_to_which_entry(self, page: str, compliance_client: Client) -> None:
        write(12)
        Signer().sign_table(8)
        last = verify().last
        shown = text(compliance_client, page)
        head = Entry.objects.latest("id").id
        assert last is not None and head > last  # the log-in of the reader, and what the verification says of itself
        since = f"{head - last} entr{'y' if head - last == 1 else 'ies'} written since, not verified yet"
        assert f'<a href="/audit/{last}/">{last}</a>: <strong class="word flat">holds up to there</strong>' in shown
        assert since in shown
        assert "anchors vouch for it up to entry 8" in shown
        assert "DOES NOT HOLD" not in shown
        assert "hx-trigger" not in shown.rpartition("<main")[2]

    def test_that_it_is_long_ago(self, page: str, compliance_client: Client) -> None:
        write(12)
        verify()
        assert '<span class="warn"><time' not in text(compliance_client, page)
        Verification.objects.update(ended_at=timezone.now() - timedelta(hours=40))
        assert '<span class="warn"><time' in text(compliance_client, page)

    def test_what_does_not_hold_and_what_to_do(self, page: str, compliance_client: Client) -> None:
        write(12)
        spoil()
        verify()
        shown = text(compliance_client, page)
        assert "THE AUDIT TRAIL DOES NOT HOLD: EDITED, entry 3." in shown
        assert "What this entry tells cannot be relied on." in shown
        assert "Keep the record, every copy of it and the anchors as they are." in shown
        assert '<strong class="word not_flat">does not hold</strong>' in shown

    def test_how_far_one_under_way_is(self, page: str, compliance_client: Client) -> None:
        write(12)
        row = ask(actor=Actor(name="ann"))
        shown = text(compliance_client, page)
        assert "asked for by ann, waits for the notary" in shown
        assert 'hx-trigger="every 1s"' in shown
        assert '<button type="submit" disabled>' in shown
        Verification.objects.filter(id=row.id).update(
            state=Verification.State.RUNNING,
            started_at=database_now(),
            lease_until=database_now() + timedelta(seconds=9),
            last=12_000,
            checked=3_000,
        )
        shown = text(compliance_client, page)
        assert '<progress max="12000" value="3000"' in shown
        assert "3,000 of 12,000 entries" in shown

    def test_what_to_do_where_nobody_carries_it_out(self, page: str, compliance_client: Client) -> None:
        ask(actor=Actor(name="ann"))
        assert "NOBODY VERIFIES" not in text(compliance_client, page)
        Verification.objects.update(asked_at=database_now() - timedelta(seconds=31))
        shown = text(compliance_client, page)
        assert "NOBODY VERIFIES" in shown
        assert "<code>manage.py notary</code>" in shown

    def test_that_it_could_not_be(self, page: str, compliance_client: Client) -> None:
        Verification.objects.create(state=Verification.State.FAILED, finding={"error": "There was no entry."})
        assert "could not be carried out. There was no entry." in text(compliance_client, page)


class TestVerifyNow:
    def test_asks_for_one(self, compliance_client: Client) -> None:
        response = compliance_client.post(PAGE)
        assert (response.status_code, response["Location"]) == (302, PAGE)
        row = Verification.objects.get()
        assert (row.state, row.asked_by_name, row.source) == ("asked", "compliance", "web 127.0.0.1")
        assert row.in_background

    def test_answers_a_press_with_the_part_that_follows_it(self, compliance_client: Client) -> None:
        response = compliance_client.post(PAGE, headers=POLL)
        assert response.status_code == 200
        assert response.content.decode().startswith('<section id="verification"')
        assert "<html" not in response.content.decode()

    def test_twice_asks_for_one(self, compliance_client: Client) -> None:
        compliance_client.post(PAGE)
        compliance_client.post(PAGE)
        assert Verification.objects.count() == 1

    def test_is_refused_to_whoever_may_not_read_the_trail(self, desk_client: Client) -> None:
        assert desk_client.post(PAGE).status_code == 403
        assert not Verification.objects.exists()
        assert Entry.objects.latest("id").kind == Kind.DENIED

    def test_needs_a_token(self, db: None) -> None:
        client = Client(enforce_csrf_checks=True)
        user = User.objects.create_user("auditor")
        give_role(user, COMPLIANCE)
        client.force_login(user)
        assert client.post(PAGE).status_code == 403
        assert not Verification.objects.exists()


class TestEveryPage:
    @pytest.mark.parametrize("page", ["/", "/kills/", "/audit/", PAGE])
    def test_says_what_does_not_hold(self, page: str, compliance_client: Client) -> None:
        write(12)
        spoil()
        verify()
        assert "THE AUDIT TRAIL DOES NOT HOLD: EDITED, entry 3." in text(compliance_client, page).split("<main")[0]

    def test_but_not_to_those_who_may_not_read_it(self, desk_client: Client) -> None:
        write(12)
        spoil()
        verify()
        assert "AUDIT TRAIL DOES" not in text(desk_client, "/")


def test_lists_what_was_verified(compliance_client: Client) -> None:
    write(12)
    verify()
    spoil()
    verify()
    shown = text(compliance_client)
    rows = shown.split("<tbody>")[1].split("</tbody>")[0]
    assert rows.count("<tr>") == 2
    assert rows.index("does not hold") < rows.index(">holds<")
