"""The running product on loopback, and somebody who means it ill."""

import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlsplit

import httpx
import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Draft, append
from killswitch.kills.models import Kill
from tests.conftest import database_url, unrecorded
from tests.faults.stack import Stack
from tests.test_every_url import EVERY_URL, QUERIES

PASSWORD = "secret-enough"


@dataclass
class Form:
    """A form of a page, with what it would send as it stands."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Forms(HTMLParser):
    """Finds the forms of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(values.get("action", ""), values.get("method", "get").upper()))
        elif tag in ("input", "textarea", "select", "button") and values.get("name") and self.found:
            self.found[-1].fields.setdefault(values["name"], values.get("value", ""))


class Attacker:
    """Somebody who talks to the web process as they like, with or without a log-in."""

    def __init__(self, address: str, name: str = "") -> None:
        self.address = address
        self.http = httpx.Client(base_url=address, timeout=30)
        if name:
            answer = self.post("/login/", username=name, password=PASSWORD)
            assert (answer.status_code, answer.headers["Location"]) == (302, "/")

    @property
    def token(self) -> str:
        [form, *_] = Forms(self.http.get("/login/", follow_redirects=True).text).found
        return form.fields.get("csrfmiddlewaretoken") or self._token_of_a_page()

    def _token_of_a_page(self) -> str:
        forms = Forms(self.http.get("/help/").text).found
        return next(form.fields["csrfmiddlewaretoken"] for form in forms if "csrfmiddlewaretoken" in form.fields)

    def post(self, page: str, **fields: str) -> httpx.Response:
        return self.http.post(page, data={"csrfmiddlewaretoken": self.token, **fields})

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are and return what comes back until the server is done."""
        place = urlsplit(self.address)
        with socket.create_connection((str(place.hostname), place.port or 80), timeout=20) as connection:
            answer = b""
            try:
                connection.sendall(request)
                while part := connection.recv(65_536):
                    answer += part
            except (BrokenPipeError, ConnectionResetError):
                pass
        return answer


@pytest.fixture
def stack(transactional_db: None, people: dict[str, User]) -> Iterator[Stack]:
    made = Stack(database_url())
    made.broker("--accounts", "2", "--orders", "3")
    yield made
    made.end()


@pytest.fixture
def attacker(stack: Stack) -> Iterator[Callable[[str], Attacker]]:
    """Return a way to be somebody: by the name of a log-in, or "" for nobody."""
    address, made = stack.web(), []

    def be(name: str) -> Attacker:
        made.append(Attacker(address, name))
        return made[-1]

    yield be
    for each in made:
        each.http.close()


@pytest.fixture
def addresses(stack: Stack, people: dict[str, User]) -> dict[str, str]:
    """Every address of the product, by the name of its URL."""
    now = timezone.now()
    kill = Kill.objects.create(idempotency_key=uuid.uuid4(), engaged_at=now, engaged_by_name="x", scope="all orders")
    append([Draft(kind=Kind.LOGGED_IN, at=now, sentence="somebody logged in")])
    with unrecorded():
        team = Group.objects.create(name="europe")
    given: dict[str, object] = {
        "account_id": 19816,
        "kill_id": kill.pk,
        "key": kill.idempotency_key,
        "name": "csv",
        "entry_id": Entry.objects.latest("id").pk,
        "user_id": people["desk2"].pk,
        "team_id": team.pk,
        "provider_id": "sso",
        "pk": 1,
    }
    return {
        name: reverse(name, kwargs={each: given[each] for each in url.pattern.converters}) + QUERIES.get(name, "")
        for name, url in EVERY_URL.items()
    }
