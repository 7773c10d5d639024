"""The audit trail and the users."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils.html import escape, strip_tags

from killswitch.access.roles import role_of
from killswitch.audit import guard
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.kills.models import Kill
from tests.conftest import unrecorded

KILL_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")
ATTEMPT_ID = uuid.UUID("77777777-2222-4333-8444-555555555555")


def write(**fields: Any) -> None:
    values: dict[str, Any] = {
        "kind": Kind.ATTEMPT_ANSWERED,
        "at": datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC),
        "sentence": "the broker answered",
    }
    append([Draft(**{**values, **fields})])


ODD = '🛑 <script>alert(1)</script> =HYPERLINK("http://x")&\''


def found(client: Client, query: str) -> list[str]:
    return [entry.sentence for entry in client.get(f"/audit/?{query}").context["trail"].entries]


class TestTrail:
    @pytest.fixture
    def entries(self, compliance_client: Client) -> Client:
        ann = Actor(name="ann")
        write(sentence="one", account_id=1001, actor=ann, order_id="order-1", request_id="r 1", attempt_id=ATTEMPT_ID)
        write(sentence="two", kind=Kind.ORDER_ENDED, outcome="canceled", kill_id=KILL_ID, symbol="AAPL")
        write(sentence="three", at=datetime(2026, 11, 21, 9, 0, tzinfo=UTC), client_order_id="algo&1")
        return compliance_client

    @pytest.mark.parametrize(
        ("query", "sentences"),
        [
            ("q=order-1", ["one"]),
            ("q= order-1 ", ["one"]),
            ("q=aapl", ["two"]),
            ("q=11111111", ["two"]),
            ("q=order", []),
            ("kind=order.ended", ["two"]),
            ("account=1001", ["one"]),
            (f"kill={KILL_ID}", ["two"]),
            ("kill=11111111", ["two"]),
            ("kill=1111-1111", ["two"]),
            ("person=ann", ["one"]),
            ("outcome=canceled", ["two"]),
            ("symbol=AAPL", ["two"]),
            ("symbol=aapl", ["two"]),
            ("order=order-1", ["one"]),
            ("order=order-1&replacements=on", ["one"]),
            ("client_order=algo%261", ["three"]),
            ("request=r+1", ["one"]),
            (f"attempt={ATTEMPT_ID}", ["one"]),
            ("since=2026-11-21&kind=attempt.answered", ["three"]),
            ("until=2026-11-20&kind=attempt.answered", ["one"]),
            ("until=2026-11-20", ["two", "one"]),
            ("until=2026-11-20&sort=oldest", ["one", "two"]),
            ("since=2026-11-20&until=2026-11-20", ["two", "one"]),
            ("since=2026-11-20T12:00:00.123456Z&until=2026-11-20 12:00:00.123456", ["two", "one"]),
            ("until=2026-11-20 12:00:00", []),
            ("person=ann&outcome=canceled", []),
        ],
    )
    def test_finds_what_is_asked_for(self, query: str, sentences: list[str], entries: Client) -> None:
        assert found(entries, query) == sentences

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("kind=x", "There is none called “x”: choose one from the list."),
            ("outcome=x", "There is none called “x”: choose one from the list."),
            ("sort=x", "There is none called “x”: choose one from the list."),
            ("account=x", "Write a number: digits only."),
            ("account=99999999999999999999", "This number is larger than any that there is."),
            ("kill=x", "No kill in the record begins with “x”: copy its id from its page."),
            ("kill=1111", "Several kills begin with “1111”: write more of the id."),
            ("attempt=x", "Copy the whole id of the attempt from one of its entries."),
            ("since=soon", "Write a day or a time that there is: 2026-11-21 or 2026-11-21 14:30:00."),
            ("until=2026-02-31", "Write a day or a time that there is: 2026-11-21 or 2026-11-21 14:30:00."),
            ("since=2026-11-21&until=2026-11-20", "This is earlier than “since”: exchange the two."),
            ("order=" + "x" * 10_000, "This is too long for a name (10,000 characters): write the name alone."),
            ("symbol=a%00b", "Null characters are not allowed."),
            ("before=x", "Write a number: digits only."),
            ("before=0", "Write a number: digits only."),
            ("before=2&after=1", "A page lies before an entry or after it, not both."),
            ("acount=1", "“acount” is not a field of this search: nothing was searched."),
            ("symbol=A&symbol=B", "“symbol” stands in the address more than once: nothing was searched."),
        ],
    )
    def test_finds_nothing_by_a_search_that_is_not_understood(self, query: str, words: str, entries: Client) -> None:
        write(kill_id=uuid.UUID("11112222-2222-4333-8444-555555555555"))
        response = entries.get(f"/audit/?{query}&person=ann")
        assert response.status_code == 400
        assert "trail" not in response.context
        page = response.content.decode()
        assert escape(words) in page
        # What was typed is still there: in its field, or among its choices.
        assert 'value="ann"' in page
        name, value = parse_qsl(query)[-1 if "symbol=B" in query else 0]
        if name not in ("acount", "before"):
            assert response.context["form"][name].value() == value
            assert f'value="{escape(value)}"' in page
            main_fields = response.context["form"].main()
            is_in_sight = name in [field.name for field in main_fields] or response.context["form"].is_more_open()
            assert is_in_sight, "a complaint that nobody sees"

    def test_says_what_the_words_in_its_one_field_are(self, entries: Client) -> None:
        write(sentence="four", order_id="ann", actor=Actor(name="ann"))
        page = entries.get("/audit/?q=ann&since=2026-11-01")
        assert [(way.words, way.address) for way in page.context["trail"].recognised] == [
            ("an order", "/audit/?since=2026-11-01&order=ann"),
            ("a person", "/audit/?since=2026-11-01&person=ann"),
        ]
        for words in ("an order", "a person"):
            assert f">{words}</a>" in page.content.decode()

    def test_says_that_a_name_is_nowhere(self, entries: Client) -> None:
        assert "nothing in the record is called “order”" in entries.get("/audit/?q=order").content.decode()

    def test_leaves_empty_fields_out_of_the_address(self, entries: Client) -> None:
        response = entries.get("/audit/?q=&symbol=AAPL&account=&sort=&since=")
        assert response.status_code == 302
        assert response["Location"] == "/audit/?symbol=AAPL"

    @pytest.mark.parametrize("name", ["q", "symbol", "order", "client_order", "request", "person"])
    def test_comes_back_from_its_address_as_it_was(self, name: str, compliance_client: Client) -> None:
        columns = {"q": "order_id", "order": "order_id", "client_order": "client_order_id", "request": "request_id"}
        odd = ODD.upper() if name == "symbol" else ODD
        named = {"actor": Actor(name=odd)} if name == "person" else {columns.get(name, "symbol"): odd}
        for number in range(101):
            write(sentence=f"entry {number}", **named)
        first = compliance_client.get("/audit/", {name: ODD})
        assert [entry.sentence for entry in first.context["trail"].entries][:1] == ["entry 100"]
        assert "<script>alert" not in first.content.decode().lower().replace("<script>alert(2)", "")
        older = first.context["trail"].following.address
        assert f'href="{escape(older)}"' in first.content.decode()
        second = compliance_client.get(older)
        assert [entry.sentence for entry in second.context["trail"].entries] == ["entry 0"]
        assert second.context["form"][name].value() == ODD

    def test_shows_times_to_the_microsecond(self, entries: Client) -> None:
        assert b"2026-11-20 12:00:00.123456" in entries.get("/audit/").content

    def test_shows_what_matters_and_leads_on(self, compliance_client: Client) -> None:
        write(
            sentence="<b>x</b>",
            request_id="req-1",
            broker_status="PENDING_CANCEL",
            kill_id=KILL_ID,
            account_id=1001,
            order_id="a/b",
            symbol="AAPL",
            side="SELL_SHORT",
            quantity=Decimal("1250.50"),
            outcome="still_open",
            actor=Actor(name="ann"),
        )
        text = compliance_client.get("/audit/").content.decode()
        for words in ("&lt;b&gt;x", "req-1", "PENDING CANCEL", "SELL SHORT", ">1,250.5<", "still open", ">11111111<"):
            assert words in text
        for way in ("person=ann", "account=1001", "symbol=AAPL", "replacements=on&amp;sort=oldest&amp;order=a%2Fb"):
            assert f'href="?{way}"' in text
        assert f'href="/kills/{KILL_ID}/"' in text

    def test_shows_a_long_sentence_cut_and_whole_on_its_own_page(self, compliance_client: Client) -> None:
        write(sentence="🛑" * 10_000, data={"reason": "x" * 10_000})
        assert "🛑" * 300 not in compliance_client.get("/audit/").content.decode()
        address = f"/audit/{Entry.objects.latest('id').id}/"
        assert "🛑" * 10_000 in compliance_client.get(address).content.decode()

    def test_links_the_kills_of_what_it_shows(self, compliance_client: Client) -> None:
        at = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
        kill = Kill.objects.create(
            id=KILL_ID, idempotency_key=KILL_ID, engaged_at=at, engaged_by_name="ann", scope="all", ended_at=at
        )
        write(kill_id=kill.id, symbol="AAPL")
        write(kill_id=uuid.UUID(int=1), symbol="AAPL")  # of a journal that is not imported, say
        assert compliance_client.get("/audit/?symbol=AAPL").context["trail"].kills == [kill]

    @pytest.mark.parametrize("sort", ["", "&sort=oldest"])
    def test_pages_older_and_newer_and_keeps_the_search(self, sort: str, compliance_client: Client) -> None:
        for number in range(201):
            write(sentence=f"entry {number}", account_id=7)
        write(sentence="not asked for", account_id=8)
        expected = [f"entry {number}" for number in (range(201) if sort else range(200, -1, -1))]
        query = f"/audit/?account=7{sort}"
        pages = [compliance_client.get(query)]
        while way := pages[-1].context["trail"].following:
            pages.append(compliance_client.get(way.address))
        told = [[entry.sentence for entry in page.context["trail"].entries] for page in pages]
        assert told == [expected[:100], expected[100:200], expected[200:]]
        back = compliance_client.get(pages[2].context["trail"].preceding.address)
        assert [entry.sentence for entry in back.context["trail"].entries] == expected[100:200]
        assert pages[0].context["trail"].preceding is None
        other = compliance_client.get(pages[1].context["trail"].other_way.address)
        assert other.context["trail"].entries[0].sentence == expected[-1]


class TestAnOrdersLife:
    def test_says_what_became_of_it_and_of_what_replaced_it(self, compliance_client: Client) -> None:
        named = {"kill_id": KILL_ID}
        write(sentence="one", order_id="a", **named)
        write(sentence="two", order_id="b", kind=Kind.ORDER_SUCCESSOR, data={"replaces": "a"}, **named)
        write(sentence="of another", order_id="c", **named)
        write(sentence="three", order_id="a", kind=Kind.ORDER_ENDED, outcome="replaced", **named)
        write(sentence="four", order_id="b", kind=Kind.ORDER_ENDED, outcome="stuck", **named)
        page = compliance_client.get("/audit/?replacements=on&sort=oldest&order=a")
        assert [entry.sentence for entry in page.context["trail"].entries] == ["one", "two", "three", "four"]
        text = " ".join(strip_tags(page.content.decode()).split())
        assert "Order a: replaced" in text
        assert "a: replaced at 2026-11-20 12:00:00; replaced by b" in text
        assert "b, which replaced a: stuck in pending cancel at 2026-11-20 12:00:00" in text

    def test_says_so_where_nothing_is_known_of_its_end(self, compliance_client: Client) -> None:
        write(order_id="a")
        text = " ".join(strip_tags(compliance_client.get("/audit/?order=a").content.decode()).split())
        assert "Order a: no outcome in the record" in text
        assert "last named at 2026-11-20 12:00:00" in text


class TestEntry:
    def test_shows_everything(self, compliance_client: Client) -> None:
        write(
            kill_id=KILL_ID,
            attempt_id=ATTEMPT_ID,
            account_id=9,
            order_id="a/b",
            client_order_id="c&d",
            request_id="r=1",
            symbol="A B",
            actor=Actor(id=3, name="ann"),
            data={"why": "<b>"},
            http_status=503,
            latency_us=12_345,
        )
        entry = Entry.objects.latest("id")
        text = compliance_client.get(f"/audit/{entry.pk}/").content.decode()
        for words in (
            f'href="/kills/{KILL_ID}/"',
            f'href="/audit/?kill={KILL_ID}"',
            f'href="/audit/?attempt={ATTEMPT_ID}"',
            'href="/audit/?account=9"',
            'href="/audit/?order=a%2Fb&amp;replacements=on&amp;sort=oldest"',
            'href="/audit/?client_order=c%26d"',
            'href="/audit/?request=r%3D1"',
            'href="/audit/?symbol=A%20B"',
            'href="/audit/?person=ann"',
            "&quot;why&quot;: &quot;&lt;b&gt;&quot;",
            ">503<",
            ">12.3 ms<",
            entry.hash,
            entry.previous_hash,
            "its hash holds",
        ):
            assert words in text

    def test_leads_to_its_neighbours(self, compliance_client: Client) -> None:
        for _ in range(3):
            write()
        pages = [compliance_client.get(f"/audit/{number}/").content.decode() for number in (1, 2, 3)]
        last = Entry.objects.latest("id").id
        assert ('rel="prev"' in pages[0], 'href="/audit/2/"' in pages[0]) == (False, True)
        assert ('href="/audit/1/"' in pages[1], 'href="/audit/3/"' in pages[1]) == (True, True)
        assert 'rel="next"' not in compliance_client.get(f"/audit/{last}/").content.decode()

    def test_says_loudly_where_it_was_changed(self, compliance_client: Client) -> None:
        write()
        last = Entry.objects.latest("id")
        guard.remove(connection)
        Entry.objects.filter(id=last.id).update(sentence="nothing happened")
        guard.install(connection)
        text = " ".join(strip_tags(compliance_client.get(f"/audit/{last.id}/").content.decode()).split())
        assert "IT DOES NOT HOLD" in text
        assert "is not the hash of what this entry tells: it was changed" in text

    def test_can_be_opened_where_its_data_was_spoiled(self, compliance_client: Client) -> None:
        write()
        last = Entry.objects.latest("id")
        guard.remove(connection)
        Entry.objects.filter(id=last.id).update(data="{no")
        guard.install(connection)
        assert b"IT DOES NOT HOLD" in compliance_client.get(f"/audit/{last.id}/").content
        assert compliance_client.get("/audit/").status_code == 200

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
