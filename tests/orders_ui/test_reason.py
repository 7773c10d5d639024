"""POST /kills/<uuid>/reason/: said afterwards, once."""

import json
import uuid
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from killswitch.access.roles import RISK_DESK
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor
from killswitch.incident.contradictions import of_kill
from killswitch.incident.figures import Incident
from killswitch.incident.timeline import People, Timeline
from killswitch.kills.models import Kill
from killswitch.kills.reasons import ReasonStands, give_reason

from .conftest import client_of

REASON = "Runaway algorithm <i>7</i>"


def press(client: Client, **fields: str) -> Kill:
    client.post("/kills/", {"account": "1001", "idempotency_key": str(uuid.uuid4()), **fields})
    return Kill.objects.get()


@pytest.fixture
def kill(desk_client: Client) -> Kill:
    return press(desk_client)


def give(client: Client, kill: Kill, **fields: str) -> object:
    return client.post(f"/kills/{kill.id}/reason/", {"reason": REASON, **fields})


class TestAReasonGivenAfterwards:
    def test_stands_with_who_gave_it_and_when(self, kill: Kill, db: None) -> None:
        other = client_of("desk2", RISK_DESK)
        response = other.post(f"/kills/{kill.id}/reason/", {"reason": REASON})
        assert (response.status_code, response["Location"]) == (303, f"/kills/{kill.id}/")
        kill.refresh_from_db()
        assert (kill.reason, kill.reason_given_by_name) == (REASON, "desk2")
        entry = Entry.objects.get(kind=Kind.REASON_GIVEN)
        assert (entry.kill_id, entry.actor_name, entry.at) == (kill.id, "desk2", kill.reason_given_at)
        assert entry.data == {"reason": REASON, "engaged_by": "desk"}
        text = other.get(f"/kills/{kill.id}/").content.decode()
        assert "Runaway algorithm &lt;i&gt;7&lt;/i&gt;" in text
        assert "given afterwards by desk2" in text
        assert "Why was it pressed?" not in text

    def test_shows_in_json_the_summary_and_the_timeline(
        self, kill: Kill, desk_client: Client, compliance_client: Client
    ) -> None:
        before = desk_client.get(f"/kills/{kill.id}.json").json()
        assert (before["reason"], before["reason_given_at"], before["reason_given_by"]) == ("", None, None)
        give(desk_client, kill)
        kill.refresh_from_db()
        assert kill.reason_given_at is not None
        told = json.loads(desk_client.get(f"/kills/{kill.id}.json").content)
        assert (told["reason"], told["reason_given_by"]) == (REASON, "desk")
        assert told["reason_given_at"] == kill.reason_given_at.isoformat()
        assert "given afterwards by desk" in compliance_client.get(f"/kills/{kill.id}/summary/").content.decode()
        assert "Reason given by desk" in [moment.what for moment in Timeline(Incident(kill)).in_short]
        assert Kind.REASON_GIVEN in [moment.kind for moment in Timeline(Incident(kill)).moments()]
        assert ("desk", "Reason given afterwards", 1) in People(kill).in_short

    def test_contradicts_nothing_until_somebody_changes_it(self, kill: Kill, desk_client: Client) -> None:
        give(desk_client, kill)
        kill.refresh_from_db()
        assert of_kill(kill) == []
        kill.reason = "Nothing of the kind"
        assert [line.partition(":")[0] for line in of_kill(kill)] == ["the reason"]
        kill.reason, kill.reason_given_by_name = REASON, "nobody"
        assert [line.partition(":")[0] for line in of_kill(kill)] == ["who gave the reason"]

    def test_is_missed_where_no_entry_records_it(self, kill: Kill) -> None:
        kill.reason, kill.reason_given_at = REASON, timezone.now()
        assert "no entry records that its reason was given afterwards" in of_kill(kill)

    def test_is_taken_once(self, kill: Kill, desk_client: Client) -> None:
        give(desk_client, kill)
        response = desk_client.post(f"/kills/{kill.id}/reason/", {"reason": "Another one"})
        assert response.status_code == 400
        assert "THE REASON IS NOT KEPT" in response.content.decode()
        assert "desk has given a reason already" in response.content.decode()
        kill.refresh_from_db()
        assert kill.reason == REASON
        assert Entry.objects.filter(kind=Kind.REASON_GIVEN).count() == 1

    def test_never_replaces_the_one_it_was_pressed_with(self, desk_client: Client) -> None:
        kill = press(desk_client, reason="Market event")
        with pytest.raises(ReasonStands, match="desk has given a reason already"):
            give_reason(kill, reason=REASON, actor=Actor(name="desk2"), now=timezone.now())
        assert Kill.objects.get().reason == "Market event"

    @pytest.mark.parametrize("fields", [{"reason": "  "}, {"reason": "x" * 10_001}, {"dry_run": "on"}])
    def test_is_refused_where_it_is_not_plain(self, fields: dict[str, str], kill: Kill, desk_client: Client) -> None:
        response = desk_client.post(f"/kills/{kill.id}/reason/", {"reason": REASON, **fields})
        assert response.status_code == 400
        assert "THE REASON IS NOT KEPT" in response.content.decode()
        assert Kill.objects.get().reason == ""


class TestTheQuestion:
    def test_is_asked_of_the_risk_desk_alone(self, kill: Kill, clients: Callable[[str], Client]) -> None:
        for who, is_asked in (("risk desk", True), ("compliance", False), ("administrator", False)):
            text = clients(who).get(f"/kills/{kill.id}/").content.decode()
            assert ("Why was it pressed?" in text) is is_asked

    def test_is_answered_by_nobody_else(self, kill: Kill, compliance_client: Client) -> None:
        assert compliance_client.get(f"/kills/{kill.id}/reason/").status_code == 403
        assert compliance_client.post(f"/kills/{kill.id}/reason/", {"reason": REASON}).status_code == 403
        assert Kill.objects.get().reason == ""

    @pytest.mark.parametrize("fields", [{"dry_run": "on"}, {"reason": "Drill"}])
    def test_is_not_asked_of_a_dry_run_or_of_a_kill_with_a_reason(
        self, fields: dict[str, str], desk_client: Client
    ) -> None:
        kill = press(desk_client, **fields)
        assert "Why was it pressed?" not in desk_client.get(f"/kills/{kill.id}/").content.decode()

    def test_stays_out_of_what_the_page_polls_and_goes_once_it_is_answered(
        self, kill: Kill, desk_client: Client
    ) -> None:
        poll = {"HX-Request": "true"}
        assert 'id="why"' not in desk_client.get(f"/kills/{kill.id}/", headers=poll).content.decode()
        give(desk_client, kill)
        assert '<section id="why" hidden hx-swap-oob="true">' in (
            desk_client.get(f"/kills/{kill.id}/", headers=poll).content.decode()
        )

    def test_has_a_page_that_holds_still(self, kill: Kill, desk_client: Client) -> None:
        assert 'http-equiv="refresh"' in desk_client.get(f"/kills/{kill.id}/").content.decode()
        text = desk_client.get(f"/kills/{kill.id}/reason/").content.decode()
        assert 'http-equiv="refresh"' not in text
        assert "Why was it pressed?" in text
