"""The audit trail and the users."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from killswitch.access.roles import role_of
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from tests.conftest import unrecorded

KILL_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")


def write(**fields: Any) -> None:
    values: dict[str, Any] = {
        "kind": Kind.ATTEMPT_ANSWERED,
        "at": datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC),
        "sentence": "the broker answered",
    }
    append([Draft(**{**values, **fields})])


class TestTrail:
    @pytest.fixture
    def entries(self, compliance_client: Client) -> Client:
        write(sentence="one", account_id=1001, actor=Actor(name="ann"), order_id="order-1")
        write(sentence="two", kind=Kind.ORDER_ENDED, outcome="canceled", kill_id=KILL_ID, symbol="AAPL")
        write(sentence="three", at=datetime(2026, 11, 21, 9, 0, tzinfo=UTC))
        return compliance_client

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("q=order-1", ["one"]),
            ("q=aapl", ["two"]),
            ("kind=order.ended", ["two"]),
            ("account=1001", ["one"]),
            (f"kill={KILL_ID}", ["two"]),
            ("person=ann", ["one"]),
            ("outcome=canceled", ["two"]),
            ("since=2026-11-21&kind=attempt.answered", ["three"]),
            ("until=2026-11-20", ["two", "one"]),
            ("since=2026-11-20T12:00:00.123456Z&until=2026-11-20 12:00:00.123456", ["two", "one"]),
            ("until=2026-11-20 12:00:00", []),
            ("person=ann&outcome=canceled", []),
        ],
    )
    def test_finds_what_is_asked_for(self, query: str, found: list[str], entries: Client) -> None:
        page = entries.get(f"/audit/?{query}").context["trail"]
        assert [entry.sentence for entry in page.entries] == found

    @pytest.mark.parametrize(
        "query",
        [
            "kind=x",
            "account=x",
            "account=99999999999999999999",
            "kill=x",
            "since=soon",
            "until=32",
            "before=x",
            "acount=1",
        ],
    )
    def test_finds_nothing_by_a_search_that_is_not_understood(self, query: str, entries: Client) -> None:
        response = entries.get(f"/audit/?{query}")
        assert response.status_code == 400
        assert b'class="error"' in response.content
        assert "trail" not in response.context

    def test_shows_times_to_the_microsecond(self, entries: Client) -> None:
        assert b"2026-11-20 12:00:00.123456" in entries.get("/audit/").content

    def test_shows_each_field(self, compliance_client: Client) -> None:
        write(
            sentence="<b>x</b>", http_status=503, latency_us=12_345, request_id="req-1", broker_status="PENDING_CANCEL"
        )
        text = compliance_client.get("/audit/").content.decode()
        for words in ("&lt;b&gt;x", ">503<", ">12.3<", "req-1", "PENDING CANCEL"):
            assert words in text

    def test_pages_older_and_newer_and_keeps_the_search(self, compliance_client: Client) -> None:
        for number in range(201):
            write(sentence=f"entry {number}", account_id=7)
        first = compliance_client.get("/audit/?account=7")
        assert len(first.context["trail"].entries) == 100
        older = f"/audit/?account=7&before={first.context['trail'].older}"
        assert f'href="?account=7&amp;before={first.context["trail"].older}"' in first.content.decode()
        second = compliance_client.get(older).context["trail"]
        assert second.entries[0].sentence == "entry 100"
        last = compliance_client.get(f"/audit/?account=7&before={second.older}").context["trail"]
        assert [entry.sentence for entry in last.entries] == ["entry 0"]
        back = compliance_client.get(f"/audit/?account=7&after={last.newer}").context["trail"]
        assert [entry.id for entry in back.entries] == [entry.id for entry in second.entries]


class TestEntry:
    def test_shows_everything(self, compliance_client: Client) -> None:
        write(kill_id=KILL_ID, account_id=9, order_id="a/b", actor=Actor(id=3, name="ann"), data={"why": "<b>"})
        entry = Entry.objects.latest("id")
        text = compliance_client.get(f"/audit/{entry.pk}/").content.decode()
        for words in (
            f'href="/kills/{KILL_ID}/"',
            'href="/audit/?account=9"',
            'href="/audit/?q=a%2Fb"',
            'href="/audit/?person=ann"',
            "&quot;why&quot;: &quot;&lt;b&gt;&quot;",
        ):
            assert words in text

    def test_is_not_found_where_there_is_none(self, compliance_client: Client) -> None:
        assert compliance_client.get("/audit/999999/").status_code == 404


NEW = {"name": "newone", "password": "a long good passphrase", "role": "compliance"}


class TestNewUser:
    def test_adds_a_user_with_a_role_and_an_entry(self, admin_client_: Client) -> None:
        assert admin_client_.post("/users/new/", NEW).status_code == 302
        user = User.objects.get(username="newone")
        assert (role_of(user), user.is_superuser, user.is_staff) == ("compliance", False, False)
        assert user.check_password(NEW["password"])
        entry = Entry.objects.get(kind=Kind.USER_CHANGED)
        assert entry.actor_name == "admin"
        assert "newone" in entry.sentence
        assert NEW["password"] not in str(entry.data)

    @pytest.mark.parametrize(
        "bad", [{"role": ""}, {"role": "boss"}, {"password": "short"}, {"name": "ADMIN"}, {"name": "a b"}, {"name": ""}]
    )
    def test_refuses_what_is_wrong(self, bad: dict[str, str], admin_client_: Client) -> None:
        response = admin_client_.post("/users/new/", {**NEW, **bad})
        assert response.status_code == 400
        assert b"NOT ADDED" in response.content
        assert User.objects.count() == 1

    def test_gives_nobody_more_than_a_role(self, admin_client_: Client) -> None:
        admin_client_.post("/users/new/", {**NEW, "is_superuser": "on", "is_staff": "on"})
        assert not User.objects.filter(is_superuser=True).exists()


class TestUser:
    @pytest.fixture
    def other(self, db: None) -> User:
        with unrecorded():
            return User.objects.create_user("other", password="a long good passphrase")

    def test_changes_role_password_and_whether_one_may_log_in(self, admin_client_: Client, other: User) -> None:
        form = {"role": "risk desk", "password": "another good passphrase"}
        assert admin_client_.post(f"/users/{other.pk}/", form).status_code == 302
        other.refresh_from_db()
        assert (role_of(other), other.is_active) == ("risk desk", False)
        assert other.check_password(form["password"])
        sentence = Entry.objects.get(kind=Kind.USER_CHANGED).sentence
        assert sentence == "admin changed user other: role from none to risk desk, shut out, new password"

    def test_keeps_a_password_that_is_left_empty(self, admin_client_: Client, other: User) -> None:
        admin_client_.post(f"/users/{other.pk}/", {"role": "compliance", "is_active": "on"})
        other.refresh_from_db()
        assert other.check_password("a long good passphrase")

    def test_gives_no_role_by_chance(self, admin_client_: Client, other: User) -> None:
        assert admin_client_.post(f"/users/{other.pk}/", {"role": "", "is_active": "on"}).status_code == 400
        assert role_of(other) == ""

    def test_lets_nobody_change_their_own_role_or_shut_themselves_out(self, admin_client_: Client) -> None:
        me = User.objects.get(username="admin")
        admin_client_.post(f"/users/{me.pk}/", {"role": "risk desk"})
        me.refresh_from_db()
        assert (role_of(me), me.is_active) == ("administrator", True)
        assert not Entry.objects.filter(kind=Kind.USER_CHANGED).exists()

    def test_leaves_superusers_alone(self, admin_client_: Client) -> None:
        root = User.objects.create_superuser("root", password="x")
        assert admin_client_.get(f"/users/{root.pk}/").status_code == 404
        assert b"root" not in admin_client_.get("/users/").content
