"""Who fails too often is locked out at that address under that name, and nobody else is."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from killswitch.access import lockout
from killswitch.access.models import FailedLogIns
from killswitch.audit.models import Entry, Kind

PASSWORD = "secret-enough"


def log_in(name: str, password: str, address: str, **headers: str) -> int:
    form = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address).post("/login/", form, headers=headers).status_code


@pytest.fixture
def few_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "FAILURES", 3)


def test_a_hundred_failures_at_one_address_do_not_keep_the_same_user_out_at_another(people: dict[str, User]) -> None:
    for _ in range(100):
        assert log_in("desk", "guess", "10.0.0.1") == 200
    assert log_in("desk", PASSWORD, "10.0.0.1") == 200
    assert log_in("desk", PASSWORD, "10.0.0.2") == 302
    assert log_in("desk2", PASSWORD, "10.0.0.1") == 302


def test_a_lock_out_is_one_entry_and_what_is_tried_during_it_is_none(people: dict[str, User]) -> None:
    for _ in range(lockout.FAILURES + 5):
        log_in("desk", "guess", "10.0.0.1")
    kinds = [*Entry.objects.order_by("id").values_list("kind", flat=True)]
    assert kinds == [Kind.LOGIN_FAILED] * lockout.FAILURES + [Kind.LOCKED_OUT]
    entry = Entry.objects.get(kind=Kind.LOCKED_OUT)
    assert entry.sentence.startswith("desk is locked out at one address until ")
    assert entry.source == "web 10.0.0.1"


def test_the_page_says_until_when(people: dict[str, User], few_failures: None) -> None:
    client = Client(REMOTE_ADDR="10.0.0.1")
    for _ in range(3):
        text = client.post("/login/", {"username": "Desk", "password": "guess"}).content.decode()
    assert f"none is taken here until {FailedLogIns.objects.get().locked_until:%H:%M} UTC" in text


def test_a_name_that_nobody_has_is_locked_out_alike_and_stored_nowhere(db: None, few_failures: None) -> None:
    for _ in range(4):
        log_in("hunter2-typed-in-the-wrong-field", "x", "10.0.0.1")
    assert Entry.objects.filter(kind=Kind.LOCKED_OUT).count() == 1
    stored = [*FailedLogIns.objects.values_list("name_mark", "address"), *Entry.objects.values_list("sentence", "data")]
    assert "hunter2" not in str(stored)


def test_it_ends_by_itself(people: dict[str, User], few_failures: None) -> None:
    for _ in range(3):
        log_in("desk", "guess", "10.0.0.1")
    FailedLogIns.objects.update(locked_until=timezone.now() - timedelta(seconds=1))
    assert log_in("desk", "guess", "10.0.0.1") == 200
    assert log_in("desk", PASSWORD, "10.0.0.1") == 302


def test_a_log_in_begins_the_count_anew(people: dict[str, User], few_failures: None) -> None:
    for password in ("guess", "guess", PASSWORD, "guess", "guess", PASSWORD):
        status = log_in("desk", password, "10.0.0.1")
    assert status == 302


class TestBehindProxies:
    def test_the_address_is_the_one_that_the_outermost_of_ours_saw(self, people: dict[str, User], settings) -> None:  # type: ignore[no-untyped-def]
        settings.PROXIES = 2
        log_in("desk", PASSWORD, "10.9.9.9", x_forwarded_for="1.1.1.1, 192.0.2.7, 10.0.0.5")
        assert Entry.objects.get(kind=Kind.LOGGED_IN).source == "web 192.0.2.7"

    def test_a_header_that_nobody_of_ours_wrote_is_not_believed(self, people: dict[str, User]) -> None:
        log_in("desk", PASSWORD, "10.9.9.9", x_forwarded_for="1.1.1.1")
        assert Entry.objects.get(kind=Kind.LOGGED_IN).source == "web 10.9.9.9"
