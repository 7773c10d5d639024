"""How long a log-in lasts, and what ends it sooner."""

import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from killswitch.access.operations import change_user
from killswitch.access.roles import COMPLIANCE, RISK_DESK
from killswitch.audit.operations import Actor

HOUR = 3600


@pytest.fixture
def desk(people: dict[str, User]) -> Client:
    client = Client()
    client.post("/login/", {"username": "desk", "password": "secret-enough"})
    return client


def is_in(client: Client) -> bool:
    return client.get("/help/").status_code == 200


def age(client: Client, *, logged_in: float, renewed: float) -> None:
    session = client.session
    session["logged_in_at"], session["renewed_at"] = time.time() - logged_in, time.time() - renewed
    session.save()


def hours_left() -> float:
    return (Session.objects.get().expire_date - timezone.now()).total_seconds() / HOUR


@pytest.mark.parametrize(
    ("role", "is_active", "password"),
    [(COMPLIANCE, True, ""), (RISK_DESK, False, ""), (RISK_DESK, True, "another secret of theirs")],
)
def test_a_change_of_role_or_password_ends_every_session_of_that_user_alone(
    role: str, is_active: bool, password: str, people: dict[str, User], desk: Client
) -> None:
    other = Client()
    other.force_login(people["desk2"])
    actor = Actor(id=people["admin"].pk, name="admin")
    change_user(user=people["desk"], role=role, is_active=is_active, password=password, actor=actor)
    assert not is_in(desk)
    assert is_in(other)
    assert [session.get_decoded()["_auth_user_id"] for session in Session.objects.all()] == [str(people["desk2"].pk)]


def test_a_change_in_a_shell_ends_it_too(people: dict[str, User], desk: Client) -> None:
    people["desk"].groups.clear()
    assert not is_in(desk)


def test_a_password_that_is_only_stored_anew_ends_nothing(people: dict[str, User], desk: Client) -> None:
    again = Client()
    again.post("/login/", {"username": "desk", "password": "secret-enough"})
    assert is_in(desk) and is_in(again)


class TestRenewal:
    def test_whoever_opens_a_page_after_half_the_time_stays(self, desk: Client) -> None:
        age(desk, logged_in=7 * HOUR, renewed=7 * HOUR)
        Session.objects.update(expire_date=timezone.now() + timedelta(hours=5))
        assert is_in(desk)
        assert 11.9 < hours_left() <= 12

    def test_nobody_stays_longer_than_twice_the_time(self, desk: Client) -> None:
        age(desk, logged_in=21 * HOUR, renewed=10 * HOUR)
        assert is_in(desk)
        assert 2.9 < hours_left() <= 3

    def test_a_page_that_polls_by_itself_renews_nothing(self, desk: Client) -> None:
        age(desk, logged_in=7 * HOUR, renewed=7 * HOUR)
        Session.objects.update(expire_date=timezone.now() + timedelta(hours=5))
        desk.get("/light/", headers={"HX-Request": "true"})
        assert hours_left() < 5.1

    def test_a_press_writes_no_session(self, desk: Client) -> None:
        age(desk, logged_in=7 * HOUR, renewed=7 * HOUR)
        Session.objects.update(expire_date=timezone.now() + timedelta(hours=5))
        desk.post("/kills/", {})
        assert hours_left() < 5.1
