"""Every URL, opened by somebody who may see one of two accounts: no word of the other stands in any answer."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from killswitch.access.models import AccountLimit
from killswitch.access.roles import RISK_DESK, ROLES, give_role
from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Acknowledgement, DrillPlan, Kill
from tests.conftest import just_shown_who, unrecorded
from tests.test_every_url import EVERY_URL, TABLE
from tests.two_accounts import (
    MINE,
    NOBODYS,
    OTHERS,
    SHARED_ORDER,
    Kills,
    Told,
    limit,
    make_book,
    make_kills,
    make_rest,
)

pytestmark = pytest.mark.django_db
HX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/"}


@pytest.fixture
def kills() -> Kills:
    make_book()
    kills = make_kills()
    make_rest()
    return kills


def client_of(role: str, *, is_limited: bool = True) -> Client:
    with unrecorded():
        user = User.objects.create_user(f"limited-{role}")
        give_role(user, role)
    if is_limited:
        limit(user, kills=[MINE.account_id])
    client = Client()
    client.force_login(user)
    just_shown_who(client, user)
    return client


@dataclass(frozen=True)
class Asked:
    """One request."""

    address: str
    headers: tuple[tuple[str, str], ...] = ()

    def get(self, client: Client) -> HttpResponse:
        return client.get(self.address, headers=dict(self.headers))


def told_by(answer: HttpResponse) -> str:
    body = b"".join(answer) if answer.streaming else answer.content
    return f"{dict(answer.headers)}\n{body.decode('utf-8', 'replace')}"


def but_for_their_own(text: str, role: str) -> str:
    """Leave out the lines of a file that tell what the reader did: their exports name what they searched for."""
    return "\n".join(line for line in text.splitlines() if f"limited-{role}" not in line or "<" in line)


def words_of(told: Told, *, but_for: str) -> list[str]:
    """Return the words of an account, apart from those that the request itself has."""
    return [word for word in told.words if word.lower() not in but_for.lower()]


def kills_of_others(kills: Kills, *, but_for: str) -> list[str]:
    """Return the ids of the kills that reach none of the accounts that are theirs."""
    ids = [str(each.pk) for each in (kills.others, kills.latched, kills.dry)]
    return [each for each in ids if each not in but_for]


def addresses(name: str, kills: Kills) -> Iterator[str]:
    """Yield a URL with everything in its place that there is, and that there is not."""
    some: dict[str, list[object]] = {
        "account_id": [MINE.account_id, OTHERS.account_id, NOBODYS.account_id],
        "kill_id": [each.pk for each in vars(kills).values()],
        "key": [each.idempotency_key for each in vars(kills).values()],
        "name": ["csv", "jsonl"],
        "entry_id": list(Entry.objects.values_list("pk", flat=True)),
        "user_id": [User.objects.latest("pk").pk],
        "team_id": [1],
        "provider_id": ["sso"],
        "pk": [1],
    }
    wanted = list(EVERY_URL[name].pattern.converters)
    for values in product(*(some[each] for each in wanted)):
        yield reverse(name, kwargs=dict(zip(wanted, values, strict=True)))


QUERIES: dict[str, list[dict[str, str]]] = {
    "desk": [{}, {"q": OTHERS.word}, {"sort": "-notional"}, {"has": "x"}],
    "choose": [{}, {"q": OTHERS.word}],
    "confirm": [
        {"all_accounts": "on"},
        {"account": str(MINE.account_id)},
        {"account": str(OTHERS.account_id)},
        {"account": f"0{OTHERS.account_id} "},
        {"account": str(OTHERS.account_id), "side": "nonsense"},
        {"account": str(OTHERS.account_id), "latched": "on", "dry_run": "on"},
        {"all_accounts": "on", "reason": "x" * 11_000},
        {"all_accounts": "nonsense"},
    ],
    "reach": [{"all_accounts": "on"}, {"account": str(MINE.account_id)}, {"account": str(OTHERS.account_id)}],
    "go": [
        {"q": text} for text in ("", "kill all", "kill z", "zepp", "account 8009", "kill 8", "release", "drill", "k")
    ],
    "audit": [
        {},
        {"sort": "oldest"},
        {"q": OTHERS.word},
        {"q": OTHERS.order_id},
        {"q": "ann-of-the-desk"},
        {"person": "ann-of-the-desk"},
        {"order": MINE.order_id, "replacements": "on"},
        {"order": OTHERS.order_id, "replacements": "on"},
        {"order": SHARED_ORDER, "replacements": "on"},
        {"symbol": OTHERS.symbol},
        {"account": str(OTHERS.account_id)},
        {"kind": Kind.KILL_ENGAGED},
        {"kind": Kind.USER_CHANGED},
        {"kind": Kind.ORDER_ENDED, "person": "ann-of-the-desk"},
        {"since": "2020-01-01"},
        {"after": "1"},
        {"before": "9999"},
    ],
    "light": [{}, {"parts": "on"}],
    "kills": [{}, {"page": "1"}],
}
QUERIES["export"] = [{**query, **more} for query in QUERIES["audit"] for more in ({}, {"provable": "on"})]
QUERIES["go_json"] = QUERIES["go"]


def requests_of(name: str, kills: Kills) -> Iterator[Asked]:
    queries = list(QUERIES.get(name, [{}]))
    if name in ("audit", "export"):
        queries += [{"kill": str(each.pk)} for each in vars(kills).values()]
    for address, query in product(addresses(name, kills), queries):
        whole = f"{address}?{urlencode(query)}" if query else address
        yield Asked(whole)
        yield Asked(whole, tuple(HX.items()))


READ = [(name, role) for name, rule in TABLE.items() for role in ROLES if role in rule.read]


@pytest.mark.parametrize(("name", "role"), READ)
def test_no_word_of_an_account_that_one_may_not_see(name: str, role: str, kills: Kills) -> None:
    client = client_of(role)
    asked = list(requests_of(name, kills))
    found = []
    for each in asked:
        told = but_for_their_own(told_by(each.get(client)), role).lower()
        words = [*words_of(OTHERS, but_for=each.address), *kills_of_others(kills, but_for=each.address)]
        found += [(each.address, word) for word in words if word.lower() in told]
    assert asked
    assert found == []


SHOW_BOTH = {
    RISK_DESK: ("desk", "choose", "account", "orders_text", "kills", "kill", "kill_json", "call_sheet", "drills", "go"),
    "compliance": ("audit", "entry", "export", "summary", "desk", "kills", "light"),
    "administrator": ("desk", "kills", "drills"),
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in SHOW_BOTH.items() for name in names])
def test_who_is_not_limited_is_told_of_both(role: str, name: str, kills: Kills) -> None:
    client = client_of(role, is_limited=False)
    told = "".join(told_by(each.get(client)) for each in requests_of(name, kills)).lower()
    both = (OTHERS,) if name == "light" else (MINE, OTHERS)
    assert [each for each in both if str(each.account_id) not in told] == []


@pytest.mark.parametrize("role", ROLES)
def test_who_is_limited_is_told_of_their_own(role: str, kills: Kills) -> None:
    client = client_of(role)
    assert MINE.name in told_by(client.get("/"))
    assert f"on account {MINE.account_id}" in told_by(client.get(f"/kills/{kills.mine.pk}/"))
    assert MINE.symbol in told_by(client.get(f"/accounts/{MINE.account_id}/"))


def plain(answer: HttpResponse, told: Told) -> str:
    """Return an answer without what differs each time, and without the words of an account."""
    text = told_by(answer)
    for word in (*told.words, *(str(each) for each in Kill.objects.values_list("pk", flat=True))):
        text = re.sub(re.escape(word), "WORD", text, flags=re.I)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "WORD", text)
    text = re.sub(r'(csrftoken": "|csrf_token": "|csrfmiddlewaretoken" value=")[^"]*', "TOKEN", text)
    text = re.sub(r'(datetime|data-[a-z-]+)="[^"]*"|nonce-[^\' ]*', "", text)
    return re.sub(r"[0-9]+ (s|ms|min)\b|'Content-Length': '[0-9]+'|opened_at=[^&\"]*|\b[0-9:.]{5,}\b", "", text)


SAME = [
    *(
        (role, f"/accounts/{{0.account_id}}/{page}")
        for role in ROLES
        for page in ("", "rows/", "orders.txt", "filters/")
    ),
    *((RISK_DESK, f"/kills/new/{page}?account={{0.account_id}}") for page in ("", "reach/")),
    *(
        (role, f"/go{ending}?q={text}")
        for role in ROLES
        for ending in ("/", ".json")
        for text in ("{0.account_id}", "{0.word}", "kill {0.symbol}", "kill {0.word}", "account {0.name}")
    ),
    *(
        ("compliance", f"/audit/?{field}")
        for field in (
            "q={0.order_id}",
            "q={0.symbol}",
            "q={0.account_id}",
            "q={0.request_id}",
            "account={0.account_id}",
            "symbol={0.symbol}",
            "order={0.order_id}&replacements=on",
        )
    ),
    *((role, "/?q={0.word}") for role in ROLES),
]


@pytest.mark.parametrize(("role", "address"), SAME)
def test_what_one_may_not_see_answers_as_what_does_not_exist(role: str, address: str, kills: Kills) -> None:
    client = client_of(role)
    there, nowhere = (client.get(address.format(told)) for told in (OTHERS, NOBODYS))
    assert there.status_code == nowhere.status_code
    assert plain(there, OTHERS) == plain(nowhere, NOBODYS)


KILL_PAGES = [name for name, each in EVERY_URL.items() if "kill_id" in each.pattern.converters]


OPENED = [(role, name) for role, name in product(ROLES, KILL_PAGES) if role in TABLE[name].read]


@pytest.mark.parametrize(("role", "name"), OPENED)
def test_a_kill_of_others_alone_answers_as_one_that_does_not_exist(role: str, name: str, kills: Kills) -> None:
    client = client_of(role)
    there, nowhere = (client.get(reverse(name, args=[pk])) for pk in (kills.others.pk, uuid.uuid4()))
    assert (there.status_code, nowhere.status_code) == (404, 404)
    assert plain(there, OTHERS) == plain(nowhere, OTHERS)
    denials = Entry.objects.filter(kind=Kind.DENIED, actor_name=f"limited-{role}")
    assert [each.sentence for each in denials] == [
        f"limited-{role} may not see what is not of the accounts that they may see"
    ] * 2


def posts(name: str, kills: Kills) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each form of a URL as it would be sent for the other account, or for more than one's own."""
    fields: dict[str, list[dict[str, object]]] = {
        "kills": [
            {"account": [OTHERS.account_id]},
            {"account": [MINE.account_id, OTHERS.account_id]},
            {"account": [OTHERS.account_id], "dry_run": "on"},
            {"account": [NOBODYS.account_id]},
            {"account": [OTHERS.account_id], "side": "nonsense"},
            {"account": [OTHERS.account_id], "idempotency_key": str(kills.others.idempotency_key)},
            {"all_accounts": "on"},
            {"all_accounts": "1", "dry_run": "on"},
        ],
        "release": [{"reason": "done"}],
        "reason": [{"reason": "because"}],
        "acknowledge": [{"alarm": "stuck", "count": "1"}],
        "saved_filters": [{"name": "x", "side": "BUY"}],
    }
    of_others = [address for address in addresses(name, kills) if not _is_mine(address, kills)]
    yield from product(of_others, fields.get(name, []))


def _is_mine(address: str, kills: Kills) -> bool:
    return str(kills.mine.pk) in address or str(MINE.account_id) in address


def state() -> object:
    """Return everything that a form could have changed."""
    return (
        list(Kill.objects.order_by("pk").values()),
        list(Acknowledgement.objects.order_by("pk").values()),
        list(DrillPlan.objects.values()),
        list(AccountLimit.objects.order_by("pk").values()),
    )


@pytest.mark.parametrize("name", ["kills", "release", "reason", "acknowledge", "saved_filters"])
def test_nothing_is_done_to_an_account_that_is_not_theirs(name: str, kills: Kills) -> None:
    Kill.objects.exclude(pk=kills.mine.pk).update(reason="")
    client, before, told = client_of(RISK_DESK), state(), []
    for address, fields in posts(name, kills):
        answer = client.post(address, fields)
        words = words_of(OTHERS, but_for=f"{address} {fields}")
        told += [word for word in words if word.lower() in told_by(answer).lower()]
        assert answer.status_code in (403, 404), (address, fields)
        assert b"ot sent" in answer.content.lower() or answer.status_code == 404
    assert state() == before
    assert told == []


def test_the_key_of_anothers_kill_tells_nothing(kills: Kills) -> None:
    client = client_of(RISK_DESK)
    address = reverse("by_key", args=[kills.others.idempotency_key])
    assert client.get(f"{address}?account={OTHERS.account_id}").json()["kill"] is None
    fields = {"account": MINE.account_id, "idempotency_key": str(kills.others.idempotency_key)}
    answer = client.post("/kills/", fields)
    assert answer.status_code == 400
    assert [word for word in (*OTHERS.words, str(kills.others.pk)) if word in told_by(answer)] == []
