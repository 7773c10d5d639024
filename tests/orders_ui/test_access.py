"""Who is told what where they may not; `tests/test_every_url.py` has who may what."""

import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from killswitch.access.roles import RISK_DESK
from killswitch.audit.models import Entry, Kind
from killswitch.health.verdict import BREAK_GLASS
from killswitch.kills.models import Kill

from .conftest import client_of

KILL_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")


@pytest.fixture
def a_kill(db: None) -> None:
    now = timezone.now()
    Kill.objects.create(
        id=KILL_ID, idempotency_key=uuid.uuid4(), engaged_at=now, engaged_by_name="desk", scope="all orders"
    )


class TestPages:
    def test_record_a_refusal(self, clients: Callable[[str], Client]) -> None:
        clients("risk desk").get("/audit/")
        entry = Entry.objects.get(kind=Kind.DENIED)
        assert entry.sentence == "risk-desk may not read the audit trail"
        assert entry.data == {"method": "GET", "path": "/audit/"}

    def test_load_a_polling_page_afresh_once_the_right_is_gone(self, clients: Callable[[str], Client]) -> None:
        response = clients("no role").get("/", headers={"HX-Request": "true"})
        assert response["HX-Refresh"] == "true"
        assert not Entry.objects.filter(kind=Kind.DENIED).exists()

    def test_tell_a_user_without_a_role_to_ask_an_administrator(self, clients: Callable[[str], Client]) -> None:
        response = clients("no role").get("/")
        assert b"Ask an administrator" in response.content

    def test_keep_a_superuser_from_killing(self, db: None) -> None:
        client = Client()
        client.force_login(User.objects.create_superuser("root", password="x"))
        assert client.post("/kills/", {"account": "1001"}).status_code == 403
        assert not Kill.objects.exists()

    def test_are_not_kept_by_the_browser(self, desk_client: Client) -> None:
        assert desk_client.get("/")["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        "address", ["/accounts/99999999999999999999/", "/accounts/0/", f"/kills/{uuid.UUID(int=7)}/"]
    )
    def test_are_not_found_where_there_is_nothing(self, address: str, desk_client: Client) -> None:
        assert desk_client.get(address).status_code == 404

    @pytest.mark.parametrize("page", [f"/kills/{KILL_ID}/call-sheet/", f"/kills/{KILL_ID}/summary/"])
    def test_that_are_printed_have_no_inline_script_or_style_either(
        self, page: str, a_kill: None, compliance_client: Client
    ) -> None:
        text = compliance_client.get(page).content.decode()
        assert "paper.css" in text
        assert " style=" not in text
        assert "<style" not in text
        assert all("src=" in tag for tag in text.split("<script")[1:])

    @pytest.mark.parametrize(
        "page", ["/", "/accounts/1001/", "/kills/new/?account=1001", "/kills/", "/drills/", "/login/"]
    )
    def test_have_no_inline_script_or_style(self, page: str, desk_client: Client) -> None:
        text = (desk_client if page != "/login/" else Client()).get(page).content.decode()
        assert " style=" not in text
        assert "<style" not in text
        assert " onclick=" not in text
        assert all("src=" in tag or 'type="application/json"' in tag for tag in text.split("<script")[1:])

    @pytest.mark.parametrize(("who", "shown"), [("compliance", False), ("administrator", False), ("risk desk", True)])
    def test_show_kill_controls_only_to_those_who_may_kill(
        self, who: str, shown: bool, clients: Callable[[str], Client], fill: Callable[..., None]
    ) -> None:
        from .conftest import order

        fill(order(1))
        client = clients(who)
        assert (b"KILL" in client.get("/").content) is shown
        assert (b"/kills/new/" in client.get("/accounts/1001/").content) is shown


class TestNavigation:
    @pytest.mark.parametrize(
        ("who", "shown"),
        [
            ("risk desk", ["Desk", "Kills"]),
            ("compliance", ["Desk", "Kills", "Audit trail"]),
            ("administrator", ["Desk", "Kills", "Users"]),
        ],
    )
    def test_names_what_the_role_may_open(self, who: str, shown: list[str], clients: Callable[[str], Client]) -> None:
        nav = clients(who).get("/kills/").content.decode().split("<nav")[1].split("</nav>")[0]
        assert [name for name in ("Desk", "Kills", "Audit trail", "Users") if f">{name}</a>" in nav] == shown

    @pytest.mark.parametrize(
        ("address", "word"),
        [
            ("http://127.0.0.1:7001", "LOCAL"),
            ("http://[::1]:7001", "LOCAL"),
            ("http://localhost", "LOCAL"),
            ("https://api.clearstreet.com", "PRODUCTION"),
            ("https://api.clearstreet.com.example", "api.clearstreet.com.example"),
        ],
    )
    def test_says_which_broker_a_kill_reaches(self, address: str, word: str, desk_client: Client, settings) -> None:  # type: ignore[no-untyped-def]
        settings.CLEAR_STREET_BASE_URL = address
        assert f"<strong>{word}</strong>" in desk_client.get("/kills/").content.decode()

    def test_says_simulator_only_when_told_so(self, desk_client: Client, settings) -> None:  # type: ignore[no-untyped-def]
        settings.BROKER_IS_SIMULATOR = True
        assert "<strong>SIMULATOR</strong>" in desk_client.get("/kills/").content.decode()

    def test_shows_running_kills_on_every_page(self, desk_client: Client) -> None:
        kill = Kill.objects.create(
            idempotency_key=uuid.uuid4(), engaged_at=timezone.now(), engaged_by_name="x", scope="all <b> orders"
        )
        for page in ("/", "/kills/", "/accounts/1001/", "/kills/new/?account=1001"):
            text = desk_client.get(page).content.decode()
            assert "KILL RUNNING" in text
            assert "all &lt;b&gt; orders" in text
        Kill.objects.filter(pk=kill.pk).update(ended_at=timezone.now(), state="flat")
        assert "KILL RUNNING" not in desk_client.get("/").content.decode()


class TestLogIn:
    def test_lets_in_and_goes_where_one_wanted_to_go(self, db: None) -> None:
        client_of("desk", RISK_DESK)
        form = {"username": "desk", "password": "correct horse battery", "next": "/kills/"}
        response = Client().post("/login/?next=/kills/", form)
        assert response["Location"] == "/kills/"
        assert Entry.objects.filter(kind=Kind.LOGGED_IN).exists()

    def test_goes_nowhere_else(self, db: None) -> None:
        client_of("desk", RISK_DESK)
        form = {"username": "desk", "password": "correct horse battery", "next": "https://evil.example/"}
        assert Client().post("/login/", form)["Location"] == "/"

    def test_says_loudly_that_nothing_was_sent(self, db: None) -> None:
        assert b"NOT SENT: you were logged out" in Client().get("/login/?not_sent=1").content
        assert b"NOT SENT" not in Client().get("/login/").content

    def test_has_the_line_for_the_shell_for_whoever_does_not_get_in(self, db: None, desk_client: Client) -> None:
        line = f"<code>{escape(BREAK_GLASS)}</code>"
        strict = Client(enforce_csrf_checks=True)
        for response in (Client().get("/login/"), desk_client.get("/users/"), strict.post("/kills/", {"account": "1"})):
            own = response.content.decode().partition('aria-label="From a shell"')[2]
            assert own.partition("</section>")[0].count(line) == 1

    def test_ends_by_post_only(self, desk_client: Client) -> None:
        assert desk_client.get("/logout/").status_code == 405
        assert desk_client.post("/logout/")["Location"] == "/login/"
        assert desk_client.get("/").status_code == 302


class TestHealth:
    def test_answers_without_a_log_in(self, db: None) -> None:
        response = Client().get("/healthz")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})

    def test_says_when_the_database_does_not_answer(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("orders_ui.views.errors.database_answers", lambda: False)
        response = Client().get("/healthz")
        assert (response.status_code, response.json()) == (503, {"status": "database does not answer"})
