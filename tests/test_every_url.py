"""Every URL x every role x every method. A URL that stands in no line of TABLE fails: say who may what with it."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from killswitch.access.roles import ADMINISTRATOR, COMPLIANCE, RISK_DESK, ROLES, give_role
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Draft, append
from killswitch.kills.models import Kill
from tests.conftest import just_shown_who, unrecorded

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
NOBODY, NO_ROLE, SUPERUSER = "nobody", "no role", "superuser"
WHO = (NOBODY, NO_ROLE, *ROLES, SUPERUSER)

ANYBODY = frozenset(WHO)
LOGGED_IN = ANYBODY - {NOBODY}
SEE = LOGGED_IN - {NO_ROLE}
DESK = frozenset({RISK_DESK})
TRAIL = frozenset({COMPLIANCE, SUPERUSER})
USERS = frozenset({ADMINISTRATOR, SUPERUSER})
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """Who may read and who may post. A method that nobody may use is refused with 405, whoever asks."""

    read: frozenset[str] = NONE
    post: frozenset[str] = NONE
    head: bool = True
    needs_log_in: bool = True

    def may(self, method: str) -> frozenset[str]:
        if method == "HEAD":
            return self.read if self.head else NONE
        return {"GET": self.read, "POST": self.post}.get(method, NONE)


TABLE = {
    "desk": Rule(SEE),
    "choose": Rule(DESK),
    "account": Rule(SEE),
    "more_orders": Rule(SEE),
    "orders_text": Rule(SEE),
    "saved_filters": Rule(SEE, SEE),
    "kills": Rule(SEE, DESK),
    "confirm": Rule(DESK),
    "reach": Rule(DESK),
    "by_key": Rule(SEE),
    "kill": Rule(SEE),
    "kill_json": Rule(SEE),
    "release": Rule(DESK, DESK),
    "reason": Rule(DESK, DESK),
    "acknowledge": Rule(NONE, DESK),
    "call_sheet": Rule(SEE),
    "call_sheet_text": Rule(SEE),
    "summary": Rule(TRAIL),
    "pack": Rule(TRAIL, head=False),
    "drills": Rule(SEE, DESK),
    "audit": Rule(TRAIL),
    "export": Rule(TRAIL, head=False),
    "entry": Rule(TRAIL),
    "verification": Rule(TRAIL, TRAIL),
    "anchors": Rule(TRAIL),
    "verifier": Rule(TRAIL),
    "public_key": Rule(TRAIL),
    "telling": Rule(SEE, SEE - {COMPLIANCE}),
    "users": Rule(USERS),
    "new_user": Rule(USERS, USERS),
    "user": Rule(USERS, USERS),
    "user_accounts": Rule(USERS, USERS),
    "teams": Rule(USERS),
    "new_team": Rule(USERS, USERS),
    "team": Rule(USERS, USERS),
    "go": Rule(LOGGED_IN),
    "go_json": Rule(LOGGED_IN),
    "help": Rule(LOGGED_IN),
    "light": Rule(LOGGED_IN, needs_log_in=False),
    "login": Rule(ANYBODY, ANYBODY, needs_log_in=False),
    "account_login": Rule(ANYBODY, ANYBODY, needs_log_in=False),
    "socialaccount_login_cancelled": Rule(ANYBODY, ANYBODY, needs_log_in=False),
    "logout": Rule(NONE, ANYBODY, needs_log_in=False),
    "account_logout": Rule(NONE, ANYBODY, needs_log_in=False),
    "openid_connect_login": Rule(ANYBODY, needs_log_in=False),
    "openid_connect_callback": Rule(ANYBODY, needs_log_in=False),
    "mfa_login_webauthn": Rule(ANYBODY, ANYBODY, needs_log_in=False),
    "mfa_authenticate": Rule(ANYBODY, ANYBODY, needs_log_in=False),
    "again": Rule(LOGGED_IN),
    "account_reauthenticate": Rule(LOGGED_IN, LOGGED_IN),
    "mfa_reauthenticate": Rule(LOGGED_IN, LOGGED_IN),
    "mfa_reauthenticate_webauthn": Rule(LOGGED_IN, LOGGED_IN),
    "account_change_password": Rule(LOGGED_IN, LOGGED_IN),
    "mfa_index": Rule(LOGGED_IN),
    "mfa_activate_totp": Rule(LOGGED_IN, LOGGED_IN),
    "mfa_deactivate_totp": Rule(LOGGED_IN, LOGGED_IN),
    "mfa_list_webauthn": Rule(LOGGED_IN),
    "mfa_add_webauthn": Rule(LOGGED_IN, LOGGED_IN),
    "mfa_remove_webauthn": Rule(LOGGED_IN, LOGGED_IN),
    "mfa_view_recovery_codes": Rule(LOGGED_IN),
    "mfa_generate_recovery_codes": Rule(LOGGED_IN, LOGGED_IN),
    "healthz": Rule(ANYBODY, needs_log_in=False),
    "readyz": Rule(ANYBODY, needs_log_in=False),
    "metrics": Rule(ANYBODY, needs_log_in=False),  # to whom has the token: tests/health/test_metrics.py
}
QUERIES = {"confirm": "?account=1001", "reach": "?account=1001"}


def urls(patterns: list[URLPattern | URLResolver], within: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield every URL that there is, with its full name."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            name = f"{within}{pattern.namespace}:" if pattern.namespace else within
            yield from urls(pattern.url_patterns, name)
        else:
            yield f"{within}{pattern.name or pattern.pattern}", pattern


EVERY_URL = dict(urls(get_resolver().url_patterns))


def test_every_url_stands_in_the_table_and_every_line_is_one() -> None:
    assert set(TABLE) == set(EVERY_URL)
    assert len(list(urls(get_resolver().url_patterns))) == len(EVERY_URL), "two URLs have one name"


@pytest.fixture
def arguments(db: None) -> dict[str, object]:
    """What an address is made of, each something that is there."""
    now = timezone.now()
    kill = Kill.objects.create(idempotency_key=uuid.uuid4(), engaged_at=now, engaged_by_name="x", scope="all orders")
    append([Draft(kind=Kind.LOGGED_IN, at=now, sentence="somebody logged in")])
    with unrecorded():
        other, team = User.objects.create_user("other"), Group.objects.create(name="europe")
    return {
        "account_id": 1001,
        "kill_id": kill.pk,
        "key": kill.idempotency_key,
        "name": "csv",
        "entry_id": Entry.objects.latest("id").pk,
        "user_id": other.pk,
        "team_id": team.pk,
        "provider_id": "sso",
        "pk": 1,
    }


def address(name: str, arguments: dict[str, object]) -> str:
    wanted = EVERY_URL[name].pattern.converters
    return reverse(name, kwargs={each: arguments[each] for each in wanted}) + QUERIES.get(name, "")


def client_of(who: str, **options: bool) -> Client:
    client = Client(raise_request_exception=False, **options)  # type: ignore[arg-type]
    if who == NOBODY:
        return client
    with unrecorded():
        user, _ = User.objects.get_or_create(username="somebody", is_superuser=who == SUPERUSER)
        if who in ROLES:
            give_role(user, who)
    client.force_login(user)
    just_shown_who(client, user)
    return client


def outcome(answer: HttpResponse) -> str:
    """Say in a word what became of a request: what the view says of its own counts as gone through."""
    told = {403: "refused", 405: "no such method", 500: "broken"}.get(answer.status_code, "through")
    if answer.streaming:
        list(answer)
    return "log-in" if answer.get("Location", "").startswith("/login/?next=") else told


def expected(rule: Rule, who: str, method: str) -> str:
    if who == NOBODY and rule.needs_log_in:
        return "log-in"
    if not rule.may(method):
        return "no such method"
    if who in rule.may(method):
        return "through"
    return "log-in" if who == NOBODY else "refused"


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", EVERY_URL)
def test_nobody_does_with_a_url_what_the_table_does_not_give(name: str, who: str, arguments: dict[str, object]) -> None:
    rule, found = TABLE[name], {}
    for method in METHODS:
        found[method] = outcome(client_of(who).generic(method, address(name, arguments)))
    assert found == {method: expected(rule, who, method) for method in METHODS}


@pytest.mark.parametrize("name", EVERY_URL)
def test_no_url_takes_a_form_without_its_token(name: str, arguments: dict[str, object]) -> None:
    [who, *_] = [*(each for each in ROLES if each in TABLE[name].post), RISK_DESK]
    client = client_of(who, enforce_csrf_checks=True)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = client.generic(method, address(name, arguments))
        assert answer.status_code == 403
        assert b"NOT SENT" in answer.content


@pytest.mark.parametrize("name", [name for name, rule in TABLE.items() if rule.needs_log_in and rule.read])
def test_a_poll_without_a_session_goes_to_the_log_in_instead_of_swapping_it_in(
    name: str, arguments: dict[str, object]
) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/kills/"}
    answer = Client().get(address(name, arguments), headers=headers)
    assert answer["HX-Redirect"] == "/login/?next=%2Fkills%2F"
    assert answer.content == b""
