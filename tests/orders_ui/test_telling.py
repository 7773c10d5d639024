"""The page of who is told, and the line on the desk where somebody is not."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from killswitch.access.roles import ADMINISTRATOR, RISK_DESK
from killswitch.audit.models import Entry, Kind
from killswitch.telling.models import Delivery

pytestmark = pytest.mark.django_db


def place(name: str = "mail 1", **values: Any) -> Delivery:
    return Delivery.objects.create(**{"key": name, "name": name, "followed": 0, "seen_at": timezone.now(), **values})


def failing(minutes: float) -> dict[str, Any]:
    return {"failing_since": timezone.now() - timedelta(minutes=minutes), "tries": 3, "error": "it answered 503"}


def text_of(client: Client, page: str = "/telling/") -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", client.get(page).content.decode()))


class TestThePage:
    def test_says_that_nobody_is_told_and_what_to_set(self, desk_client: Client) -> None:
        text = text_of(desk_client)
        assert "Nobody is told" in text
        assert "TELL_MAIL_TO" in text
        assert "Send a test message" not in text

    def test_lists_every_place_with_when_it_last_got_something(self, desk_client: Client) -> None:
        place(told_at=timezone.now().replace(year=2026, month=11, day=21, hour=3, minute=12, second=9))
        place("chat 1 (slack)", position=1, **failing(2))
        place("chat 2 (pagerduty)", position=2)
        place("chat 9 (old)", seen_at=timezone.now() - timedelta(hours=1))
        text = text_of(desk_client)
        assert "mail 1 arrive 2026-11-21 03:12:09" in text
        assert re.search(r"chat 1 \(slack\) do not arrive since [\d :-]+ UTC 3 failures – it answered 503", text)
        assert "chat 2 (pagerduty) none yet" in text
        assert "chat 9" not in text

    def test_says_when_the_teller_is_gone(self, desk_client: Client) -> None:
        place(seen_at=timezone.now() - timedelta(minutes=5))
        assert "NOBODY IS TOLD : the teller was last heard of 5 min ago" in text_of(desk_client)

    @pytest.mark.parametrize("role", [RISK_DESK, ADMINISTRATOR])
    def test_a_test_message_goes_into_the_record_from_which_it_is_told(
        self, clients: Callable[[str], Client], role: str
    ) -> None:
        client, row = clients(role), place()
        assert "Send a test message" in text_of(client)
        answer = client.post("/telling/")
        assert (answer.status_code, answer.url) == (303, "/telling/")
        entry = Entry.objects.get(kind=Kind.MESSAGE_TESTED)
        who = role.replace(" ", "-")
        assert entry.sentence == f"{who} asked for a test message to everybody who is told"
        assert "not yet" in text_of(client)
        Delivery.objects.filter(pk=row.pk).update(followed=entry.id)
        text = text_of(client)
        assert "taken" in text
        assert f"Last test asked for by {who} at" in text

    def test_compliance_sees_it_and_asks_for_none(self, compliance_client: Client) -> None:
        place()
        assert "Send a test message" not in text_of(compliance_client)
        assert compliance_client.post("/telling/").status_code == 403
        assert not Entry.objects.filter(kind=Kind.MESSAGE_TESTED).exists()

    def test_is_not_for_those_without_a_role(self, clients: Callable[[str], Client]) -> None:
        assert clients("no role").get("/telling/").status_code == 403


class TestTheDesk:
    def test_says_to_whom_messages_do_not_arrive(self, desk_client: Client) -> None:
        place(**failing(6))
        assert re.search(
            r"Messages to mail 1 do not arrive since [\d :-]+ UTC: it answered 503\.", text_of(desk_client, "/")
        )

    def test_says_nothing_of_one_that_has_just_failed(self, desk_client: Client) -> None:
        place(**failing(1))
        assert "do not arrive" not in text_of(desk_client, "/")

    def test_says_that_the_teller_is_gone(self, desk_client: Client) -> None:
        place(seen_at=timezone.now() - timedelta(minutes=5))
        assert "Nobody is told by mail or chat" in text_of(desk_client, "/")

    def test_says_nothing_where_nobody_is_to_be_told(self, desk_client: Client) -> None:
        assert "told" not in text_of(desk_client, "/")
