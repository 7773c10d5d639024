"""What somebody sees and does whose accounts are limited, page by page; and the pages on which that is set."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from killswitch.access.accounts import accounts_of
from killswitch.access.models import AccountLimit
from killswitch.access.roles import ADMINISTRATOR, COMPLIANCE, RISK_DESK
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.kills.models import Kill, State, Sweep
from tests.conftest import unrecorded

from .conftest import client_of, order
from .test_acknowledge import add, make_kill

Fill = Callable[..., None]
pytestmark = pytest.mark.django_db


def limited(role: str = RISK_DESK, *, sees: Any = (), kills: Any = (), sees_all: bool = False) -> Client:
    client = client_of("ann", role)
    limit_ann(sees=sees, kills=kills, sees_all=sees_all)
    return client


def limit_ann(*, sees: Any = (), kills: Any = (), sees_all: bool = False) -> None:
    values = {"sees": list(sees), "kills": list(kills), "sees_all": sees_all}
    with unrecorded():
        AccountLimit.objects.update_or_create(user=User.objects.get(username="ann"), defaults=values)


def words(answer: HttpResponse) -> str:
    """Return a page as words."""
    text = re.sub(r"<[^>]*>", " ", answer.content.decode())
    return " ".join(text.replace("&amp;", "&").split())


def last() -> Entry:
    return Entry.objects.latest("id")


class TestThePress:
    def test_of_an_account_that_was_not_given_is_refused_as_a_whole(self) -> None:
        client = limited(kills=[1001], sees=[1002])
        answer = client.post("/kills/", {"account": [1001, 1002], "reason": "now"})
        assert answer.status_code == 403
        assert "NOT SENT. Nothing was done: you may not kill on account 1002." in words(answer)
        assert "Ask an administrator" in words(answer)
        assert not Kill.objects.exists()
        assert (last().kind, last().sentence) == (Kind.DENIED, "ann may not kill on account 1002")
        assert last().data["fields"]["account"] == ["1001", "1002"]

    def test_of_one_that_was_given_goes_through(self) -> None:
        answer = limited(kills=[1001]).post("/kills/", {"account": 1001, "dry_run": "on"})
        assert answer.status_code == 303
        assert Kill.objects.get().scope == "all orders on account 1001"

    def test_of_all_accounts_is_refused_where_it_was_not_shown_by_name(self) -> None:
        """A page from before the limit says "all": what is narrowed in silence is not what was pressed."""
        answer = limited(kills=[1001, 1002]).post("/kills/", {"all_accounts": "on"})
        assert answer.status_code == 403
        assert "only on the 2 accounts given to you: load the page again" in words(answer)
        assert not Kill.objects.exists()

    def test_of_any_is_refused_where_none_was_given(self) -> None:
        client = limited(sees=[1001])
        for answer in (client.post("/kills/", {"account": 1001}), client.get("/kills/new/?all_accounts=on")):
            assert answer.status_code == 403
            assert "You may not kill on any account: none was given to you" in words(answer)

    def test_says_nothing_of_what_is_wrong_beside_an_account_that_is_not_theirs(self, fill: Fill) -> None:
        fill(order(1, account_id=1002, symbol="ZZZ"), account_id=1002)
        answer = limited(kills=[1001]).post("/kills/", {"account": "1002", "reason": "x" * 11_000})
        assert answer.status_code == 403
        assert b"ZZZ" not in answer.content

    def test_costs_one_query_more_for_everybody(self) -> None:
        client = client_of("ann", RISK_DESK)
        with CaptureQueriesContext(connection) as found:
            assert client.post("/kills/", {"account": 1001}).status_code == 303
        asked = [query["sql"] for query in found.captured_queries if "accountlimit" in query["sql"]]
        assert len(asked) == 1


class TestAllOfTheirs:
    def test_is_shown_by_name_and_pressed_by_name(self, fill: Fill) -> None:
        for account_id in (1001, 1002, 1003):
            fill(order(1, account_id=account_id), account_id=account_id)
        client = limited(kills=[1001, 1002], sees=[1003])
        page = client.get("/kills/new/?all_accounts=on")
        assert "all orders on 2 accounts all 2 accounts that you may kill" in words(page)
        assert "2 open orders" in words(page)
        fields = re.findall(r'type="hidden" name="(account|all_accounts)" value="([^"]*)"', page.content.decode())
        assert fields == [("account", "1001"), ("account", "1002")]
        # The limit grows on the way: what was shown is what is canceled.
        limit_ann(kills=[1001, 1002, 1003])
        assert client.post("/kills/", {"account": [value for _, value in fields]}).status_code == 303
        kill = Kill.objects.get()
        assert (kill.all_accounts, kill.scope) == (False, "all orders on 2 accounts")
        assert sorted(kill.sweeps.values_list("account_id", flat=True)) == [1001, 1002]

    def test_becomes_no_wider_than_the_limit_that_shrank(self) -> None:
        client = limited(kills=[1001])
        assert client.post("/kills/", {"account": [1001, 1002]}).status_code == 403
        assert not Kill.objects.exists()

    def test_is_followed_by_an_address_that_stays_short(self) -> None:
        client = limited(kills=range(1000, 3000))
        page = client.get("/kills/new/?all_accounts=on").content.decode()
        [address] = re.findall(r'hx-get="(/kills/new/reach/[^"]*)"', page)
        assert len(address) < 200
        assert "on <strong>" in client.get(address.replace("&amp;", "&")).content.decode() or "all" in address

    def test_is_what_the_desk_offers(self, fill: Fill) -> None:
        fill(order(1))
        assert "KILL ALL of yours" in words(limited(kills=[1001]).get("/"))


class TestTheDesk:
    def test_sums_what_may_be_seen_and_offers_what_may_be_killed(self, fill: Fill) -> None:
        for account_id in (1001, 1002, 1003):
            fill(order(1, account_id=account_id), account_id=account_id)
        page = limited(kills=[1001], sees=[1002]).get("/").content.decode()
        assert re.findall(r'id="row-(\d+)"', page) == ["1001", "1002"]
        assert re.findall(r'value="(\d+)" disabled', page) == ["1002"]
        assert re.findall(r'account=(\d+)" hidden', page) == ["1002"]
        assert "<dt>Accounts</dt><dd>2" in page
        assert "<dt>Open orders</dt><dd>2" in page

    def test_offers_no_cancel_on_an_account_that_may_only_be_seen(self, fill: Fill) -> None:
        fill(order(1), account_id=1001)
        assert b"/kills/new/" not in limited(sees=[1001]).get("/accounts/1001/").content

    def test_says_why_it_is_empty(self) -> None:
        assert "None of your accounts is here" in words(limited().get("/"))


def kill_of(*account_ids: int, **values: Any) -> Kill:
    """Make a kill of these accounts, the first of which has an alarm."""
    kill = make_kill(**values)
    kill.sweeps.update(account_id=account_ids[0])
    add(kill)
    for account_id in account_ids[1:]:
        Sweep.objects.create(kill=kill, account_id=account_id, state=kill.state, ended_at=kill.ended_at)
    return kill


class TestAKill:
    def test_that_reaches_further_shows_what_becomes_of_theirs(self) -> None:
        kill = kill_of(1001, 1002)
        client = limited(kills=[1002])
        page = client.get(f"/kills/{kill.pk}/")
        assert page.status_code == 200
        assert "A kill that reaches further than the accounts that you may see" in words(page)
        assert "1002 not flat" in words(page)
        assert "1001" not in words(page)
        assert "1 not flat of your accounts" in words(client.get("/kills/"))
        for part in ("call-sheet/", "call-sheet.txt"):
            assert client.get(f"/kills/{kill.pk}/{part}").status_code == 403
        assert client.get(f"/kills/{kill.pk}.json").status_code == 403

    @pytest.mark.parametrize("part", ["summary/", "pack.zip"])
    def test_that_reaches_further_is_not_taken_away(self, part: str) -> None:
        answer = limited(COMPLIANCE, kills=[1002]).get(f"/kills/{kill_of(1001, 1002).pk}/{part}")
        assert answer.status_code == 403
        assert "it reaches further than the accounts that you may see" in words(answer)

    def test_of_all_accounts_is_whole_only_for_who_sees_all(self) -> None:
        kill = kill_of(1001, all_accounts=True)
        client = limited(kills=[1001])
        assert "reaches further" in words(client.get(f"/kills/{kill.pk}/"))
        limit_ann(sees_all=True)
        assert "reaches further" not in words(client.get(f"/kills/{kill.pk}/"))

    def test_that_runs_on_theirs_and_others_stands_in_the_banner(self) -> None:
        kill_of(1001, 1002, state=State.RUNNING, ended=None)
        page = words(limited(kills=[1002]).get("/kills/"))
        assert "KILL RUNNING on accounts of yours and on others" in page
        assert "nobody acknowledged" not in page

    def test_of_ones_own_is_found_by_its_key_however_the_limit_was_narrowed(self) -> None:
        client = limited(kills=[1001])
        ann = User.objects.get(username="ann")
        kill = kill_of(1001, engaged_by_id=ann.pk)
        limit_ann(kills=[1002])
        assert client.get(f"/kills/by-key/{kill.idempotency_key}.json").json()["kill"] == f"/kills/{kill.pk}/"
        Kill.objects.update(engaged_by_id=ann.pk + 1)
        assert client.get(f"/kills/by-key/{kill.idempotency_key}.json").json()["kill"] is None

    def test_that_ended_badly_on_theirs_stays_in_the_banner(self) -> None:
        kill_of(1001, 1002, state=State.NOT_FLAT)
        Sweep.objects.filter(account_id=1001).update(state=State.FLAT)
        Sweep.objects.filter(account_id=1002).update(state=State.UNKNOWN)
        client = limited(kills=[1002])
        assert "NOT FLAT, OR NOT KNOWN, ON 1 ACCOUNT OF YOURS" in words(client.get("/kills/"))
        limit_ann(kills=[1001])
        assert "OF YOURS" not in words(client.get("/kills/")), "it is flat on theirs"

    def test_is_released_by_who_may_kill_on_all_its_accounts(self, settings: Any) -> None:
        kill = kill_of(1001, 1002, state=State.LATCHED, ended=None, latched=True, engaged_by_name="bob")
        client = limited(kills=[1001], sees=[1002])
        page = client.get(f"/kills/{kill.pk}/").content.decode()
        assert f'action="/kills/{kill.pk}/release/"' not in page
        assert f"/kills/{kill.pk}/release/#release" not in page
        answer = client.post(f"/kills/{kill.pk}/release/", {"reason": "done"})
        assert answer.status_code == 403
        assert "NOT SENT" in words(answer)
        kill.refresh_from_db()
        assert kill.released_at is None
        limit_ann(kills=[1001, 1002])
        assert client.post(f"/kills/{kill.pk}/release/", {"reason": "done"}).status_code == 303

    def test_is_acknowledged_by_who_may_see_all_its_accounts(self) -> None:
        kill = kill_of(1001, 1002)
        client = limited(sees=[1001])
        form = {"alarm": "stuck", "count": "1"}
        assert client.post(f"/kills/{kill.pk}/acknowledge/", form).status_code == 403
        limit_ann(sees=[1001, 1002])
        assert client.post(f"/kills/{kill.pk}/acknowledge/", form).status_code == 303
        assert kill.acknowledgements.count() == 1

    def test_that_is_not_theirs_any_more_ends_a_page_that_follows_it(self) -> None:
        """Without an entry for each poll: one that is loaded afresh is the last."""
        kill = kill_of(1001, state=State.RUNNING, ended=None)
        client = limited(kills=[1002])
        before = Entry.objects.count()
        answer = client.get(f"/kills/{kill.pk}/", headers={"HX-Request": "true"})
        assert answer["HX-Refresh"] == "true"
        assert Entry.objects.count() == before


class TestTheTrail:
    def test_of_a_kill_that_is_theirs_is_whole(self) -> None:
        client = limited(kills=[1001])
        client.post("/kills/", {"account": 1001, "dry_run": "on"})
        kill = Kill.objects.get()
        reader = client_of("ben", COMPLIANCE)
        with unrecorded():
            AccountLimit.objects.create(user=User.objects.get(username="ben"), sees=[1001])
        assert "rehearsed a kill" in words(reader.get(f"/audit/?kill={kill.pk}"))
        entry = Entry.objects.get(kind=Kind.KILL_ENGAGED)
        assert reader.get(f"/audit/{entry.pk}/").status_code == 200

    def test_names_a_neighbour_that_may_not_be_seen_by_its_number_alone(self) -> None:
        client = limited(COMPLIANCE, sees=[1001])
        client_of("bob", RISK_DESK).post("/kills/", {"account": 1002})
        client.get("/accounts/1002/")
        own = last()
        page = client.get(f"/audit/{own.pk}/")
        assert own.actor_name == "ann"
        assert f"Before it: entry {own.pk - 1}, which is not of your accounts" in words(page)
        assert f'/audit/{own.pk - 1}/"' not in page.content.decode()
        assert client.get(f"/audit/{own.pk - 1}/").status_code == 404

    def test_that_is_exported_says_that_it_was_limited_and_to_what(self) -> None:
        client = limited(COMPLIANCE, sees=[1001, 1002])
        b"".join(client.get("/audit/export.jsonl?since=2020-01-01"))
        told = Entry.objects.get(kind=Kind.TRAIL_EXPORTED)
        assert "limited to accounts 1001, 1002 and to what ann did" in told.sentence
        assert told.data["search"]["only"] == {"accounts": [1001, 1002], "person": "ann"}

    def test_of_many_accounts_is_walked_along_the_trail_itself(self, fill: Fill) -> None:
        client_of("bob", RISK_DESK).post("/kills/", {"account": 1002})
        client = limited(COMPLIANCE, sees=range(1002, 2500))
        with CaptureQueriesContext(connection) as found:
            page = client.get("/audit/")
        assert "bob engaged a kill" in words(page)
        assert len(found) < 60

    @pytest.mark.parametrize("many", [1, 60])
    def test_holds_back_what_they_did_on_accounts_that_are_not_theirs_any_more(self, many: int) -> None:
        client = limited(COMPLIANCE, sees=range(1001, 1001 + many))
        me = User.objects.get(username="ann")
        told = ((me.pk, "ann", 5, "of old"), (me.pk, "ann", None, "of mine"), (me.pk + 1, "ann", None, "of a namesake"))
        append(
            [
                Draft(
                    kind=Kind.DENIED,
                    at=timezone.now(),
                    sentence=words,
                    account_id=number,
                    actor=Actor(id=pk, name=name),
                )
                for pk, name, number, words in told
            ]
        )
        for query in ("", "?person=ann", f"?kind={Kind.DENIED}", f"?kind={Kind.DENIED}&person=ann"):
            page = words(client.get(f"/audit/{query}"))
            assert [each for *_, each in told if f" {each} " in page] == ["of mine"]

    def test_names_no_kill_on_a_page_of_entries_that_they_may_not_see_whole(self) -> None:
        kill = kill_of(1001, 1002)
        entry = Draft(
            kind=Kind.SWEEP_ENDED,
            at=timezone.now(),
            sentence="it ended",
            account_id=1001,
            kill_id=kill.pk,
            actor=Actor(),
        )
        append([entry])
        client = limited(COMPLIANCE, sees=[1001])
        assert 'id="kills-here"' not in client.get("/audit/").content.decode()
        limit_ann(sees=[1001, 1002])
        assert 'id="kills-here"' in client.get("/audit/").content.decode()

    def test_tells_nothing_of_what_became_of_an_order_of_another_account(self) -> None:
        told = [
            Draft(
                kind=Kind.ORDER_ENDED, at=timezone.now(), sentence="x", account_id=number, order_id="o-1", outcome=word
            )
            for number, word in ((1001, "canceled"), (1002, "expired"))
        ]
        append(told)
        client = limited(COMPLIANCE, sees=[1001])
        other = Entry.objects.get(account_id=1002).pk
        page = client.get("/audit/?order=o-1&replacements=on").content.decode()
        assert f"/{other}/" not in page
        assert "word expired" not in page
        limit_ann(sees=[1001, 1002])
        assert "word expired" in client.get("/audit/?order=o-1&replacements=on").content.decode()

    def test_takes_only_a_whole_id_of_a_kill(self) -> None:
        kill = kill_of(1002)
        client = limited(COMPLIANCE, sees=[1001])
        for text in (str(kill.pk)[:8], "abcdef01"):
            assert "Copy the whole id of the kill" in words(client.get(f"/audit/?kill={text}"))


@pytest.fixture
def admin(db: None) -> Client:
    return client_of("root", ADMINISTRATOR)


@pytest.fixture
def ann(db: None) -> User:
    client_of("ann", RISK_DESK)
    return User.objects.get(username="ann")


class TestThePageOfAUsersAccounts:
    def test_sets_them(self, admin: Client, ann: User) -> None:
        with unrecorded():
            europe = Group.objects.create(name="europe")
        form = {"limited": "on", "sees": "1001, 1002\n1003", "kills": "1004 1005,,", "teams": [europe.pk]}
        assert admin.post(f"/users/{ann.pk}/accounts/", form)["Location"] == f"/users/{ann.pk}/accounts/"
        found = accounts_of(ann)
        assert (found.sees, found.kills) == ({1001, 1002, 1003, 1004, 1005}, {1004, 1005})
        assert last().sentence == (
            "root changed user ann: teams from none to europe, "
            "accounts from “not limited” to “see 1001, 1002, 1003; kill 1004, 1005”"
        )
        page = words(admin.get(f"/users/{ann.pk}/accounts/"))
        assert "5 accounts of these are not in the book: 1001, 1002, 1003, 1004, 1005" in page
        assert "sees 5 accounts, kills on 2; teams: europe" in words(admin.get(f"/users/{ann.pk}/"))
        assert "limited europe" in words(admin.get("/users/"))

    def test_lifts_them(self, admin: Client, ann: User) -> None:
        limit_ann(kills=[1])
        admin.post(f"/users/{ann.pk}/accounts/", {"limited": "off"})
        assert not accounts_of(ann).is_limited

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"limited": "on", "sees": "12, all"}, "“all” is no account number"),
            ({"limited": "on", "kills": "0"}, "“0” is no account number"),
            ({"limited": "on", "kills": "-5"}, "“-5” is no account number"),
            ({"limited": "on", "kills": "9" * 30}, "is no account number"),
            ({"limited": "on", "kills": "٣"}, "is no account number"),
            ({"limited": "on", "kills": "<script>"}, "is no account number"),
            ({"limited": "on", "kills": "1\x00"}, "Null characters are not allowed"),
            ({"limited": "on", "kills": " ".join(map(str, range(1, 5100)))}, "more than 5,000 accounts"),
            ({"limited": "off", "kills": "5"}, "Accounts stand below: choose “only these”, or take them out."),
            ({"limited": "perhaps", "kills": "5"}, "Select a valid choice"),
            ({"kills": "5"}, "This field is required"),
            ({"limited": "on", "kills": "5", "teams": "99"}, "There is no such team"),
            ({"limited": "on", "kills": "5", "teams": "x"}, "There is no such team"),
            ({"limited": "on", "kills": "5", "teams": "9" * 40}, "There is no such team"),
        ],
    )
    def test_says_what_is_wrong_and_loses_nothing(
        self, fields: dict[str, str], why: str, admin: Client, ann: User
    ) -> None:
        limit_ann(kills=[77])
        answer = admin.post(f"/users/{ann.pk}/accounts/", fields)
        assert answer.status_code == 400
        assert "NOT CHANGED." in words(answer)
        assert why in words(answer)
        typed = re.findall(r"<textarea name=\"(\w+)\"[^>]*>\n?([^<]*)</textarea>", answer.content.decode())
        plain = {name: value.replace("&lt;", "<").replace("&gt;", ">") for name, value in typed}
        assert plain == {name: fields.get(name, "") for name in ("sees", "kills")}
        assert accounts_of(ann).kills == {77}

    def test_is_not_for_one_s_own(self, admin: Client) -> None:
        me = User.objects.get(username="root")
        for answer in (admin.get(f"/users/{me.pk}/accounts/"), admin.post(f"/users/{me.pk}/accounts/", {})):
            assert answer.status_code == 403
            assert "You may not change your own accounts" in words(answer)
        assert f"/users/{me.pk}/accounts/" not in admin.get(f"/users/{me.pk}/").content.decode()

    @pytest.mark.parametrize("page", ["/users/{0}/accounts/", "/teams/", "/teams/new/", "/teams/{1}/"])
    def test_is_closed_to_who_does_not_see_all(self, page: str, ann: User) -> None:
        with unrecorded():
            team = Group.objects.create(name="europe")
        client = client_of("ben", ADMINISTRATOR)
        with unrecorded():
            AccountLimit.objects.create(user=User.objects.get(username="ben"), kills=[1])
        for ask in (client.get, client.post):
            answer = ask(page.format(ann.pk, team.pk))
            assert answer.status_code in (403, 405)
        assert "You may not give accounts to others while yours are limited" in words(
            client.get(page.format(ann.pk, team.pk))
        )

    def test_logs_them_out(self, admin: Client) -> None:
        client = client_of("ann", RISK_DESK)
        ann = User.objects.get(username="ann")
        assert client.get("/").status_code == 200
        admin.post(f"/users/{ann.pk}/accounts/", {"limited": "on", "kills": "5"})
        assert client.get("/").status_code == 302


class TestTeams:
    def test_are_added_listed_and_changed(self, admin: Client, ann: User) -> None:
        added = admin.post("/teams/new/", {"name": "europe", "kills": "1001"})
        team = Group.objects.get(name="europe")
        assert added["Location"] == f"/teams/{team.pk}/"
        with unrecorded():
            team.user_set.add(ann)
        assert "europe sees 1 account, kills on 1 ann" in words(admin.get("/teams/"))
        assert "Its people: ann" in words(admin.get(f"/teams/{team.pk}/"))
        admin.post(f"/teams/{team.pk}/", {"sees": "1001 1002"})
        assert (accounts_of(ann).sees, accounts_of(ann).kills) == ({1001, 1002}, set())
        assert (
            last().sentence
            == "root changed team europe: accounts from “see none; kill 1001” to “see 1001, 1002; kill none”"
        )

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("", "This field is required"),
            ("risk desk", "without blanks"),
            ("EUROPE", "There is a team or a role of that name already."),
            ("Compliance", "There is a team or a role of that name already."),
            ("*", "without blanks"),
            ("x" * 151, "at most 150 characters"),
            ("a\x00b", "Null characters are not allowed"),
        ],
    )
    def test_have_a_name_of_their_own(self, name: str, why: str, admin: Client) -> None:
        with unrecorded():
            Group.objects.create(name="europe")
        answer = admin.post("/teams/new/", {"name": name, "kills": "1001"})
        assert (answer.status_code, Group.objects.count()) == (400, 4)
        assert why in words(answer)
        assert ">\n1001</textarea>" in answer.content.decode()

    def test_are_no_roles(self, admin: Client) -> None:
        role = Group.objects.get(name=RISK_DESK)
        assert admin.post(f"/teams/{role.pk}/", {"kills": "1"}).status_code == 404
        assert not AccountLimit.objects.exists()

    def test_of_one_s_own_are_changed_by_another(self, admin: Client) -> None:
        with unrecorded():
            team = Group.objects.create(name="europe")
            AccountLimit.objects.create(group=team, sees_all=True)
            team.user_set.add(User.objects.get(username="root"))
        answer = admin.post(f"/teams/{team.pk}/", {"kills": "1"})
        assert answer.status_code == 403
        assert "another administrator does" in words(answer)
        assert AccountLimit.objects.get().kills == []
