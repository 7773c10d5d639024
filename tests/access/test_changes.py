"""Every change of who may do what is an entry, by whatever means it comes."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from killswitch.access.changes import changes_by
from killswitch.access.models import AccountLimit
from killswitch.access.operations import add_user, change_user
from killswitch.access.role_names import ADMINISTRATOR, COMPLIANCE, RISK_DESK
from killswitch.access.roles import give_role
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor
from killswitch.audit.person import actor
from tests.conftest import unrecorded

PASSWORD = "a long good passphrase"
ANN = Actor(id=7, name="ann", source="web 10.0.0.1")
pytestmark = pytest.mark.django_db


@pytest.fixture
def other() -> User:
    with unrecorded():
        user = User.objects.create_user("other", password=PASSWORD)
        give_role(user, COMPLIANCE)
    return user


def told() -> list[str]:
    return list(Entry.objects.filter(kind=Kind.USER_CHANGED).order_by("id").values_list("sentence", flat=True))


def group(name: str) -> Group:
    return Group.objects.get(name=name)


def limited(user: User, **values: Any) -> AccountLimit:
    return AccountLimit.objects.create(user=user, **values)


class TestByAnyMeans:
    """Without a word of who does it: the operating system's user stands there."""

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda user: user.groups.add(group(RISK_DESK)), ["role from compliance to compliance, risk desk"]),
            (lambda user: group(RISK_DESK).user_set.add(user), ["role from compliance to compliance, risk desk"]),
            (lambda user: user.groups.clear(), ["role from compliance to none"]),
            (lambda user: group(COMPLIANCE).user_set.clear(), ["role from compliance to none"]),
            (lambda user: group(COMPLIANCE).user_set.remove(user), ["role from compliance to none"]),
            (
                lambda user: user.groups.set([group(RISK_DESK)]),
                ["role from compliance to none", "role from none to risk desk"],
            ),
            (
                lambda user: user.user_permissions.add(Permission.objects.get(codename="engage_kill")),
                ["given kills.engage_kill"],
            ),
            (
                lambda user: Permission.objects.get(codename="engage_kill").user_set.add(user),
                ["given kills.engage_kill"],
            ),
            (lambda user: save(user, is_superuser=True), ["a superuser"]),
            (lambda user: save(user, is_active=False), ["shut out"]),
            (lambda user: save(user, username="another"), ["renamed from other"]),
            (lambda user: (user.set_password("new good passphrase"), user.save()), ["new password"]),
            (lambda user: save(user, password="!"), ["new password"]),
            (lambda user: user.delete(), ["deleted"]),
            (lambda user: limited(user, sees=[5, 7], kills=[7]), ["accounts from “not limited” to “see 5, 7; kill 7”"]),
            (
                lambda user: limited(user, sees_all=True).delete(),
                [
                    "accounts from “not limited” to “see all; kill none”",
                    "accounts from “see all; kill none” to “not limited”",
                ],
            ),
            (
                lambda user: (limited(user, kills=[7]), user.delete()),
                ["accounts from “not limited” to “see none; kill 7”", "deleted"],
            ),
            (
                lambda user: (limited(user), save(user.account_limit)),
                ["accounts from “not limited” to “see none; kill none”"],
            ),
            (lambda user: group(RISK_DESK).user_set.remove(user), []),
            (lambda user: save(user, email="other@example.com"), []),
        ],
    )
    def test_is_an_entry(self, change: Callable[[User], Any], words: list[str], other: User) -> None:
        change(other)
        name = "another" if words == ["renamed from other"] else "other"
        who = actor("process")
        assert told() == [f"{who.name} changed user {name}: {word}" for word in words]
        assert {entry.source.split(" ")[0] for entry in Entry.objects.all()} <= {"process"}

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (
                lambda: group(COMPLIANCE).permissions.add(Permission.objects.get(codename="engage_kill")),
                "role compliance: given kills.engage_kill",
            ),
            (
                lambda: Permission.objects.get(codename="engage_kill").group_set.clear(),
                "role risk desk: no longer given kills.engage_kill",
            ),
            (lambda: Group.objects.create(name="interns"), "team interns: added"),
            (
                lambda: AccountLimit.objects.create(group=group(COMPLIANCE), sees=[*range(1, 23)]),
                f"role compliance: accounts from “not limited” to “see {', '.join(map(str, range(1, 21)))} and 2 more; "
                "kill none”",
            ),
            (lambda: save(group(COMPLIANCE), name="readers"), "role readers: renamed from compliance"),
        ],
    )
    def test_of_what_a_role_may_do_is_an_entry(self, change: Callable[[], Any], words: str) -> None:
        change()
        assert [sentence.partition(" changed ")[2] for sentence in told()] == [words]

    def test_a_role_that_goes_away_names_everybody_who_had_it(self, other: User) -> None:
        group(COMPLIANCE).delete()
        assert [sentence.partition(" changed ")[2] for sentence in told()] == [
            "role compliance: deleted",
            "user other: role from compliance to none",
        ]

    def test_no_entry_holds_a_password_or_its_hash(self, other: User) -> None:
        add_user(name="newone", password=PASSWORD, role=RISK_DESK, actor=ANN)
        change_user(user=other, role=RISK_DESK, is_active=True, password="new good passphrase", actor=ANN)
        other.set_password("third good passphrase")
        other.save()
        text = str(list(Entry.objects.values()))
        other.refresh_from_db()
        for secret in (PASSWORD, "new good", "third good", other.password, "pbkdf2", "md5$"):
            assert secret not in text

    def test_is_not_lost_with_an_entry_that_cannot_be_written(self, other: User) -> None:
        """The change and its entry are one transaction."""
        with pytest.raises(RuntimeError), transaction.atomic(), changes_by(ANN):
            give_role(other, RISK_DESK)
            raise RuntimeError
        assert told() == []
        assert list(other.groups.values_list("name", flat=True)) == [COMPLIANCE]


def save(row: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.save()


class TestByAPerson:
    def test_is_one_entry_for_each_user(self, other: User) -> None:
        with changes_by(ANN):
            give_role(other, RISK_DESK)
            save(other, is_active=False)
            User.objects.create_user("third")
        assert told() == [
            "ann changed user other: role from compliance to risk desk, shut out",
            "ann changed user third: added, without a role",
        ]
        entry = Entry.objects.order_by("id")[0]
        assert (entry.actor_id, entry.actor_name, entry.source) == (7, "ann", "web 10.0.0.1")
        assert entry.data["role_before"] == COMPLIANCE
        assert entry.data["role"] == RISK_DESK
        assert entry.data["is_active"] is False

    def test_that_leaves_all_as_it_was_is_none(self, other: User) -> None:
        change_user(user=other, role=COMPLIANCE, is_active=True, password="", actor=ANN)
        assert told() == []


class TestACommand:
    def test_that_makes_a_user_and_then_changes_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NEW_USER_PASSWORD", PASSWORD)
        call_command("make_user", "carol", ADMINISTRATOR, stdout=io.StringIO())
        call_command("make_user", "carol", ADMINISTRATOR, stdout=io.StringIO())
        monkeypatch.setenv("NEW_USER_PASSWORD", "another good passphrase")
        call_command("make_user", "carol", RISK_DESK, stdout=io.StringIO())
        who = actor("manage.py make_user")
        assert told() == [
            f"{who.name} changed user carol: added, with the role administrator",
            f"{who.name} changed user carol: role from administrator to risk desk, new password",
        ]
        assert set(Entry.objects.values_list("source", flat=True)) == {who.source}
        assert User.objects.get(username="carol").check_password("another good passphrase")

    def test_that_makes_the_demo_s_people_tells_of_each_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMO_PASSWORD", PASSWORD)
        for _ in range(2):
            call_command("make_demo_users")
        assert len(told()) == 4
        assert told()[0].endswith(" changed user desk: added, with the role risk desk")
        assert {entry.source.split(" ")[1] for entry in Entry.objects.all()} == {"make_demo_users"}

    def test_that_makes_the_first_superuser(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.argv", ["manage.py", "createsuperuser", "--noinput"])
        monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
        call_command("createsuperuser", interactive=False, username="root", email="", stdout=io.StringIO())
        [sentence] = told()
        assert sentence.endswith(" changed user root: added, without a role, a superuser, staff")
        assert Entry.objects.get().source.startswith("manage.py createsuperuser ")

    def test_that_changes_a_password(self, other: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("getpass.getpass", lambda prompt: "yet another passphrase")
        call_command("changepassword", "other", stdout=io.StringIO())
        assert [sentence.partition(": ")[2] for sentence in told()] == ["new password"]


class TestALogIn:
    def entries(self) -> list[Entry]:
        return list(Entry.objects.order_by("id"))

    def try_as(self, name: str, password: str) -> Client:
        client = Client(REMOTE_ADDR="10.1.2.3")
        client.post("/login/", {"username": name, "password": password})
        return client

    def test_and_the_log_out_are_entries(self, other: User) -> None:
        self.try_as("other", PASSWORD).post("/logout/")
        assert [(entry.kind, entry.actor_name, entry.source) for entry in self.entries()] == [
            (Kind.LOGGED_IN, "other", "web 10.1.2.3"),
            (Kind.LOGGED_OUT, "other", "web 10.1.2.3"),
        ]

    def test_that_stores_the_password_anew_says_so(self, other: User) -> None:
        with unrecorded():
            other.password = make_password(PASSWORD, hasher="pbkdf2_sha256")
            other.save()
        self.try_as("other", PASSWORD)
        assert [entry.kind for entry in self.entries()] == [Kind.USER_CHANGED, Kind.LOGGED_IN]
        assert told()[0].endswith(" changed user other: password stored anew")

    def test_that_fails_names_a_user_there_is(self, other: User) -> None:
        self.try_as("OTHER", "wrong")
        [entry] = self.entries()
        assert (entry.kind, entry.sentence) == (Kind.LOGIN_FAILED, "A log-in as other was refused")
        assert (entry.actor_id, entry.actor_name, entry.source) == (None, "other", "web 10.1.2.3")

    def test_of_somebody_who_is_shut_out_says_so(self, other: User) -> None:
        with unrecorded():
            save(other, is_active=False)
        self.try_as("other", PASSWORD)
        [entry] = self.entries()
        assert (entry.kind, entry.sentence) == (
            Kind.LOGIN_FAILED,
            "A log-in as other was refused: the user is shut out",
        )

    def test_keeps_no_name_that_nobody_has(self, other: User) -> None:
        """It may be a password, typed into the wrong field."""
        for typed in ("hunter2-is-my-password", "hunter2-is-my-password", "x" * 100_000, "\x00\x1b[31m", "ünïcode"):
            self.try_as(typed, PASSWORD)
        entries = self.entries()
        assert {entry.kind for entry in entries} == {Kind.LOGIN_FAILED}
        text = str([(entry.sentence, entry.data, entry.actor_name, entry.source) for entry in entries])
        for part in ("hunter2", "xxxx", "\\x1b", "ünï", PASSWORD):
            assert part not in text
        marks = [entry.data["mark"] for entry in entries]
        assert marks[0] == marks[1]
        assert len(set(marks)) == len(marks) - 1
