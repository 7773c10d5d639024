"""Single sign-on against a provider that speaks OpenID Connect on loopback."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client

from killswitch.access.accounts import Accounts, accounts_of
from killswitch.access.models import AccountLimit
from killswitch.access.roles import ADMINISTRATOR, COMPLIANCE, RISK_DESK, role_of, teams_of
from killswitch.audit.models import Entry, Kind
from tests.conftest import unrecorded

from .identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider, running


@pytest.fixture
def provider(db: None, settings: Any) -> Iterator[IdentityProvider]:
    with running() as provider:
        provider.claims = {"sub": "0001", "preferred_username": "ann", "groups": ["staff", "ks-desk"]}
        settings.SSO_ISSUER, settings.SSO_NAME = provider.issuer, "Example ID"
        settings.SSO_ROLES = {RISK_DESK: ["ks-desk"], COMPLIANCE: ["ks-compliance"], ADMINISTRATOR: ["ks-admin"]}
        app = {
            "provider_id": "sso",
            "name": "Example ID",
            "client_id": CLIENT_ID,
            "secret": CLIENT_SECRET,
            "settings": {"server_url": provider.issuer},
        }
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
        yield provider


def log_in(client: Client, query: str = "") -> HttpResponse:
    """Go the way that a browser goes, over the provider and back."""
    there = client.get(f"/login/sso/sso/{query}")
    assert there.status_code == 302
    back = urlsplit(httpx.get(there["Location"]).headers["Location"])
    assert back.path == "/login/sso/sso/callback/"
    return client.get(f"{back.path}?{back.query}")  # type: ignore[return-value]


def is_in(client: Client) -> bool:
    return client.get("/help/").status_code == 200


def test_the_log_in_page_offers_it(provider: IdentityProvider) -> None:
    assert "Log in with Example ID" in Client().get("/login/").content.decode()


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["ks-desk"], RISK_DESK),
        (["staff", "ks-compliance"], COMPLIANCE),
        (["ks-admin"], ADMINISTRATOR),
        (["ks-admin", "ks-desk"], RISK_DESK),
        ("ks-compliance", COMPLIANCE),
    ],
)
def test_groups_say_the_role(groups: Any, role: str, provider: IdentityProvider) -> None:
    provider.claims["groups"] = groups
    client = Client()
    assert log_in(client)["Location"] == "/"
    user = User.objects.get()
    assert (user.username, role_of(user), user.has_usable_password(), user.email) == ("ann", role, False, "")
    assert is_in(client)


def test_groups_may_stand_in_the_token_alone(provider: IdentityProvider) -> None:
    provider.in_token_alone = ("groups",)
    client = Client()
    log_in(client)
    assert is_in(client)


def test_it_leads_back_to_the_page_that_was_wanted(provider: IdentityProvider) -> None:
    assert log_in(Client(), "?next=/kills/")["Location"] == "/kills/"
    assert log_in(Client(), "?next=https://evil.example/")["Location"] == "/"


@pytest.mark.parametrize("groups", [[], ["staff"], None])
def test_whoever_is_in_no_group_with_a_role_is_refused_and_it_is_an_entry(
    groups: Any, provider: IdentityProvider
) -> None:
    provider.claims["groups"] = groups
    client = Client()
    answer = log_in(client)
    assert (answer.status_code, is_in(client), User.objects.count()) == (403, False, 0)
    entry = Entry.objects.get(kind=Kind.LOGIN_FAILED)
    assert entry.sentence == "A log-in was refused: ann is in none of the groups that have a role here"


def test_a_change_of_groups_changes_the_role_at_the_next_log_in_and_ends_older_sessions(
    provider: IdentityProvider,
) -> None:
    first, second = Client(), Client()
    log_in(first)
    provider.claims["groups"] = ["ks-compliance"]
    log_in(second)
    assert role_of(User.objects.get()) == COMPLIANCE
    assert (is_in(first), is_in(second)) == (False, True)
    changed = Entry.objects.filter(kind=Kind.USER_CHANGED).latest("id")
    assert changed.sentence == "Example ID changed user ann: role from risk desk to compliance"


def test_who_is_shut_out_here_stays_out(provider: IdentityProvider) -> None:
    log_in(Client())
    User.objects.update(is_active=False)
    client = Client()
    assert log_in(client).status_code == 403
    assert not is_in(client)


def test_a_local_user_of_the_same_name_is_not_taken_over(provider: IdentityProvider) -> None:
    User.objects.create_user("Ann", password="correct horse battery")
    client = Client()
    assert log_in(client).status_code == 403
    assert not is_in(client)


def test_another_person_of_the_same_name_there_is_not_let_in(provider: IdentityProvider) -> None:
    log_in(Client())
    provider.claims["sub"] = "0002"
    assert log_in(Client()).status_code == 403


def test_a_token_for_another_client_is_refused(provider: IdentityProvider) -> None:
    provider.audience = "somebody-else"
    client = Client()
    assert log_in(client).status_code == 401
    assert not is_in(client)


def test_an_answer_that_nobody_asked_for_is_refused(provider: IdentityProvider) -> None:
    client = Client()
    assert client.get("/login/sso/sso/callback/?code=x&state=y").status_code == 401
    assert not is_in(client)


def test_an_outage_says_so_and_the_password_goes_on(provider: IdentityProvider, people: dict[str, User]) -> None:
    provider.server_close()
    provider.socket.close()
    client = Client()
    answer = client.get("/login/sso/sso/")
    assert answer.status_code == 503
    text = answer.content.decode()
    assert "Example ID does not answer" in text and 'href="/login/"' in text
    client.post("/login/", {"username": "desk", "password": "secret-enough"})
    assert is_in(client)


def test_somebody_of_the_provider_shows_there_who_they_are_before_a_change_of_users(
    provider: IdentityProvider, settings: Any
) -> None:
    provider.claims["groups"] = ["ks-admin"]
    client = Client()
    log_in(client)
    assert client.get("/users/new/").status_code == 200
    settings.FRESH_SECONDS = 0
    again = client.get("/users/new/")["Location"]
    there = client.get(again)["Location"]
    assert there.startswith("/login/sso/sso/?") and "prompt%3Dlogin" in there
    settings.FRESH_SECONDS = 300
    assert log_in(client, "?" + urlsplit(there).query)["Location"] == "/users/new/"
    assert provider.asked[-1]["prompt"] == "login"


class TestTeams:
    """With SSO_TEAMS, groups say which accounts somebody has."""

    @pytest.fixture(autouse=True)
    def teams(self, provider: IdentityProvider, settings: Any) -> None:
        settings.SSO_TEAMS = {"europe": ["ks-europe"], "asia": ["ks-asia"], "*": ["ks-everything"]}
        with unrecorded():
            AccountLimit.objects.create(group=Group.objects.create(name="europe"), kills=[1001])

    def come(self, provider: IdentityProvider, *groups: str) -> HttpResponse:
        provider.claims["groups"] = ["ks-desk", *groups]
        return log_in(Client())

    def ann(self) -> User:
        return User.objects.get(username="ann")

    def test_are_set_at_each_log_in(self, provider: IdentityProvider) -> None:
        self.come(provider, "ks-europe")
        assert accounts_of(self.ann()) == Accounts(frozenset({1001}), frozenset({1001}))
        self.come(provider, "ks-everything", "ks-europe")
        assert accounts_of(self.ann()) == Accounts()
        self.come(provider, "ks-europe")
        assert accounts_of(self.ann()).is_limited
        told = Entry.objects.filter(kind=Kind.USER_CHANGED).order_by("id").values_list("sentence", flat=True)
        assert [sentence.partition(": ")[2] for sentence in told] == [
            "added, with the role risk desk, teams from none to europe",
            "teams from europe to none",
            "teams from none to europe",
        ]

    def test_stay_with_another_role(self, provider: IdentityProvider) -> None:
        self.come(provider, "ks-europe")
        provider.claims["groups"] = ["ks-compliance", "ks-europe"]
        log_in(Client())
        assert role_of(self.ann()) == COMPLIANCE
        assert accounts_of(self.ann()).is_limited

    @pytest.mark.parametrize(
        ("group", "why"),
        [
            ("staff", "ann is in none of the groups that have accounts here"),
            ("ks-asia", "the team asia has no accounts here yet"),
        ],
    )
    def test_without_one_nobody_is_let_in(self, group: str, why: str, provider: IdentityProvider) -> None:
        answer = self.come(provider, group)
        assert answer.status_code == 403
        assert why in answer.content.decode()
        assert not User.objects.exists()
        assert why in Entry.objects.get(kind=Kind.LOGIN_FAILED).sentence

    def test_one_without_accounts_takes_nobody_elses_away(self, provider: IdentityProvider) -> None:
        assert self.come(provider, "ks-europe", "ks-asia").status_code != 403
        assert [team.name for team in teams_of(self.ann())] == ["europe"]
        assert accounts_of(self.ann()).is_limited

    def test_who_is_known_and_lost_theirs_is_not_let_in(self, provider: IdentityProvider) -> None:
        self.come(provider, "ks-europe")
        assert self.come(provider).status_code == 403
        assert accounts_of(self.ann()).is_limited
