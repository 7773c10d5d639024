"""The armed light on every page, its own page, /readyz, and that docs/operators.md has its words."""

import html
import re
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Draft, append
from killswitch.health import queries
from killswitch.health.models import Finding, Watch
from killswitch.health.verdict import BREAK_GLASS, Fault, Part, Verdict
from tests.conftest import ROOT
from tests.health.light import shine

HTMX = {"HX-Request": "true"}
PAGES = ("/", "/kills/", "/kills/new/?account=1001", "/drills/", "/light/")
DOWN = {"broker": Fault.KEY_REFUSED, "disk": Fault.DISK_LOW}


def strip_of(client: Client, page: str = "/") -> str:
    """Return the light of a page as it reads, but for what shows only when the page hears nothing."""
    text = client.get(page).content.decode()
    found = re.search(r'<section id="light".*?(?=<div class="light-lost">)', text, re.S)
    assert found
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", found[0]).split()))


def section_of(client: Client) -> str:
    found = re.search(r'<section id="light"[^>]*>', client.get("/").content.decode())
    assert found
    return found[0]


class TestStrip:
    @pytest.mark.parametrize("page", PAGES)
    def test_is_not_known_on_every_page_where_nobody_ever_looked(self, page: str, desk_client: Client) -> None:
        shown = strip_of(desk_client, page)
        assert shown.startswith("NOT KNOWN never checked Nobody looks")
        assert "Start manage.py lookout" in shown
        assert BREAK_GLASS in shown

    @pytest.mark.parametrize("who", ["risk desk", "compliance", "administrator", "no role"])
    def test_is_there_for_everybody_who_is_logged_in(self, who: str, clients: Any) -> None:
        assert 'id="light"' in clients(who).get("/").content.decode()

    def test_is_not_there_without_a_log_in(self, db: None) -> None:
        assert 'id="light"' not in Client().get("/login/").content.decode()

    def test_is_a_word_and_an_age_where_all_is_well(self, desk_client: Client) -> None:
        shine(seconds_ago=3)
        assert re.fullmatch(r"ARMED checked ([3-9]|\d\d) s ago", strip_of(desk_client))
        assert 'class="light green"' in section_of(desk_client)

    def test_says_what_is_down_and_what_happens_instead(self, desk_client: Client) -> None:
        shine(Verdict.SLOWER, redis=Fault.REDIS_GONE)
        shown = strip_of(desk_client)
        assert re.match(
            r"ARMED, BY THE SLOWER WAY checked \d+ s ago Redis does not answer: the watchdog takes up", shown
        )
        assert BREAK_GLASS not in shown
        assert 'class="light amber"' in section_of(desk_client)

    def test_says_what_to_do_where_it_is_not_armed(self, desk_client: Client) -> None:
        shine(Verdict.NOT_ARMED, **DOWN)
        shown = strip_of(desk_client)
        assert re.match(r"NOT ARMED checked \d+ s ago The key is refused", shown)
        assert Fault.KEY_REFUSED.value.do in shown
        assert Fault.DISK_LOW.value.says in shown
        assert BREAK_GLASS in shown
        assert 'class="light red"' in section_of(desk_client)

    def test_says_how_far_its_line_reaches(self, desk_client: Client) -> None:
        assert f"From a shell, EVERYTHING on ALL accounts: {BREAK_GLASS}" in strip_of(desk_client)

    def test_answers_a_poll_with_itself(self, desk_client: Client) -> None:
        shine()
        text = desk_client.get("/light/", headers=HTMX).content.decode()
        assert text.startswith('<section id="light"')
        assert "<html" not in text
        assert 'hx-swap="morph:outerHTML"' in text

    def test_swaps_no_log_in_into_a_page_and_takes_nobodys_page_away(self, db: None) -> None:
        response = Client().get("/light/", headers=HTMX)
        assert (response.status_code, response.content) == (401, b"")
        assert "HX-Redirect" not in response
        assert Client().get("/light/")["Location"] == "/login/?next=/light/"

    @pytest.mark.parametrize("page", ["/", "/kills/new/?account=1001"])
    @pytest.mark.parametrize("error", [DatabaseError, ValueError])
    def test_breaks_no_page_where_it_cannot_be_read(
        self, error: type[Exception], page: str, desk_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("killswitch.health.queries.light", lambda: broken(error))
        response = desk_client.get(page)
        assert response.status_code == 200
        assert "NOT KNOWN" in response.content.decode()

    @pytest.mark.parametrize("page", [*PAGES, "/readyz"])
    @pytest.mark.parametrize("row", [Finding, Watch])
    def test_breaks_no_page_by_a_row_of_another_version(self, row: type[Model], page: str, desk_client: Client) -> None:
        shine()
        if row is Watch:
            Watch.objects.update(verdict="of another version")
        else:
            Finding.objects.filter(part=Part.BROKER).update(fault="of another version")
        response = desk_client.get(page)
        assert response.status_code == (503 if page == "/readyz" else 200)
        assert queries.light().verdict == Verdict.NOT_KNOWN

    def test_asks_neither_redis_nor_the_broker(self, desk_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def never(*_: Any, **__: Any) -> None:
            pytest.fail("a page asked for the light over the network")

        shine()
        monkeypatch.setattr("socket.socket.connect", never)
        assert desk_client.get("/light/").status_code == 200


def broken(error: type[Exception] = DatabaseError) -> None:
    raise error("broken by a test")


class TestPage:
    def test_lists_every_part(self, desk_client: Client) -> None:
        shine(Verdict.NOT_ARMED, **DOWN)
        text = html.unescape(desk_client.get("/light/").content.decode())
        for part in Part:
            assert part.label in text
            assert part.checked in text
        assert all(verdict.means in text for verdict in Verdict)
        assert "broker says so" in text
        assert "2 ms" in text
        assert Fault.DISK_LOW.value.do in text

    def test_shows_the_last_changes(self, desk_client: Client, compliance_client: Client) -> None:
        shine()
        append([Draft(kind=Kind.LIGHT_CHANGED, at=timezone.now(), sentence=f"change {n}") for n in range(25)])
        text = desk_client.get("/light/").content.decode()
        assert re.findall(r"change \d+", text) == [f"change {n}" for n in range(24, 4, -1)]
        assert "/audit/25/" not in text
        assert "/audit/25/" in compliance_client.get("/light/").content.decode()

    def test_follows_by_itself(self, desk_client: Client) -> None:
        shine()
        text = desk_client.get("/light/?parts=on", headers=HTMX).content.decode()
        assert text.lstrip().startswith('<div id="light-parts"')
        assert "<html" not in text

    def test_fails_where_the_database_does(self, desk_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("killswitch.health.queries.light", broken)
        desk_client.raise_request_exception = False
        assert desk_client.get("/light/", headers=HTMX).status_code == 500


class TestReadyz:
    @pytest.mark.parametrize(
        ("verdict", "faults", "status"),
        [
            (Verdict.ARMED, {}, 200),
            (Verdict.FLAWED, {"trail": Fault.TRAIL_BROKEN}, 200),
            (Verdict.UNGUARDED, {"watchdog": Fault.WATCHDOG_GONE}, 200),
            (Verdict.SLOWER, {"redis": Fault.REDIS_GONE}, 200),
            (Verdict.NOT_KNOWN, {"worker": Fault.UNCHECKED_VITAL}, 503),
            (Verdict.NOT_ARMED, {"broker": Fault.BROKER_GONE}, 503),
        ],
    )
    def test_says_what_the_light_says(self, verdict: Verdict, faults: dict[str, Fault], status: int, db: None) -> None:
        shine(verdict, **faults)
        response = Client().get("/readyz")
        told = response.json()
        assert (response.status_code, told["state"]) == (status, verdict.value)
        assert told["faults"] == [fault.code for fault in faults.values()]
        assert told["parts"].keys() == {part.value for part in Part}

    def test_is_not_known_where_nobody_looks(self, db: None) -> None:
        response = Client().get("/readyz")
        assert (response.status_code, response.json()["state"]) == (503, "not_known")

    def test_names_hosts_and_accounts_only_to_who_is_logged_in(self, desk_client: Client) -> None:
        shine()
        Finding.objects.update(says="account 19816 on host-a")
        assert "account 19816" in desk_client.get("/readyz").content.decode()
        told = Client().get("/readyz").content.decode()
        assert "19816" not in told
        assert "host-a" not in told

    @pytest.mark.parametrize(("error", "fault"), [(DatabaseError, "database_gone"), (ValueError, "nobody_looks")])
    def test_answers_where_the_light_cannot_be_read(
        self, error: type[Exception], fault: str, monkeypatch: pytest.MonkeyPatch, db: None
    ) -> None:
        monkeypatch.setattr("killswitch.health.queries.light", lambda: broken(error))
        response = Client().get("/readyz")
        assert (response.status_code, response.json()["faults"]) == (503, [fault])

    def test_is_not_kept_by_anybody(self, db: None) -> None:
        assert Client().get("/readyz")["Cache-Control"] == "no-store"


@pytest.fixture(scope="module")
def operators() -> str:
    return (ROOT / "docs/operators.md").read_text()


class TestWords:
    @pytest.mark.parametrize("fault", Fault)
    def test_of_every_fault_stand_in_the_operators_page(self, fault: Fault, operators: str) -> None:
        meaning = fault.value
        assert f"| **{meaning.says}** | {meaning.verdict.label} | {meaning.do} |" in operators

    @pytest.mark.parametrize("part", Part)
    def test_of_every_part_stand_in_the_operators_page(self, part: Part, operators: str) -> None:
        assert f"| {part.label} | {part.checked} |" in operators

    @pytest.mark.parametrize("verdict", Verdict)
    def test_of_every_verdict_stand_in_the_operators_page(self, verdict: Verdict, operators: str) -> None:
        assert f"| **{verdict.label}** | {verdict.means} |" in operators

    def test_have_the_line_for_the_shell(self, operators: str) -> None:
        assert BREAK_GLASS in operators
