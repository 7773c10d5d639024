"""The first look at an installation: where nothing can be shown, it says why and what to do."""

from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from killswitch.book.models import AccountList
from killswitch.health.verdict import Fault, Verdict
from tests.health.test_light import shine

pytestmark = pytest.mark.django_db


def told(client: Client) -> str:
    return " ".join(unescape(client.get("/").content.decode()).partition("<main")[2].split())


class TestTheDeskWithoutAccounts:
    @pytest.mark.parametrize(
        ("fault", "heading", "what_to_do"),
        [
            (Fault.KEY_REFUSED, "The broker refuses the key", "CLEAR_STREET_API_KEY"),
            (Fault.BROKER_GONE, "The broker does not answer", "CLEAR_STREET_BASE_URL"),
        ],
    )
    def test_tells_a_wrong_key_from_a_wrong_address(
        self, fault: Fault, heading: str, what_to_do: str, desk_client: Client
    ) -> None:
        shine(Verdict.NOT_ARMED, broker=fault)
        AccountList.objects.create(tried_at=timezone.now(), error="the words of the broker")
        text = told(desk_client)
        assert f"<h2>{heading}</h2> <p>" in text
        assert what_to_do in text.partition(heading)[2].partition("</p>")[0]
        assert "the words of the broker" in text

    def test_names_both_while_nobody_has_looked_which_it_is(self, desk_client: Client) -> None:
        AccountList.objects.create(tried_at=timezone.now(), error="something odd")
        text = told(desk_client).partition("The broker did not name its accounts")[2]
        assert "CLEAR_STREET_BASE_URL" in text
        assert "CLEAR_STREET_API_KEY" in text

    def test_says_that_a_key_sees_none(self, desk_client: Client) -> None:
        AccountList.objects.create(tried_at=timezone.now(), listed_at=timezone.now())
        assert "The key sees no account" in told(desk_client)

    def test_says_that_nobody_has_asked_yet(self, desk_client: Client) -> None:
        assert "for the first time" in told(desk_client)

    def test_still_has_the_button_for_those_who_may_kill(self, clients: Callable[[str], Client]) -> None:
        assert "KILL ALL" in told(clients("risk desk"))
        assert "KILL ALL" not in told(clients("compliance"))


def test_a_note_for_newcomers_stands_on_the_desk(desk_client: Client, settings: object) -> None:
    assert "newcomer" not in told(desk_client)
    settings.DESK_NOTE = "An algorithm runs away <soon>."  # type: ignore[attr-defined]
    assert "An algorithm runs away <soon>." in told(desk_client)
