"""Codes from an app and recovery codes beside the password."""

import re
import time
import uuid
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.auth.models import User
from django.test import Client

from killswitch.access import lockout
from killswitch.access.roles import RISK_DESK
from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill

PASSWORD = "secret-enough"


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def with_password(name: str = "desk", **options: Any) -> Client:
    client = Client(**options)
    client.post("/login/", {"username": name, "password": PASSWORD})
    return client


def is_in(client: Client) -> bool:
    return client.get("/help/").status_code == 200


def set_up_codes(client: Client) -> str:
    """Set up codes from an app as a person does. Return the secret."""
    page = client.get("/second-factor/app/")
    if page.status_code == 302:
        client.post("/login/again/password/?next=/second-factor/app/", {"password": PASSWORD})
        page = client.get("/second-factor/app/")
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page.content.decode())[1]  # type: ignore[index]
    assert client.post("/second-factor/app/", {"code": code_of(secret)}).status_code == 302
    return secret


@pytest.fixture
def secret(people: dict[str, User], django_capture_on_commit_callbacks: Any) -> str:
    with django_capture_on_commit_callbacks(execute=True):
        return set_up_codes(with_password())


def test_the_password_alone_lets_nobody_in_who_has_one(secret: str) -> None:
    client = with_password()
    assert not is_in(client)
    client.post("/login/second/", {"code": "000000"})
    assert not is_in(client)


def test_the_code_lets_in_and_leads_to_the_page_that_was_wanted(secret: str) -> None:
    client = Client()
    client.post("/login/", {"username": "desk", "password": PASSWORD, "next": "/kills/"})
    assert client.post("/login/second/", {"code": code_of(secret)})["Location"] == "/kills/"
    assert is_in(client)


def test_a_code_is_taken_once(secret: str) -> None:
    code = code_of(secret)
    first, second = with_password(), with_password()
    first.post("/login/second/", {"code": code})
    second.post("/login/second/", {"code": code})
    assert (is_in(first), is_in(second)) == (True, False)


def test_a_recovery_code_lets_in_once(secret: str) -> None:
    code = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()[0]
    first, second = with_password(), with_password()
    first.post("/login/second/", {"code": code})
    second.post("/login/second/", {"code": code})
    assert (is_in(first), is_in(second)) == (True, False)


def test_the_secret_does_not_stand_in_the_database_nor_in_the_record(secret: str) -> None:
    assert secret not in str([*Authenticator.objects.values_list("data", flat=True)])
    entries = [*Entry.objects.filter(kind=Kind.USER_CHANGED).values_list("sentence", "data")]
    assert "desk changed user desk: codes from an app added" in str(entries)
    assert secret not in str(entries)


def test_another_secret_key_makes_every_code_wrong(secret: str, settings: Any) -> None:
    settings.SECRET_KEY = "another"
    client = with_password()
    client.post("/login/second/", {"code": code_of(secret)})
    assert not is_in(client)


def test_wrong_codes_are_counted_and_locked_out_as_wrong_passwords_are(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockout, "FAILURES", 3)
    client, elsewhere = with_password(REMOTE_ADDR="10.0.0.1"), with_password(REMOTE_ADDR="10.0.0.2")
    for _ in range(3):
        client.post("/login/second/", {"code": "000000"})
    client.post("/login/second/", {"code": code_of(secret)})
    assert not is_in(client)
    assert Entry.objects.filter(kind=Kind.LOCKED_OUT).count() == 1
    elsewhere.post("/login/second/", {"code": code_of(secret)})
    assert is_in(elsewhere)


def test_an_administrator_lets_it_be_forgotten_which_is_an_entry_and_ends_sessions(
    secret: str, people: dict[str, User]
) -> None:
    inside, admin = with_password(), with_password("admin")
    inside.post("/login/second/", {"code": code_of(secret)})
    assert "Forget the second factor" in admin.get(f"/users/{people['desk'].pk}/").content.decode()
    assert "Forget the second factor" not in admin.get(f"/users/{people['desk2'].pk}/").content.decode()
    form = {"role": RISK_DESK, "is_active": "on", "password": "", "forget_second_factor": "on"}
    assert admin.post(f"/users/{people['desk'].pk}/", form).status_code == 302
    assert not Authenticator.objects.exists()
    entry = Entry.objects.filter(kind=Kind.USER_CHANGED).latest("id")
    assert entry.sentence == "admin changed user desk: second factor forgotten"
    assert not is_in(inside)
    assert is_in(with_password())


class TestWhereARoleNeedsOne:
    @pytest.fixture(autouse=True)
    def needed(self, settings: Any) -> None:
        settings.SECOND_FACTOR_FOR = [RISK_DESK, "administrator"]

    def test_who_lacks_it_can_see_and_kill_all_the_same(self, people: dict[str, User]) -> None:
        client = with_password()
        for address in ("/", "/accounts/1001/", "/kills/", "/kills/new/?account=1001", "/help/"):
            answer = client.get(address)
            assert answer.status_code == 200
            assert "Set up your second factor" in answer.content.decode()
        client.post("/kills/", {"account": "1001", "idempotency_key": str(uuid.uuid4())})
        assert Kill.objects.get().engaged_by_name == "desk"

    @pytest.mark.parametrize("name", ["admin", "desk"])
    def test_everything_else_waits_for_it(self, name: str, people: dict[str, User]) -> None:
        client = with_password(name)
        for address in ("/telling/", "/drills/"):
            assert client.get(address)["Location"] == "/second-factor/"
        assert client.post("/users/new/", {})["Location"] == "/second-factor/"

    def test_who_has_it_goes_on(self, people: dict[str, User]) -> None:
        client = with_password()
        set_up_codes(client)
        assert client.get("/telling/").status_code == 200
        assert "Set up your second factor" not in client.get("/").content.decode()

    def test_other_roles_do_not_wait(self, people: dict[str, User]) -> None:
        assert with_password("compliance").get("/audit/").status_code == 200
