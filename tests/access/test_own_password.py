"""Somebody who has a password here chooses another."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from killswitch.access import lockout
from killswitch.audit.models import Entry, Kind
from tests.conftest import unrecorded

OLD, NEW = "secret-enough", "a long new passphrase"
PAGE = "/login/password/"


def logged_in(password: str = OLD) -> Client:
    client = Client()
    client.post("/login/", {"username": "desk", "password": password})
    return client


def is_in(client: Client) -> bool:
    return client.get("/help/").status_code == 200


def told() -> list[Entry]:
    """Return what the record says of users, apart from a password that a log-in stores by the tests' own method."""
    return list(Entry.objects.filter(kind=Kind.USER_CHANGED).exclude(sentence__endswith="stored anew"))


def change(client: Client, **fields: str) -> str:
    """Send the form. Return the page that is shown then."""
    form = {"current": OLD, "password": NEW, "again": NEW, **fields}
    return client.post(PAGE, form, follow=True).content.decode()


@pytest.fixture
def desk(people: dict[str, User]) -> Client:
    return logged_in()


def test_the_new_password_logs_in_and_the_old_one_no_more(desk: Client) -> None:
    assert "Your password was changed." in change(desk)
    assert (is_in(logged_in(NEW)), is_in(logged_in(OLD))) == (True, False)
    assert "was changed" not in desk.get(PAGE).content.decode(), "said once"


def test_this_session_goes_on_and_others_of_the_same_person_end(desk: Client) -> None:
    elsewhere = logged_in()
    change(desk)
    assert (is_in(desk), is_in(elsewhere)) == (True, False)


def test_it_is_one_entry_that_says_who_and_never_what(desk: Client, people: dict[str, User]) -> None:
    change(desk)
    [entry] = told()
    assert entry.sentence == "desk changed user desk: new password"
    assert (entry.actor_id, entry.actor_name, entry.source) == (people["desk"].pk, "desk", "web 127.0.0.1")
    people["desk"].refresh_from_db()
    text = str([*Entry.objects.values()])
    assert not any(secret in text for secret in (OLD, NEW, people["desk"].password))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"current": "not mine at all"}, "This is not your password."),
        (
            {"password": "short", "again": "short"},
            "This password is too short.",
        ),
        ({"password": "passwordpassword", "again": "x"}, "The two new passwords are not the same."),
        ({"password": OLD, "again": OLD}, "This is the password that you have: choose another."),
        ({"current": ""}, "This field is required."),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(fields: dict[str, str], words: str, desk: Client) -> None:
    page = change(desk, **fields)
    assert words in page and "NOT CHANGED" in page
    assert not any(secret in page for secret in (OLD, NEW, "not mine"))
    assert is_in(logged_in(OLD))
    assert told() == []


def test_nobody_goes_on_guessing_the_current_one(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "FAILURES", 3)
    for _ in range(3):
        change(desk, current="wrong")
    assert "no password is taken until" in change(desk)
    assert Entry.objects.filter(kind=Kind.LOCKED_OUT).count() == 1
    assert is_in(desk), "a lock-out ends no session: whoever is in can kill"


def test_the_name_leads_to_it(desk: Client) -> None:
    assert 'href="/second-factor/"' in desk.get("/").content.decode()
    assert f'href="{PAGE}"' in desk.get("/second-factor/").content.decode()


def test_it_is_not_offered_to_who_comes_by_single_sign_on(people: dict[str, User]) -> None:
    client = Client()
    with unrecorded():
        people["desk"].set_unusable_password()
        people["desk"].save()
    client.force_login(people["desk"])
    assert PAGE not in client.get("/second-factor/").content.decode()
    for answer in (client.get(PAGE), client.post(PAGE, {"current": "", "password": NEW, "again": NEW})):
        assert answer.status_code == 404
        assert "have no password here" in answer.content.decode()
    people["desk"].refresh_from_db()
    assert not people["desk"].has_usable_password()
