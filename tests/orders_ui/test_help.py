"""The page that explains the others."""

from html import unescape

import pytest
from django.test import Client

from killswitch.kills.meanings import AFTER_THE_RELEASE, IN_A_DRY_RUN, OUTCOMES, STATES, WHILE_LATCHED, Alarm, Meaning
from killswitch.kills.models import Outcome, State
from orders_ui.helpview import ROLES

EVERYTHING = [
    *STATES.values(),
    *WHILE_LATCHED.values(),
    *IN_A_DRY_RUN.values(),
    AFTER_THE_RELEASE,
    *OUTCOMES.values(),
    *(alarm.value for alarm in Alarm),
]


@pytest.fixture
def text(desk_client: Client) -> str:
    return unescape(desk_client.get("/help/").content.decode())


class TestHelp:
    def test_has_the_words_of_the_pages_themselves(self, text: str) -> None:
        for meaning in EVERYTHING:
            assert isinstance(meaning, Meaning)
            assert meaning.says in text
            assert meaning.do in text
        for word in (*State, *Outcome):
            assert f">{word.label}</dt>" in text

    def test_says_what_each_role_may_and_which_one_the_reader_has(self, text: str) -> None:
        for role, meaning in ROLES:
            assert role in text
            assert meaning in text
        assert "risk desk <small>yours</small>" in text

    def test_has_the_way_without_any_page(self, text: str) -> None:
        assert "python manage.py kill --break-glass --all-accounts" in text

    def test_is_linked_from_every_page(self, desk_client: Client) -> None:
        for page in ("/", "/kills/", "/accounts/1001/", "/nowhere/", "/users/"):
            assert '<a href="/help/"' in desk_client.get(page).content.decode()
