"""Many who follow one page: it is read once for all of them, and each still gets what is theirs."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import Client, RequestFactory
from django.test.signals import template_rendered
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from killswitch.access.roles import COMPLIANCE, RISK_DESK
from killswitch.kills.models import Kill, Outcome
from killswitch.snapshot import one_moment, read_as_of
from orders_ui.followed import followed
from orders_ui.together import QUICKLY_MADE, follows, forget, patience, together
from tests.conftest import wait_for

from .conftest import client_of
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
        shared = followed(kill.id, request, is_fresh=True)
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


class TestTogether:
    def test_many_at_once_have_it_made_once(self) -> None:
        made: list[int] = []
        everybody = threading.Barrier(8)

        def make() -> int:
            made.append(len(made))
            return made[-1]

        def ask(_: int) -> int:
            everybody.wait(10)
            return together("one", make, is_fresh=False)

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
            first = threads.submit(together, "one", slow, is_fresh=True)
            begun.wait(10)
            second = threads.submit(together, "one", fresh, is_fresh=True)
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
            asked = [threads.submit(together, "one", breaks, is_fresh=False)]
            begun.wait(10)
            asked += [threads.submit(together, "one", breaks, is_fresh=False) for _ in range(4)]
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
        by_hand = RequestFactory(headers={"HX-Request": "true", "HX-Trigger": "refresh"})
        assert [follows(each.get("/")) for each in (poll, by_hand, RequestFactory())] == [True, False, False]

    @pytest.mark.django_db(transaction=True)
    def test_what_is_read_in_an_older_moment_is_not_taken_for_new(self, settings: Any) -> None:
        settings.TOGETHER_SECONDS = 0.0
        with one_moment():
            began = read_as_of()
            wait_for(lambda: time.monotonic() > began + 0.2, "the moment to grow old")
            together("one", lambda: "old", is_fresh=False)
        settings.TOGETHER_SECONDS = time.monotonic() - (began + 0.1)
        assert together("one", lambda: "new", is_fresh=False) == "new"

    def test_what_could_not_be_made_is_made_by_the_next(self) -> None:
        def breaks() -> str:
            raise ValueError("not now")

        with pytest.raises(ValueError, match="not now"):
            together("one", breaks, is_fresh=False)
        assert together("one", lambda: "there", is_fresh=False) == "there"
