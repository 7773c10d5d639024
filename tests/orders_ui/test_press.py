"""POST /kills/ and the page before it."""

import html
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from killswitch.access.roles import RISK_DESK
from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill

from .conftest import Fill, client_of, order

BAD_FIELDS = {
    "account": {"account": "abc"},
    "side": {"side": "SELLL"},
    "order_type": {"order_type": "MARKETT"},
    "instrument_type": {"instrument_type": "OTHER"},
    "instruments": {"instruments": "A" * 201},
    "status": {"status": "OPEN"},
    "time_in_force": {"time_in_force": "FOREVER"},
    "client_order_id_prefix": {"client_order_id_prefix": "a\tb"},
    "order_id": {"order_id": "x" * 201},
    "reason": {"reason": "x" * 10_001},
    "idempotency_key": {"idempotency_key": "not-a-uuid"},
    "all_accounts": {"all_accounts": "on"},
    "sied": {"sied": "SELL"},
    "latched": {"latched": "perhaps"},
    "dry_run": {"dry_run": "on", "latched": "on"},
}
HTMX = {"HX-Request": "true"}


def press(client: Client, **fields: Any) -> Any:
    return client.post("/kills/", {"account": "1001", "idempotency_key": str(uuid.uuid4()), **fields})


def heading(text: str) -> str:
    """Return the heading as it reads while no dry run is ticked."""
    inner = text.split('<h1 class="asked">')[1].split("</h1>")[0]
    inner = re.sub(r'<span class="if-dry">.*?</span>', "", inner)
    return " ".join(re.sub(r"<[^>]+>", "", inner).split())


def sentence(text: str) -> str:
    """Return the one sentence that says what would be canceled, as it reads while no dry run is ticked."""
    inner = text.split('id="reach-sentence">')[1].split("</p>")[0]
    inner = re.sub(r'<span class="if-dry">.*?</span>', "", inner)
    return " ".join(re.sub(r"<[^>]+>", "", inner).split())


def box(text: str, name: str) -> str:
    found = re.search(rf'<input type="(?:checkbox|radio)" id="f-{name}"[^>]*>', text)
    assert found
    return found[0]


class TestPress:
    def test_engages_and_goes_to_the_kill(self, desk_client: Client) -> None:
        response = press(desk_client, side="sell", instruments="aapl,TSLA", reason="runaway")
        kill = Kill.objects.get()
        assert (response.status_code, response["Location"]) == (303, f"/kills/{kill.id}/")
        assert kill.filter_data == {"side": "SELL", "instruments": ["AAPL", "TSLA"]}
        assert (kill.reason, kill.engaged_by_name) == ("runaway", "desk")
        assert list(kill.sweeps.values_list("account_id", flat=True)) == [1001]
        assert Entry.objects.get(kind=Kind.KILL_ENGAGED).kill_id == kill.id

    @pytest.mark.parametrize("name", ["latched", "dry_run"])
    def test_is_latched_or_a_dry_run_only_when_asked(self, name: str, desk_client: Client) -> None:
        press(desk_client)
        press(desk_client, **{name: "on"})
        plain, chosen = Kill.objects.order_by("engaged_at")
        assert (plain.latched, plain.dry_run) == (False, False)
        assert (chosen.latched, chosen.dry_run) == (name == "latched", name == "dry_run")

    @pytest.mark.parametrize(
        ("pressed", "fields"), [("kill", {}), ("kill", {"latched": "on"}), ("dry", {"dry_run": "on"})]
    )
    def test_takes_the_button_that_agrees_with_the_box(
        self, pressed: str, fields: dict[str, str], desk_client: Client
    ) -> None:
        assert press(desk_client, pressed=pressed, **fields).status_code == 303
        assert Kill.objects.get().dry_run == ("dry_run" in fields)

    @pytest.mark.parametrize(
        ("pressed", "fields", "words"),
        [
            ("dry", {}, "the button said dry run and the box did not"),
            ("dry", {"dry_run": "off"}, "the button said dry run and the box did not"),
            ("kill", {"dry_run": "on"}, "the box said dry run and the button did not"),
            ("both", {}, "it is not known which button was pressed"),
            (["dry", "kill"], {"dry_run": "on"}, "it is not known which button was pressed"),
        ],
    )
    def test_sends_nothing_where_the_button_and_the_box_do_not_agree(
        self, pressed: Any, fields: dict[str, str], words: str, desk_client: Client
    ) -> None:
        response = press(desk_client, pressed=pressed, **fields)
        text = response.content.decode()
        assert response.status_code == 400
        assert "NOT SENT" in text
        assert f"{words}: nothing was sent" in text
        assert "data-hold" in text
        assert not Kill.objects.exists()
        entry = Entry.objects.get(kind=Kind.KILL_REFUSED)
        assert words in entry.sentence
        assert entry.data["pressed"] == ([pressed] if isinstance(pressed, str) else pressed)

    def test_takes_several_accounts(self, desk_client: Client) -> None:
        press(desk_client, account=["1001", "1002"])
        assert set(Kill.objects.get().sweeps.values_list("account_id", flat=True)) == {1001, 1002}

    def test_sweeps_every_known_account_for_all_accounts(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), account_id=1001)
        fill(account_id=1002)
        desk_client.post("/kills/", {"all_accounts": "on", "idempotency_key": str(uuid.uuid4())})
        kill = Kill.objects.get()
        assert kill.all_accounts
        assert set(kill.sweeps.values_list("account_id", flat=True)) == {1001, 1002}

    def test_tells_htmx_where_to_go(self, desk_client: Client) -> None:
        response = desk_client.post("/kills/", {"account": "1001"}, headers=HTMX)
        assert response.status_code == 200
        assert response["HX-Redirect"] == f"/kills/{Kill.objects.get().id}/"

    @pytest.mark.parametrize("name", BAD_FIELDS)
    def test_refuses_a_bad_field_beside_it_and_engages_nothing(self, name: str, desk_client: Client) -> None:
        response = press(desk_client, **{"side": "BUY", **BAD_FIELDS[name]})
        assert response.status_code == 400
        assert "NOT SENT" in response.content.decode()
        assert list(response.context["confirmation"].errors) == [name]
        assert html.escape(response.context["confirmation"].errors[name]) in response.content.decode()
        assert not Kill.objects.exists()
        entry = Entry.objects.get(kind=Kind.KILL_REFUSED)
        assert entry.actor_name == "desk"
        assert name in entry.data

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("side", ["BUY", "SELL"]),
            ("order_type", ["LIMIT", "STOP"]),
            ("instrument_type", ["OPTION", "COMMON_STOCK"]),
            ("client_order_id_prefix", ["a", "b"]),
            ("reason", ["a", "b"]),
            ("latched", ["on", "off"]),
            ("dry_run", ["on", "on"]),
        ],
    )
    def test_refuses_a_second_value_where_one_is_allowed(
        self, name: str, values: list[str], desk_client: Client
    ) -> None:
        response = press(desk_client, **{name: values})
        assert response.status_code == 400
        assert response.context["confirmation"].errors[name] == "was given more than once"
        assert not Kill.objects.exists()

    def test_refuses_a_kill_of_nothing(self, desk_client: Client) -> None:
        response = desk_client.post("/kills/", {})
        assert response.status_code == 400
        assert "say which accounts" in response.content.decode()

    def test_reads_nothing_from_the_address(self, desk_client: Client) -> None:
        response = desk_client.post("/kills/?side=SELL", {"account": "1001"})
        assert response.status_code == 400
        assert not Kill.objects.exists()

    def test_takes_no_file_for_a_field(self, desk_client: Client) -> None:
        from django.core.files.uploadedfile import SimpleUploadedFile

        response = desk_client.post("/kills/", {"account": "1001", "side": SimpleUploadedFile("side", b"SELL")})
        assert response.status_code == 400
        assert not Kill.objects.exists()

    def test_keeps_what_was_given_when_it_refuses(self, desk_client: Client) -> None:
        text = press(desk_client, side="SELLL", instruments="AAPL", reason="runaway").content.decode()
        for value in ("1001", "SELLL", "AAPL", "runaway"):
            assert f'value="{value}"' in text

    def test_gives_no_button_where_a_field_is_unknown(self, desk_client: Client) -> None:
        text = press(desk_client, sied="SELL").content.decode()
        assert 'name="sied" value="SELL"' in text
        assert "data-hold" not in text

    def test_is_one_kill_when_pressed_twice(self, desk_client: Client) -> None:
        key = str(uuid.uuid4())
        first, second = press(desk_client, idempotency_key=key), press(desk_client, idempotency_key=key)
        assert first["Location"] == second["Location"]
        assert Kill.objects.count() == 1

    def test_refuses_a_key_that_belongs_to_another_kill_and_gives_a_new_one(self, desk_client: Client) -> None:
        key = str(uuid.uuid4())
        press(desk_client, idempotency_key=key)
        response = press(desk_client, idempotency_key=key, side="SELL")
        assert response.status_code == 400
        assert "NOT SENT" in response.content.decode()
        assert key not in response.content.decode()
        assert Kill.objects.count() == 1
        assert Entry.objects.filter(kind=Kind.KILL_REFUSED).count() == 1

    @pytest.mark.parametrize("who", ["compliance", "administrator", "no role"])
    def test_is_refused_without_the_right(self, who: str, clients: Callable[[str], Client]) -> None:
        response = press(clients(who), reason="let me")
        assert response.status_code == 403
        assert "NOT SENT" in response.content.decode()
        assert not Kill.objects.exists()
        entry = Entry.objects.get(kind=Kind.DENIED)
        assert entry.sentence.endswith("may not engage a kill")
        assert entry.data["fields"]["reason"] == ["let me"]

    def test_names_the_role_that_it_takes(self, compliance_client: Client) -> None:
        assert "<strong>risk desk</strong>" in press(compliance_client).content.decode()

    def test_shows_a_reason_as_text(self, desk_client: Client) -> None:
        text = press(desk_client, side="X", reason="<script>alert(1)</script>").content.decode()
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


class TestPressWithoutToken:
    def test_says_that_nothing_was_sent(self, db: None) -> None:
        client = client_of("desk", RISK_DESK, enforce_csrf_checks=True)
        response = press(client)
        assert response.status_code == 403
        assert "NOT SENT" in response.content.decode()
        assert not Kill.objects.exists()
        entry = Entry.objects.get(kind=Kind.DENIED)
        assert (entry.actor_name, entry.data["fields"]["account"]) == ("desk", ["1001"])

    def test_goes_through_with_the_token_of_the_page(self, db: None) -> None:
        client = client_of("desk", RISK_DESK, enforce_csrf_checks=True)
        text = client.get("/kills/new/?account=1001").content.decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)
        assert token
        assert press(client, csrfmiddlewaretoken=token[1]).status_code == 303

    def test_goes_through_with_the_header_that_htmx_sends(self, db: None) -> None:
        client = client_of("desk", RISK_DESK, enforce_csrf_checks=True)
        token = re.search(r"\"x-csrftoken\": \"(\w+)\"", client.get("/").content.decode())
        assert token
        headers = {**HTMX, "X-CSRFToken": token[1]}
        assert "HX-Redirect" in client.post("/kills/", {"account": "1001"}, headers=headers)


class TestPressWithoutLogIn:
    def test_goes_to_a_log_in_that_says_so_and_leads_back_to_the_confirmation(self, db: None) -> None:
        response = press(Client(), side="SELL", reason="r", pressed="kill")
        address = urlsplit(response["Location"])
        query = parse_qs(address.query)
        assert (response.status_code, address.path, query["not_sent"]) == (302, "/login/", ["1"])
        assert query["next"] == ["/kills/new/?account=1001&side=SELL"]
        assert not Kill.objects.exists()
        assert Entry.objects.get(kind=Kind.DENIED).data["fields"]["side"] == ["SELL"]

    def test_redirects_the_whole_page_of_htmx(self, db: None) -> None:
        response = Client().post("/kills/", {"account": "1001"}, headers=HTMX)
        assert response["HX-Redirect"].startswith("/login/?")
        assert "not_sent=1" in response["HX-Redirect"]

    def test_leads_to_the_desk_where_the_form_is_odd(self, db: None) -> None:
        response = press(Client(), sied="SELL")
        assert parse_qs(urlsplit(response["Location"]).query)["next"] == ["/"]

    def test_never_records_a_password(self, db: None) -> None:
        Client().post("/users/new/", {"name": "x", "password": "hunter2hunter2"})
        assert "hunter2" not in str(Entry.objects.get(kind=Kind.DENIED).data)


class TestConfirmation:
    def test_says_what_will_happen(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), order(2, order_type="STOP", limit_price=None), order(3, side="SELL"), seconds=4)
        text = desk_client.get("/kills/new/?account=1001&side=BUY").content.decode()
        assert heading(text) == "Cancel all BUY orders on account 1001"
        assert sentence(text) == (
            "Cancel 2 open orders on account 1001, notional $1,050 + 1 of unknown worth, all BUY, 1 LIMIT and 1 STOP,"
            " in AAPL. 1 of them protects a position (stop)."
        )
        assert 'title="$1,050.00"' in text
        assert re.search(r"The list is <time [^>]+>\d s</time> old", text)

    def test_counts_over_all_accounts(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), order(2), account_id=1001)
        fill(order(3), account_id=1002)
        fill(account_id=1003)
        text = desk_client.get("/kills/new/?all_accounts=on").content.decode()
        assert sentence(text) == "Cancel 3 open orders on 2 of 3 accounts, notional $3,150, all BUY LIMIT in AAPL."
        assert "KILL ALL</span>" in text

    def test_says_what_it_does_not_know(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1), account_id=1001, whole=False)
        text = desk_client.get("/kills/new/?account=1001&account=1002").content.decode()
        assert "1 account never listed" in text
        assert "1 list incomplete" in text

    @pytest.mark.parametrize(
        "query",
        [
            "account=1001&side=BUY&order_type=LIMIT&instrument_type=OPTION&instruments=AAPL,TSLA&status=NEW"
            "&status=QUEUED&time_in_force=DAY&client_order_id_prefix=algo",
            "account=1001&order_id=a&order_id=b",
        ],
    )
    def test_carries_every_parameter_into_the_form(self, query: str, desk_client: Client) -> None:
        text = desk_client.get(f"/kills/new/?{query}").content.decode()
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text.split('class="confirm"')[1])
        asked = {}
        for name, value in fields:
            asked.setdefault(name, []).append(html.unescape(value))
        asked.pop("csrfmiddlewaretoken")
        uuid.UUID(asked.pop("idempotency_key")[0])
        assert asked.pop("made_for") == ["127.0.0.1:9 (LOCAL)"]
        assert asked == parse_qs(query)

    @pytest.mark.parametrize("name", ["latched", "dry_run"])
    def test_ticks_what_the_address_asks_for_and_nothing_else(self, name: str, desk_client: Client) -> None:
        text = desk_client.get(f"/kills/new/?account=1001&{name}=on").content.decode()
        other = {"latched": "dry_run", "dry_run": "latched"}[name]
        assert "checked" in box(text, name)
        assert "checked" not in box(text, other)
        assert ("checked" in box(text, "once")) is (name == "dry_run")
        assert f'type="hidden" name="{name}"' not in text
        plain = desk_client.get(f"/kills/new/?account=1001&{name}=off").content.decode()
        assert "checked" not in box(plain, name)

    @pytest.mark.parametrize("name", ["latched", "dry_run"])
    def test_keeps_a_tick_when_the_form_comes_back(self, name: str, desk_client: Client) -> None:
        response = press(desk_client, **{name: "on", "reason": "x" * 10_001})
        text = response.content.decode()
        assert response.status_code == 400
        assert "checked" in box(text, name)
        assert heading(text) == "Cancel all orders on account 1001"

    def test_says_that_it_is_real_where_the_reason_speaks_of_a_drill(self, desk_client: Client) -> None:
        words = ">This is real, whatever the reason says"
        for reason, is_said in (("Drill", True), ("a fire drill", True), ("Runaway algorithm", False), ("", False)):
            text = desk_client.get("/kills/new/", {"account": "1001", "reason": reason}).content.decode()
            assert (words in text) is is_said
        press(desk_client, reason="Drill")
        assert Kill.objects.get().dry_run is False, "it is said, and keeps nobody from the press"

    def test_shows_both_ticks_with_the_error_when_both_are_asked_for(self, desk_client: Client) -> None:
        for response in (
            desk_client.get("/kills/new/?account=1001&latched=on&dry_run=on"),
            press(desk_client, latched="on", dry_run="on"),
        ):
            text = response.content.decode()
            assert response.status_code == 400
            assert "checked" in box(text, "latched")
            assert "checked" in box(text, "dry_run")
            assert 'aria-describedby="e-dry_run"' in box(text, "dry_run")
            assert heading(text) == "Cancel all orders on account 1001"
            assert "a dry run cannot be latched" in text

    def test_says_who_lets_go(self, desk_client: Client, settings: Any) -> None:
        assert b"until another person releases it" in desk_client.get("/kills/new/?account=1001").content
        settings.RELEASE_BY_SAME_PERSON = True
        assert b"until somebody releases it" in desk_client.get("/kills/new/?account=1001").content

    def test_leads_back_to_the_same_ticks_after_a_log_in(self, db: None) -> None:
        query = parse_qs(urlsplit(press(Client(), dry_run="on")["Location"]).query)
        assert query["next"] == ["/kills/new/?account=1001&dry_run=on"]

    def test_has_a_fresh_key_each_time(self, desk_client: Client) -> None:
        keys = {desk_client.get("/kills/new/?account=1001").context["confirmation"].idempotency_key for _ in range(3)}
        assert len(keys) == 3

    @pytest.mark.parametrize("query", ["account=1001&side=X", "account=1001&foo=1", "", "account=1001&all_accounts=on"])
    def test_refuses_what_cannot_be_understood(self, query: str, desk_client: Client) -> None:
        response = desk_client.get(f"/kills/new/?{query}")
        assert response.status_code == 400
        assert "Nothing has been sent" in response.content.decode()

    @pytest.mark.parametrize("fields", [{"side": "UP"}, {"account": "x"}, {"all_accounts": "on"}])
    def test_has_no_button_that_cancels_until_it_is_understood(
        self, fields: dict[str, str], desk_client: Client
    ) -> None:
        asked = {"account": "1001", "latched": "on", "reason": "runaway", **fields}
        for response in (desk_client.get("/kills/new/", asked), desk_client.post("/kills/", asked)):
            text = response.content.decode()
            assert response.status_code == 400
            assert 'name="pressed"' not in text
            assert 'method="post" action="/kills/"' not in text
            form = text.partition('<form id="put-right" class="confirm" method="get" action="/kills/new/"')[2]
            sent = re.findall(r'name="(\w+)" value="([^"]*)"', form.partition("</form>")[0])
            assert sorted(sent) == sorted(asked.items())
        assert not Kill.objects.exists()
        text = desk_client.get("/kills/new/", {**asked, "side": "SELL", "account": "1001", "all_accounts": ""}).content
        assert b'name="pressed"' in text

    @pytest.mark.parametrize(("side", "says"), [("SELL", True), ("SELL_SHORT", False), ("BUY", False), ("", False)])
    def test_says_that_short_sales_stay_where_only_sells_go(self, side: str, says: bool, desk_client: Client) -> None:
        text = desk_client.get("/kills/new/", {"all_accounts": "on", "side": side}).content.decode()
        assert ("short sales stay" in text) is says

    def test_takes_120_selected_orders_and_no_more(self, desk_client: Client) -> None:
        ids = [f"order-{number}" for number in range(151)]
        assert desk_client.get("/kills/new/", {"account": "1001", "order_id": ids[:120]}).status_code == 200
        response = desk_client.get("/kills/new/", {"account": "1001", "order_id": ids})
        assert response.status_code == 400
        assert "use the filter" in response.content.decode()

    def test_records_nothing_of_a_look(self, desk_client: Client) -> None:
        desk_client.get("/kills/new/?account=1001&side=X")
        assert not Entry.objects.filter(kind=Kind.KILL_REFUSED).exists()
        assert User.objects.count() == 1


class TestTheLineToCopy:
    def test_is_there_for_each_way_of_firing_with_the_exact_scope(self, desk_client: Client) -> None:
        text = html.unescape(desk_client.get("/kills/new/?account=1001&side=SELL&latched=on").content.decode())
        line = "python manage.py kill --break-glass --account 1001 --side=SELL"
        assert f'data-once="{line}"' in text
        assert f'data-latched="{line} --latched"' in text
        assert f'data-dry="{line} --dry-run"' in text

    def test_stands_on_the_page_beside_the_light_for_who_may_kill(
        self, desk_client: Client, compliance_client: Client
    ) -> None:
        address = "/kills/new/?account=1001&side=SELL"
        own = html.unescape(desk_client.get(address).content.decode()).partition('id="own-glass"')[2]
        assert own.partition("</section>")[0].count("kill --break-glass --account 1001 --side=SELL<") == 1
        assert 'id="own-glass"' not in compliance_client.get(address).content.decode()


class TestABrokenPress:
    @pytest.fixture
    def client(self, desk_client: Client) -> Client:
        desk_client.raise_request_exception = False
        return desk_client

    @pytest.fixture
    def broken(self, client: Client) -> Any:
        """The page that a press gets while the audit trail's table is not there."""
        key = str(uuid.uuid4())
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {Entry._meta.db_table} RENAME TO taken_away")
            response = press(client, side="SELL", reason="it's <b>urgent</b>", idempotency_key=key, pressed="kill")
            cursor.execute(f"ALTER TABLE taken_away RENAME TO {Entry._meta.db_table}")
        assert response.status_code == 500
        return response, key

    def test_says_that_it_is_not_known_and_carries_the_same_press(self, broken: Any) -> None:
        response, key = broken
        text = response.content.decode()
        assert "it is not known whether it was sent" in text
        assert "If it is not there, it was NOT SENT" in text
        assert f'name="idempotency_key" value="{key}"' in text
        assert "it&#x27;s &lt;b&gt;urgent&lt;/b&gt;" in text
        assert "python manage.py kill --break-glass --account 1001 --side=SELL" in text
        assert not Kill.objects.exists()

    def test_goes_through_when_it_is_tried_again(self, broken: Any, client: Client) -> None:
        text = broken[0].content.decode()
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
        response = client.post("/kills/", {name: html.unescape(value) for name, value in fields.items()})
        assert response["Location"] == f"/kills/{Kill.objects.get().id}/"
        assert Kill.objects.get().reason == "it's <b>urgent</b>"

    def test_says_nothing_of_a_press_where_there_was_none(self, client: Client) -> None:
        before = transaction.savepoint()  # PostgreSQL takes nothing more in a transaction that has failed
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE kills_kill RENAME TO taken_away")
        text = client.get("/kills/").content.decode()
        transaction.savepoint_rollback(before)
        assert "Something broke here." in text
        assert "Try again" not in text


def test_a_press_without_its_token_leads_back_to_its_confirmation(db: None) -> None:
    client = client_of("desk", RISK_DESK, enforce_csrf_checks=True)
    text = html.unescape(press(client, side="SELL", reason="r").content.decode())
    assert 'href="/kills/new/?account=1001&side=SELL"' in text
    assert "idempotency_key" not in text


class TestAPageThatWasLeftOpen:
    def test_is_refused_where_it_was_made_for_another_broker(self, desk_client: Client, settings: Any) -> None:
        text = desk_client.get("/kills/new/?account=1001").content.decode()
        found = re.search(r'name="made_for" value="([^"]+)"', text)
        assert found
        made_for = html.unescape(found[1])
        settings.CLEAR_STREET_BASE_URL = "https://api.clearstreet.com"
        answer = press(desk_client, made_for=made_for)
        assert answer.status_code == 400
        assert "a kill would go to api.clearstreet.com (PRODUCTION) now" in answer.content.decode()
        assert 'id="hold"' in answer.content.decode()
        assert not Kill.objects.exists()
        assert press(desk_client, made_for="api.clearstreet.com (PRODUCTION)").status_code == 303
        assert Kill.objects.get().broker == "api.clearstreet.com (PRODUCTION)"
        engaged = Entry.objects.get(kind=Kind.KILL_ENGAGED)
        assert engaged.data["broker"] == "api.clearstreet.com (PRODUCTION)"


class TestTheButton:
    @pytest.mark.parametrize(
        ("query", "words"),
        [("all_accounts=on", "KILL ALL"), ("all_accounts=on&side=BUY", "KILL"), ("account=1", "KILL")],
    )
    def test_says_all_for_everything_alone(self, query: str, words: str, desk_client: Client) -> None:
        assert f"<span data-words>{words}</span>" in desk_client.get(f"/kills/new/?{query}").content.decode()
