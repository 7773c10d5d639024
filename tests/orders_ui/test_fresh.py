"""What can wait asks who it is; a kill, a reason and an acknowledgement never do."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill

PASSWORD = "secret-enough"


@pytest.fixture
def old(people: dict[str, User], settings: Any) -> dict[str, Client]:
    """Clients whose log-in was some time ago."""
    settings.FRESH_SECONDS = 0
    clients = {}
    for name in people:
        clients[name] = Client()
        clients[name].post("/login/", {"username": name, "password": PASSWORD})
    return clients


@pytest.fixture
def latched(people: dict[str, User]) -> Kill:
    return Kill.objects.create(
        idempotency_key=uuid.uuid4(),
        engaged_at=timezone.now(),
        engaged_by_id=people["desk2"].pk,
        engaged_by_name="desk2",
        scope="all orders",
        latched=True,
    )


def test_a_kill_never_asks(old: dict[str, Client]) -> None:
    assert old["desk"].get("/kills/new/?account=1001").status_code == 200
    old["desk"].post("/kills/", {"account": "1001", "idempotency_key": str(uuid.uuid4())})
    assert Kill.objects.get().engaged_by_name == "desk"


@pytest.mark.parametrize("address", ["reason", "acknowledge"])
def test_a_reason_and_an_acknowledgement_never_ask(address: str, old: dict[str, Client], latched: Kill) -> None:
    answer = old["desk"].post(f"/kills/{latched.pk}/{address}/", {"reason": "runaway", "alarm": "late", "count": 1})
    assert "/login/again/" not in answer.get("Location", "")


def test_a_release_asks_and_says_that_it_was_not_sent(old: dict[str, Client], latched: Kill, settings: Any) -> None:
    client, address = old["desk"], f"/kills/{latched.pk}/release/"
    answer = client.post(address, {"reason": "over"}, follow=True)
    assert answer.redirect_chain[0][0] == f"/login/again/?next={address.replace('/', '%2F')}&not_sent=1"
    assert "NOT SENT" in answer.content.decode()
    latched.refresh_from_db()
    assert latched.released_at is None
    settings.FRESH_SECONDS = 300
    again = client.post(answer.redirect_chain[-1][0], {"password": PASSWORD, "next": address})
    assert again["Location"] == address
    client.post(address, {"reason": "over"})
    latched.refresh_from_db()
    assert latched.released_at is not None


def test_a_wrong_password_there_does_not_do_and_is_an_entry(old: dict[str, Client]) -> None:
    client = old["admin"]
    assert client.get("/users/new/")["Location"] == "/login/again/?next=%2Fusers%2Fnew%2F"
    client.post("/login/again/password/?next=/users/new/", {"password": "guess"})
    assert client.get("/users/new/").status_code == 302
    assert Entry.objects.filter(kind=Kind.LOGIN_FAILED).count() == 1


@pytest.mark.parametrize("address", ["/users/new/", "/users/{}/"])
def test_changes_of_users_ask(address: str, old: dict[str, Client], people: dict[str, User]) -> None:
    address = address.format(people["desk"].pk)
    for answer in (old["admin"].get(address), old["admin"].post(address, {"role": "compliance"})):
        assert answer["Location"].startswith("/login/again/?next=")
    assert people["desk"].groups.get().name == "risk desk"


def test_it_leads_nowhere_else(old: dict[str, Client]) -> None:
    assert old["desk"].get("/login/again/?next=https://evil.example/")["Location"].endswith("?next=%2F")
