"""POST /kills/<uuid>/release/ and the form for it."""

import re
import threading
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from killswitch.access.roles import COMPLIANCE, RISK_DESK
from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill, State

from .conftest import client_of
from .test_kill import HTMX, make_kill

REASON = "What sent the orders is stopped"


@pytest.fixture
def kill(db: None) -> Kill:
    """A latched and quiet kill by "desk"."""
    made = make_kill(latched=True, state=State.LATCHED)
    made.sweeps.create(account_id=1001, state=State.LATCHED, lease_until=timezone.now() + timezone.timedelta(seconds=9))
    return made


@pytest.fixture
def second(db: None) -> Client:
    return client_of("desk2", RISK_DESK)


def address(kill: Kill) -> str:
    return f"/kills/{kill.id}/release/"


def release(client: Client, kill: Kill, **options: Any) -> Any:
    return client.post(address(kill), {"reason": REASON}, **options)


def refusal() -> Entry:
    return Entry.objects.get(kind=Kind.RELEASE_REFUSED)


def is_held(kill: Kill) -> bool:
    return Kill.objects.get(id=kill.id).is_held


class TestRelease:
    def test_lets_go_with_who_when_and_why(self, kill: Kill, second: Client) -> None:
        before = timezone.now()
        response = release(second, kill)
        assert (response.status_code, response["Location"]) == (303, f"/kills/{kill.id}/")
        kill.refresh_from_db()
        assert (kill.released_by_name, kill.release_reason, kill.state) == ("desk2", REASON, State.RUNNING)
        assert kill.released_at is not None
        assert before <= kill.released_at <= timezone.now()
        entry = Entry.objects.get(kind=Kind.KILL_RELEASED)
        assert (entry.actor_name, entry.kill_id, entry.data["reason"]) == ("desk2", kill.id, REASON)
        assert not Entry.objects.filter(kind=Kind.RELEASE_REFUSED).exists()

    def test_tells_htmx_where_to_go(self, kill: Kill, second: Client) -> None:
        response = release(second, kill, headers=HTMX)
        assert (response.status_code, response["HX-Redirect"]) == (200, f"/kills/{kill.id}/")

    def test_takes_another_person(self, kill: Kill, desk_client: Client) -> None:
        response = release(desk_client, kill)
        text = " ".join(response.content.decode().split())
        assert response.status_code == 403
        assert "<strong>NOT RELEASED:</strong> it takes another person than the one who engaged it." in text
        assert "another person of the risk desk has to release it" in text
        assert "Ask one to log in and open this page" in text
        assert is_held(kill)
        assert refusal().actor_name == "desk"
        assert refusal().data["reason"] == REASON

    def test_takes_the_same_person_where_the_setting_says_so(
        self, kill: Kill, desk_client: Client, settings: Any
    ) -> None:
        settings.RELEASE_BY_SAME_PERSON = True
        assert b'id="release-reason"' in desk_client.get(f"/kills/{kill.id}/").content
        assert release(desk_client, kill).status_code == 303
        assert not is_held(kill)

    @pytest.mark.parametrize("reason", ["", "   ", None])
    def test_needs_a_reason(self, reason: str | None, kill: Kill, second: Client) -> None:
        response = second.post(address(kill), {} if reason is None else {"reason": reason})
        text = response.content.decode()
        assert response.status_code == 400
        assert "NOT RELEASED" in text
        assert 'aria-describedby="release-reason-error"' in text
        assert "http-equiv" not in text
        assert '<p class="error" id="release-reason-error">say why it is released' in text
        assert is_held(kill)
        assert "say why" in refusal().sentence

    @pytest.mark.parametrize(
        "fields",
        [
            {"force": "on"},
            {"reason": ["one", "two"]},
            {"reason": "x" * 10_001},
            {"reason": "a\x00b"},
            {"account": "1001"},
        ],
        ids=str,
    )
    def test_refuses_what_is_not_plain_and_keeps_the_reason(
        self, fields: dict[str, Any], kill: Kill, second: Client
    ) -> None:
        response = second.post(address(kill), {"reason": "<b>stopped</b>", **fields})
        assert response.status_code == 400
        assert is_held(kill)
        assert refusal().kill_id == kill.id
        if "reason" not in fields:
            assert 'value="&lt;b&gt;stopped&lt;/b&gt;"' in response.content.decode()
            assert "is not a field of a release" in response.content.decode()

    def test_reads_nothing_from_the_address(self, kill: Kill, second: Client) -> None:
        response = second.post(f"{address(kill)}?reason=x", {"reason": REASON})
        assert response.status_code == 400
        assert "stood in the address" in response.content.decode()
        assert is_held(kill)

    def test_refuses_a_file(self, kill: Kill, second: Client) -> None:
        from django.core.files.uploadedfile import SimpleUploadedFile

        response = second.post(address(kill), {"reason": REASON, "proof": SimpleUploadedFile("a.txt", b"x")})
        assert response.status_code == 400
        assert is_held(kill)

    @pytest.mark.parametrize("fields", [{}, {"ended_at": timezone.now(), "state": State.FLAT}])
    def test_is_only_for_what_is_latched(self, fields: dict[str, Any], second: Client) -> None:
        kill = make_kill(**fields)
        response = release(second, kill)
        assert response.status_code == 400
        assert "only a latched kill can be released" in response.content.decode()
        assert 'id="release-reason"' not in response.content.decode()
        assert "only a latched kill" in refusal().sentence

    def test_goes_through_once(self, kill: Kill, second: Client) -> None:
        third = client_of("desk3", RISK_DESK)
        release(second, kill)
        response = release(third, kill)
        assert response.status_code == 400
        assert "desk2 has released this kill already" in response.content.decode()
        assert Kill.objects.get().released_by_name == "desk2"
        assert Entry.objects.filter(kind=Kind.KILL_RELEASED).count() == 1
        assert refusal().actor_name == "desk3"

    def test_is_not_found_for_an_unknown_kill(self, second: Client) -> None:
        assert second.post(f"/kills/{uuid.uuid4()}/release/", {"reason": REASON}).status_code == 404
        assert second.get(f"/kills/{uuid.uuid4()}/release/").status_code == 404

    @pytest.mark.parametrize("who", ["compliance", "administrator", "no role"])
    def test_takes_the_role_that_may_kill(self, who: str, kill: Kill, clients: Callable[[str], Client]) -> None:
        client = clients(who)
        response = release(client, kill)
        assert response.status_code == 403
        assert is_held(kill)
        denied = Entry.objects.get(kind=Kind.DENIED)
        assert denied.sentence.endswith("may not release a kill")
        assert denied.data["fields"] == {"reason": [REASON]}
        assert client.get(address(kill)).status_code == 403

    def test_takes_a_log_in_and_leads_back_to_the_form(self, kill: Kill, second: Client) -> None:
        response = release(Client(), kill)
        query = parse_qs(urlsplit(response["Location"]).query)
        assert (query["not_sent"], query["next"]) == (["1"], [address(kill)])
        assert is_held(kill)
        assert second.get(query["next"][0]).status_code == 200

    def test_takes_the_forms_token(self, kill: Kill) -> None:
        client = client_of("desk2", RISK_DESK, enforce_csrf_checks=True)
        assert release(client, kill).status_code == 403
        assert is_held(kill)
        assert Entry.objects.filter(kind=Kind.DENIED).exists()
        form = client.get(f"/kills/{kill.id}/").content.decode().split('id="release"')[1]
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert token
        fields = {"reason": REASON, "csrfmiddlewaretoken": token[1]}
        assert client.post(address(kill), fields).status_code == 303

    @pytest.mark.parametrize("method", ["put", "delete", "patch"])
    def test_takes_no_other_method(self, method: str, kill: Kill, second: Client) -> None:
        assert getattr(second, method)(address(kill)).status_code == 405

    def test_changes_nothing_when_only_looked_at(self, kill: Kill, second: Client) -> None:
        response = second.get(address(kill))
        assert response.status_code == 200
        assert is_held(kill)
        assert not Entry.objects.filter(kind__in=(Kind.RELEASE_REFUSED, Kind.KILL_RELEASED)).exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_releases_at_once_one_goes_through(kill: Kill) -> None:
    people = [client_of(f"desk{number}", RISK_DESK) for number in range(2, 6)]
    together, answers = threading.Barrier(len(people)), []

    def let_go(client: Client) -> None:
        together.wait()
        try:
            answers.append(release(client, kill).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=let_go, args=[client]) for client in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303, 400, 400, 400]
    assert Entry.objects.filter(kind=Kind.KILL_RELEASED).count() == 1
    assert Entry.objects.filter(kind=Kind.RELEASE_REFUSED).count() == 3


class TestReleaseForm:
    def test_is_for_another_person(self, kill: Kill, desk_client: Client, second: Client) -> None:
        text = second.get(f"/kills/{kill.id}/").content.decode()
        assert f'<form method="post" action="{address(kill)}"' in text
        assert '<label for="release-reason">' in text
        assert text.count("<option", text.index('<datalist id="release-reasons">')) >= 4
        same = desk_client.get(f"/kills/{kill.id}/").content.decode()
        assert address(kill) + '"' not in same.split("<main")[1]
        assert "another person of the risk desk has to release it" in same

    def test_cannot_be_taken_for_the_form_that_asks_why(self, kill: Kill, second: Client) -> None:
        Kill.objects.update(reason="")
        text = " ".join(second.get(f"/kills/{kill.id}/").content.decode().split())
        assert f"Release the latched kill <small>{kill.scope}; engaged by desk</small>" in text
        assert '<button type="submit">Release the kill</button>' in text
        assert "Why was it pressed? <small>for the record only: the latch stays as it is</small>" in text
        assert '<button type="submit">Keep the reason</button>' in text

    def test_is_not_for_those_who_may_not_kill(self, kill: Kill) -> None:
        text = client_of("compliance", COMPLIANCE).get(f"/kills/{kill.id}/").content.decode()
        assert address(kill) not in text
        assert "Somebody of the risk desk releases it: another person than desk." in " ".join(text.split())

    def test_is_not_there_for_a_kill_that_is_not_held(self, second: Client) -> None:
        released = make_kill(latched=True, released_at=timezone.now(), released_by_name="x", release_reason="y")
        assert 'id="release"' not in second.get(f"/kills/{make_kill().id}/").content.decode()
        # Its place is there, for what a poll brings.
        assert '<section id="release" hidden></section>' in second.get(f"/kills/{released.id}/").content.decode()

    def test_is_left_alone_by_polls_until_somebody_releases(self, kill: Kill, second: Client) -> None:
        assert 'id="release"' not in second.get(f"/kills/{kill.id}/", headers=HTMX).content.decode()
        release(client_of("desk3", RISK_DESK), kill)
        text = second.get(f"/kills/{kill.id}/", headers=HTMX).content.decode()
        assert '<section id="release" hidden hx-swap-oob="true"></section>' in text

    def test_holds_still_on_its_own_address_without_scripts(self, kill: Kill, second: Client) -> None:
        assert b'http-equiv="refresh"' in second.get(f"/kills/{kill.id}/").content
        own = second.get(address(kill)).content
        assert b'http-equiv="refresh"' not in own
        assert b'hx-trigger="every 1s"' in own
