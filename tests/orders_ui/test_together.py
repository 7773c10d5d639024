"""Many who follow one page: it is read once for all of them, and each still gets what is theirs."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.signals import template_rendered
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from killswitch.access.models import AccountLimit
from killswitch.access.roles import COMPLIANCE, RISK_DESK
from killswitch.kills.models import Kill, Outcome
from killswitch.snapshot import one_moment, read_as_of, read_once
from orders_ui.followed import followed
from orders_ui.together import QUICKLY_MADE, follows, forget, patience, together
from tests.conftest import unrecorded, wait_for

from .conftest import Fill, client_of, order
from .test_kill import HTMX, make_kill, touch

A_WHILE = 60.0  # seconds: longer than any test


@pytest.fixture(autouse=True)
def shared(settings: Any) -> Iterator[None]:
    settings.TOGETHER_SECONDS = A_WHILE
    forget()
    yield
    forget()


@pytest.fixture
def kill(db: None) -> Kill:
    made = make_kill(seconds=4, latched=True, state="latched")
    touch(made, Outcome.CANCELED, Outcome.STUCK)
    return made


def polled(client: Client, kill: Kill) -> str:
    answer = client.get(f"/kills/{kill.id}/", headers=HTMX)
    assert answer.status_code == 200
    return str(answer.content.decode())


def queries_of(client: Client, kill: Kill) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        polled(client, kill)
    return [query["sql"] for query in captured.captured_queries]


class TestFollowingAKill:
    def test_reads_its_orders_once_for_all(self, kill: Kill) -> None:
        first, second = client_of("first", RISK_DESK), client_of("second", RISK_DESK)
        assert any("kills_killedorder" in sql for sql in queries_of(first, kill))
        of_the_second = queries_of(second, kill)
        assert not [sql for sql in of_the_second if "kills_" in sql]
        assert len(of_the_second) < 13

    def test_draws_a_table_once_for_all_who_waited_for_it(self, kill: Kill, rf: RequestFactory) -> None:
        begun, second = [], threading.Event()

        def draws(template: Any, **_: Any) -> None:
            if template.name == "_kill_accounts.html":
                begun.append(template)
                if len(begun) > 1:
                    second.set()
                second.wait(0.5)

        request = rf.get("/")
        request.user = AnonymousUser()
        shared = followed(kill.id, request)
        template_rendered.connect(draws)
        try:
            with ThreadPoolExecutor(4) as threads:
                tables = set(threads.map(lambda _: shared.table("kill-accounts", request), range(4)))
        finally:
            template_rendered.disconnect(draws)
        assert (len(begun), len(tables)) == (1, 1)

    def test_gives_each_a_form_of_their_own(self, kill: Kill) -> None:
        first, second = client_of("first", RISK_DESK), client_of("second", RISK_DESK)
        texts = [polled(client, kill) for client in (first, second)]
        assert "Acknowledge as first" in texts[0]
        assert "Acknowledge as second" in texts[1]
        assert "Acknowledge as first" not in texts[1]
        tokens = [text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0] for text in texts]
        assert tokens[0] != tokens[1]

    def test_gives_a_reader_no_form_though_the_desk_asked_first(self, kill: Kill) -> None:
        polled(client_of("first", RISK_DESK), kill)
        text = polled(client_of("reader", COMPLIANCE), kill)
        assert "<form" not in text
        assert "STUCK" in text.upper()

    def test_shows_what_somebody_has_just_done_to_them_and_to_the_others(self, kill: Kill) -> None:
        first, second = client_of("first", RISK_DESK), client_of("second", RISK_DESK)
        polled(first, kill)
        polled(second, kill)
        alarm = {"alarm": "stuck", "count": "1"}
        told = first.post(f"/kills/{kill.id}/acknowledge/", alarm, headers=HTMX).content.decode()
        assert "acknowledged by first" in told
        assert "acknowledged by first" in polled(second, kill)

    def test_a_page_that_is_loaded_is_read_anew(self, kill: Kill) -> None:
        client = client_of("first", RISK_DESK)
        polled(client, kill)
        Kill.objects.update(released_at=timezone.now(), released_by_name="somebody")
        assert "Released by" not in polled(client, kill)
        assert "Released by" in client.get(f"/kills/{kill.id}/").content.decode()

    def test_the_banner_of_a_page_that_is_loaded_is_read_anew(self, kill: Kill, desk_client: Client) -> None:
        assert "are latched" not in desk_client.get("/").content.decode()
        for _ in range(5):
            make_kill(seconds=4, latched=True, state="latched")
        assert "6 kills are latched" not in desk_client.get("/", headers=HTMX).content.decode()
        assert "6 kills are latched" in desk_client.get("/").content.decode()

    def test_a_kill_that_is_not_there_is_not_found_each_time(self, desk_client: Client) -> None:
        address = "/kills/019a3a75-f3c1-77ec-9e2f-eb89414c3400/"
        assert [desk_client.get(address, headers=HTMX).status_code for _ in range(2)] == [404, 404]


class TestLoadingAPage:
    def test_gives_what_was_read_for_somebody_else_after_it_was_asked_for(self, kill: Kill, rf: RequestFactory) -> None:
        first, meanwhile, later = (loaded(rf) for _ in range(3))
        shared = followed(kill.id, first)
        assert followed(kill.id, meanwhile) is shared
        later._arrived_at = time.monotonic()  # type: ignore[attr-defined]
        assert followed(kill.id, later) is not shared

    def test_gives_whoever_has_just_done_something_what_is_there_now(self, kill: Kill, rf: RequestFactory) -> None:
        posted, other = loaded(rf), loaded(rf)
        posted.method = "POST"
        shared = followed(kill.id, other)
        assert followed(kill.id, posted) is not shared

    def test_draws_its_tables_once_for_all_who_wait(self, kill: Kill, rf: RequestFactory) -> None:
        first, second = loaded(rf), loaded(rf)
        tables = followed(kill.id, first).on_page(first)
        with CaptureQueriesContext(connection) as captured:
            assert followed(kill.id, second).on_page(second) == tables
        assert not captured.captured_queries
        assert len(tables) == 5
        for name, table in tables.items():
            assert table.startswith(f'<section id="{name.replace("_", "-")}"')
            assert "hx-swap-oob" not in table, "it is no part of an answer to a poll"


def loaded(rf: RequestFactory) -> Any:
    """Return a page load that came before anything was read."""
    request: Any = rf.get("/")
    request.user, request._arrived_at = AnonymousUser(), time.monotonic()
    return request


class TestFollowingTheDesk:
    def test_reads_the_accounts_once_for_all_who_see_the_same(self, fill: Fill) -> None:
        fill(order(1), account_id=1001)
        first, second = client_of("first", RISK_DESK), client_of("second", RISK_DESK)
        text = first.get("/", headers=HTMX).content.decode()
        with CaptureQueriesContext(connection) as captured:
            assert rows_of(second.get("/", headers=HTMX).content.decode()) == rows_of(text)
        assert not [query["sql"] for query in captured.captured_queries if 'FROM "book_account"' in query["sql"]]

    def test_shows_each_their_own_accounts_and_buttons(self, fill: Fill) -> None:
        fill(order(1), account_id=1001)
        fill(order(2), account_id=1002)
        everything, one, reader = client_of("first", RISK_DESK), client_of("one", RISK_DESK), client_of("r", COMPLIANCE)
        with unrecorded():
            AccountLimit.objects.create(user=User.objects.get(username="one"), sees=[1001, 1002], kills=[1002])
        for client, accounts, buttons in ((everything, 2, 2), (one, 2, 1), (reader, 2, 0)):
            text = client.get("/", headers=HTMX).content.decode()
            assert len(rows_of(text)) == accounts
            assert len(re.findall(r'id="kill-\d+" class="kill" href="[^"]*" aria-label', text)) == buttons

    def test_searches_and_sorts_for_each(self, fill: Fill, desk_client: Client) -> None:
        fill(order(1), account_id=1001)
        fill(order(2), order(3), account_id=1002)
        text = desk_client.get("/", headers=HTMX).content.decode()
        sorted_ = desk_client.get("/?sort=-orders", headers=HTMX).content.decode()
        assert (rows_of(text), rows_of(sorted_)) == (["1001", "1002"], ["1002", "1001"])
        sought = desk_client.get("/?q=1002", headers=HTMX).content.decode()
        assert re.findall(r'<tr id="row-(\d+)"[^>]* hidden>', sought) == ["1001"]
        assert " hidden>" not in "".join(
            re.findall(r"<tr id=[^>]*>", desk_client.get("/", headers=HTMX).content.decode())
        )

    def test_a_desk_that_is_loaded_or_refreshed_by_hand_is_read_anew(self, fill: Fill, desk_client: Client) -> None:
        fill(order(1), account_id=1001)
        desk_client.get("/", headers=HTMX)
        fill(order(2), account_id=1002)
        assert rows_of(desk_client.get("/", headers=HTMX).content.decode()) == ["1001"]
        by_hand = desk_client.get("/", headers={**HTMX, "HX-Trigger": "refresh"}).content.decode()
        assert rows_of(by_hand) == ["1001", "1002"]
        fill(order(3), account_id=1003)
        assert rows_of(desk_client.get("/").content.decode()) == ["1001", "1002", "1003"]


def rows_of(text: str) -> list[str]:
    return re.findall(r'<tr id="row-(\d+)"', text)


class TestReadOnce:
    @pytest.mark.django_db(transaction=True)
    def test_asks_once_in_a_moment_and_each_time_outside(self, kill: Kill) -> None:
        asked: list[Kill] = []

        @read_once
        def ask(row: Kill) -> int:
            asked.append(row)
            return len(asked)

        with one_moment():
            assert [ask(kill), ask(kill)] == [1, 1]
            with one_moment():
                assert ask(kill) == 1
        assert [ask(kill), ask(kill)] == [2, 3]
        with one_moment():
            assert ask(kill) == 4


class TestTogether:
    def test_many_at_once_have_it_made_once(self) -> None:
        made: list[int] = []
        everybody = threading.Barrier(8)

        def make() -> int:
            made.append(len(made))
            return made[-1]

        def ask(_: int) -> int:
            everybody.wait(10)
            return together("one", make, since=None)

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(ask, range(8))) == [0] * 8

    def test_whoever_wants_it_fresh_gets_none_that_was_begun_before_the_question(self) -> None:
        begun, goes_on, asked = threading.Event(), threading.Event(), []

        def slow() -> str:
            begun.set()
            goes_on.wait(10)
            return "old"

        def fresh() -> Any:
            asked.append(True)
            return "new"

        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(together, "one", slow, since=time.monotonic())
            begun.wait(10)
            second = threads.submit(together, "one", fresh, since=time.monotonic())
            goes_on.set()
            assert (first.result(10), second.result(10)) == ("old", "new")

    def test_those_who_waited_for_a_failure_do_not_fail_one_after_the_other(self) -> None:
        begun, goes_on, tried = threading.Event(), threading.Event(), []

        def breaks() -> str:
            tried.append(True)
            begun.set()
            goes_on.wait(10)
            raise ValueError("not now")

        with ThreadPoolExecutor(5) as threads:
            asked = [threads.submit(together, "one", breaks, since=None)]
            begun.wait(10)
            asked += [threads.submit(together, "one", breaks, since=None) for _ in range(4)]
            wait_for(lambda: threads._work_queue.empty(), "everybody to ask")
            goes_on.set()
            for each in asked:
                with pytest.raises(ValueError, match="not now"):
                    each.result(10)
        assert len(tried) < 5

    def test_what_took_long_to_make_may_be_older_but_not_as_old_as_what_a_page_shows(self, settings: Any) -> None:
        settings.TOGETHER_SECONDS = 0.5
        assert [patience(took) for took in (0.0, QUICKLY_MADE, 1.6 * QUICKLY_MADE)] == [0.5, 0.5, pytest.approx(0.8)]
        assert patience(60.0) < 1, "seconds: how often a page asks"

    def test_who_asks_by_hand_wants_to_know_it_now(self) -> None:
        poll = RequestFactory(headers={"HX-Request": "true", "HX-Trigger": "kill"})
        refresh, sort = (
            RequestFactory(headers={"HX-Request": "true", "HX-Trigger": trigger})
            for trigger in ("refresh", "sort-name")
        )
        asked = (poll, refresh, sort, RequestFactory())
        assert [follows(each.get("/")) for each in asked] == [True, False, False, False]

    @pytest.mark.django_db(transaction=True)
    def test_what_is_read_in_an_older_moment_is_not_taken_for_new(self, settings: Any) -> None:
        settings.TOGETHER_SECONDS = 0.0
        with one_moment():
            began = read_as_of()
            wait_for(lambda: time.monotonic() > began + 0.2, "the moment to grow old")
            together("one", lambda: "old", since=None)
        settings.TOGETHER_SECONDS = time.monotonic() - (began + 0.1)
        assert together("one", lambda: "new", since=None) == "new"

    @pytest.mark.django_db(transaction=True)
    def test_what_is_read_in_an_older_moment_does_not_take_the_place_of_what_is_newer(self) -> None:
        with one_moment():
            wait_for(lambda: time.monotonic() > read_as_of() + 0.01, "the moment to grow old")
            with ThreadPoolExecutor(1) as threads:
                threads.submit(together, "one", lambda: "newer", since=None).result(10)
            assert together("one", lambda: "older", since=time.monotonic()) == "older"
        assert together("one", lambda: "anew", since=None) == "newer"

    def test_what_could_not_be_made_is_made_by_the_next(self) -> None:
        def breaks() -> str:
            raise ValueError("not now")

        with pytest.raises(ValueError, match="not now"):
            together("one", breaks, since=None)
        assert together("one", lambda: "there", since=None) == "there"
