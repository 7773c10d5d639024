"""Which accounts a person has: their own limit and those of their teams add up, and one that is empty limits."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.test.utils import CaptureQueriesContext

from killswitch.access.accounts import Accounts, accounts_of
from killswitch.access.models import AccountLimit
from killswitch.access.operations import Given, OwnRights, add_team, change_team, limit_user
from killswitch.access.role_names import COMPLIANCE, RISK_DESK
from killswitch.access.roles import give_role, give_teams, role_of, teams_of
from killswitch.audit.models import Entry
from killswitch.audit.operations import Actor
from tests.conftest import unrecorded

ROOT = Actor(id=7, name="root", source="web 10.0.0.1")
pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    with unrecorded():
        user = User.objects.create_user("ann")
        give_role(user, RISK_DESK)
    return user


def team(name: str, *people: User, **values: Any) -> Group:
    with unrecorded():
        group = Group.objects.create(name=name)
        AccountLimit.objects.create(group=group, **values)
        group.user_set.add(*people)
    return group


def own(user: User, **values: Any) -> None:
    with unrecorded():
        AccountLimit.objects.create(user=user, **values)


def has(sees: set[int] | None, kills: set[int] | None) -> Accounts:
    return Accounts(*(None if each is None else frozenset(each) for each in (sees, kills)))


class TestAccountsOf:
    def test_nobody_s_limit_is_none(self, ann: User) -> None:
        team("europe", kills=[5])
        found = accounts_of(ann)
        assert found == Accounts()
        assert (found.is_limited, found.may_see(1), found.may_kill(1)) == (False, True, True)

    def test_an_empty_limit_limits(self, ann: User) -> None:
        own(ann)
        found = accounts_of(ann)
        assert found == has(set(), set())
        assert (found.is_limited, found.may_see(1), found.may_kill(1)) == (True, False, False)

    def test_what_may_be_killed_may_be_seen(self, ann: User) -> None:
        own(ann, sees=[1], kills=[2])
        assert accounts_of(ann) == has({1, 2}, {2})

    def test_limits_add_up(self, ann: User) -> None:
        own(ann, sees=[1])
        team("europe", ann, sees=[2], kills=[3])
        team("asia", ann, kills=[4])
        team("us", kills=[5])
        assert accounts_of(ann) == has({1, 2, 3, 4}, {3, 4})

    def test_of_a_team_alone_limits(self, ann: User) -> None:
        team("europe", ann)
        assert accounts_of(ann) == has(set(), set())

    def test_who_sees_all_kills_only_what_was_given(self, ann: User) -> None:
        own(ann, sees_all=True)
        team("europe", ann, sees=[2], kills=[3])
        found = accounts_of(ann)
        assert found == has(None, {3})
        assert (found.may_see(99), found.may_kill(99), found.not_to_kill([99, 3])) == (True, False, [99])

    def test_nobody_who_is_not_logged_in_sees_one(self) -> None:
        assert accounts_of(AnonymousUser()) == has(set(), set())

    def test_is_one_query(self, ann: User) -> None:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            accounts_of(ann)
        assert len(queries) == 1


class TestALimit:
    @pytest.mark.parametrize("whose", ["nobody", "both"])
    def test_belongs_to_one_user_or_one_group(self, whose: str, ann: User) -> None:
        values: dict[str, Any] = {"user": ann, "group": Group.objects.get(name=COMPLIANCE)} if whose == "both" else {}
        with unrecorded(), pytest.raises(IntegrityError), transaction.atomic():
            AccountLimit.objects.create(**values)

    def test_keeps_its_team(self, ann: User) -> None:
        """Without the team its people would see everything."""
        group = team("europe", ann, kills=[1])
        with pytest.raises(ProtectedError):
            group.delete()


class TestTeams:
    def test_stay_when_the_role_becomes_another(self, ann: User) -> None:
        team("europe", ann, kills=[1])
        give_role(ann, COMPLIANCE)
        assert (role_of(ann), [each.name for each in teams_of(ann)]) == (COMPLIANCE, ["europe"])

    def test_leave_the_role_alone(self, ann: User) -> None:
        team("europe", ann, kills=[1])
        team("asia", kills=[1])
        give_teams(ann, ["asia"])
        assert (role_of(ann), [each.name for each in teams_of(ann)]) == (RISK_DESK, ["asia"])

    def test_that_give_rights_are_none(self, ann: User) -> None:
        group = team("europe", ann)
        group.permissions.set(Group.objects.get(name=COMPLIANCE).permissions.all())
        assert list(teams_of(ann)) == []


class TestOperations:
    def told(self) -> list[str]:
        return list(Entry.objects.order_by("id").values_list("sentence", flat=True))

    def test_one_change_is_one_entry_that_says_from_what_to_what(self, ann: User) -> None:
        europe = team("europe", kills=[1])
        limit_user(user=ann, given=Given(sees=(4,), kills=(5,)), teams=[europe], actor=ROOT)
        limit_user(user=ann, given=Given(sees=(4,), kills=(5,)), teams=[europe], actor=ROOT)
        limit_user(user=ann, given=None, teams=[], actor=ROOT)
        assert self.told() == [
            "root changed user ann: teams from none to europe, accounts from “not limited” to “see 4; kill 5”",
            "root changed user ann: teams from europe to none, accounts from “see 4; kill 5” to “not limited”",
        ]
        entry = Entry.objects.earliest("id")
        assert entry.data["accounts"] == {"sees_all": False, "sees": [4], "kills": [5]}
        assert entry.actor_name == "root"

    def test_a_team_is_told_of_with_its_accounts(self) -> None:
        group = add_team(name="europe", given=Given(kills=(5,)), actor=ROOT)
        change_team(team=group, given=Given(sees_all=True), actor=ROOT)
        assert self.told() == [
            "root changed team europe: added, accounts from “not limited” to “see none; kill 5”",
            "root changed team europe: accounts from “see none; kill 5” to “see all; kill none”",
        ]

    def test_nobody_changes_their_own(self, ann: User) -> None:
        me = Actor(id=ann.pk, name="ann", source="web")
        group = team("europe", ann, kills=[1])
        with pytest.raises(OwnRights):
            limit_user(user=ann, given=None, teams=[], actor=me)
        with pytest.raises(OwnRights):
            change_team(team=group, given=Given(sees_all=True), actor=me)
        assert self.told() == []
        assert accounts_of(ann) == has({1}, {1})
