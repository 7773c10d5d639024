"""A kill that is watched: what a poll brings, how far it is, who else looks."""

import logging
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from killswitch.access.roles import COMPLIANCE, RISK_DESK
from killswitch.incident.course import Course
from killswitch.incident.figures import Incident, Progress, Tally
from killswitch.kills.models import Kill, KilledOrder, Outcome, State
from orders_ui import looking
from orders_ui.marks import digest_of_page
from orders_ui.models import Looking
from orders_ui.plot import Axis, Plot, bar, time_label

from .conftest import client_of
from .test_kill import HTMX, add, end, make_kill, page_of, touch


@pytest.fixture
def kill(db: None) -> Kill:
    return make_kill(seconds=4)


def poll(client: Client, kill: Kill, marks: str = "", **headers: str) -> Any:
    return client.get(f"/kills/{kill.id}/", headers={**HTMX, "X-Seen": marks, **headers})


def marks_of(answer: Any) -> str:
    found = re.search(r'data-marks="([^"]*)"', answer.content.decode())
    assert found
    return found[1]


def parts(answer: Any) -> set[str]:
    return set(re.findall(r'id="(kill(?:-\w+)?)"', answer.content.decode()))


class TestAPoll:
    def test_is_answered_with_nothing_while_nothing_changes(self, kill: Kill, desk_client: Client) -> None:
        Kill.objects.update(state=State.LATCHED, latched=True)  # the plot of one that runs goes on
        touch(kill, Outcome.CANCELED, Outcome.STUCK)
        KilledOrder.objects.filter(outcome=Outcome.STUCK).update(pending_since=timezone.now() - timedelta(seconds=9))
        first = poll(desk_client, kill)
        assert {"kill", "kill-figures", "kill-open", "kill-waiting", "kill-accounts", "kill-gone"} <= parts(first)
        again = poll(desk_client, kill, marks_of(first))
        assert (again.status_code, again.content) == (204, b"")

    def test_brings_only_the_tables_that_changed(self, kill: Kill, desk_client: Client) -> None:
        touch(kill, Outcome.CANCELED, Outcome.STUCK)
        first = poll(desk_client, kill)
        KilledOrder.objects.filter(outcome=Outcome.STUCK).update(attempts=4)
        second = poll(desk_client, kill, marks_of(first))
        assert {"kill", "kill-open"} <= parts(second)
        assert not {"kill-accounts", "kill-gone", "kill-waiting"} & parts(second)
        KilledOrder.objects.filter(outcome=Outcome.STUCK).update(outcome=Outcome.CANCELED, ended_at=timezone.now())
        third = poll(desk_client, kill, marks_of(second))
        assert {"kill-figures", "kill-open", "kill-accounts", "kill-gone"} <= parts(third)
        assert "<h2>Not known to be gone" not in third.content.decode()

    def test_brings_everything_to_a_page_that_tells_nothing(self, kill: Kill, desk_client: Client) -> None:
        touch(kill, Outcome.CANCELED)
        for marks in ("", "x", "kill:", ":", "kill-gone:0 kill-open:0", "y" * 5000):
            assert {"kill", "kill-gone", "kill-accounts", "kill-open"} <= parts(poll(desk_client, kill, marks))

    def test_brings_the_end_to_a_page_that_has_all_the_rest(self, kill: Kill, desk_client: Client) -> None:
        touch(kill, Outcome.CANCELED)
        first = poll(desk_client, kill)
        end(kill, State.FLAT)
        text = poll(desk_client, kill, marks_of(first)).content.decode()
        assert "<title>FLAT: kill" in text
        assert 'data-tone="good"' in text
        assert 'data-icon="/static/icons/flat.svg"' in text
        assert "hx-trigger" not in text

    def test_is_small_however_many_orders_there_are(self, kill: Kill, desk_client: Client) -> None:
        for account_id in range(200):
            kill.sweeps.create(account_id=account_id, state=State.RUNNING)
        touch(kill, *[Outcome.CANCELED] * 2000, *[Outcome.PENDING] * 2000)
        first = poll(desk_client, kill)
        assert first.content.count(b'<tr id="order-') == 100
        assert first.content.count(b'<tr id="row-') == 50
        assert len(poll(desk_client, kill, marks_of(first)).content) < 12_000

    @pytest.mark.parametrize("state", State)
    def test_names_an_icon_that_is_there_and_a_sound_for_each_state(
        self, state: State, kill: Kill, desk_client: Client
    ) -> None:
        Kill.objects.update(state=state, ended_at=None if state in ("running", "latched") else timezone.now())
        kill.sweeps.create(account_id=1001, state=state, lease_until=timezone.now() + timedelta(seconds=9))
        text = page_of(desk_client, kill)
        assert f'<link rel="icon" href="/static/icons/{state}.svg"' in text
        assert finders.find(f"icons/{state}.svg")
        tones = {State.RUNNING: "", State.LATCHED: "good", State.FLAT: "good"}
        assert f'data-tone="{tones.get(state, "bad")}"' in text


def test_what_only_counts_on_in_the_browser_is_no_news() -> None:
    text = '<time data-age="{}">{} s</time> <b data-pressed="{}.5">{}.5 s</b> {} '
    text += '<input name="csrfmiddlewaretoken" value="{}">'
    assert digest_of_page(text.format(1, 1, 1, 1, "x", "a")) == digest_of_page(text.format(2, 2, 2, 2, "x", "b"))
    assert digest_of_page(text.format(1, 1, 1, 1, "x", "a")) != digest_of_page(text.format(1, 1, 1, 1, "y", "a"))


class TestOneMoment:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "poll"])
    def test_shows_nothing_of_what_is_committed_while_it_is_read(
        self, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kill = make_kill(seconds=4, latched=True, state=State.LATCHED)
        kill.sweeps.create(account_id=1001, state=State.LATCHED, lease_until=timezone.now() + timedelta(seconds=9))
        client = client_of("desk", RISK_DESK)
        read = Tally.__init__

        def read_while_an_order_arrives(tally: Tally, orders: Any) -> None:
            elsewhere(lambda: add(kill, "arrived", is_late=True))
            read(tally, orders)

        monkeypatch.setattr(Tally, "__init__", read_while_an_order_arrives)
        text = client.get(f"/kills/{kill.id}/", headers=headers).content.decode()
        assert "<h1>LATCHED</h1>" in text
        assert "arrived" not in text.replace("arrived after the kill", "")
        assert '<p class="loud late">' not in text
        monkeypatch.setattr(Tally, "__init__", read)
        text = client.get(f"/kills/{kill.id}/", headers=headers).content.decode()
        assert '<p class="loud late">' in text


def elsewhere(work: Any) -> None:
    """Do something on a connection of its own, and wait for it."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(15)
    assert failed == []


class TestProgress:
    def test_puts_each_order_where_it_stands(self, kill: Kill) -> None:
        at = timezone.now()
        add(kill, "1", outcome=Outcome.CANCELED, asked_at=at, accepted_at=at, ended_at=at)
        add(kill, "2", outcome=Outcome.FILLED, ended_at=at)
        add(kill, "3", outcome=Outcome.PENDING, asked_at=at, accepted_at=at)
        add(kill, "4", outcome=Outcome.PENDING, asked_at=at)
        add(kill, "5", outcome=Outcome.PENDING)
        add(kill, "6", outcome=Outcome.STUCK, asked_at=at, accepted_at=at)
        add(kill, "7", outcome=Outcome.NOT_FOUND, ended_at=at)
        progress = Incident(kill).progress
        assert progress == Progress(ended=2, bad=2, accepted=1, asked=1, waits=1)
        assert progress.known == 7

    def test_says_so_in_figures_and_words(self, kill: Kill, desk_client: Client) -> None:
        at = timezone.now()
        add(kill, "1", outcome=Outcome.CANCELED, asked_at=at, accepted_at=at, ended_at=at)
        add(kill, "2", outcome=Outcome.STUCK, asked_at=at, accepted_at=at)
        text = re.sub(r"<svg.*?</svg>", "", page_of(desk_client, kill))
        assert "<strong>Orders</strong> 1 of 2 ended" in text
        assert '<li class="ended"> 1 ended</li><li class="bad"> 1 did not go away</li>' in text
        assert "<strong>Accounts</strong> 0 of 1 flat" in text

    def test_a_dry_run_has_no_cancels_to_show(self, desk_client: Client) -> None:
        kill = make_kill(dry_run=True)
        add(kill, "1", outcome=Outcome.WOULD_CANCEL, ended_at=timezone.now())
        text = page_of(desk_client, kill)
        assert "<strong>Orders</strong>" not in text
        assert "Cancels sent" not in text

    def test_shows_the_least_part_of_a_bar(self) -> None:
        few, none, many = bar([("few", "few", 1), ("none", "none", 0), ("many", "many", 99_999)])
        assert (none.width, few.x) == (0, 0)
        assert few.width >= 5
        assert many.x == few.width
        assert round(many.x + many.width) == 1000
        assert bar([("none", "none", 0)])[0].width == 0


def after(kill: Kill, seconds: float) -> datetime:
    return kill.engaged_at + timedelta(seconds=seconds)


class TestCourse:
    def test_counts_what_was_reached_by_when(self, kill: Kill) -> None:
        for number, seconds in enumerate((0.1, 0.1, 1.0, 3.999)):
            asked, ended = after(kill, seconds), after(kill, seconds + 0.5)
            add(kill, str(number), asked_at=asked, accepted_at=asked if number else None, ended_at=ended)
        asked, accepted, ended = Course(Incident(kill).orders(), kill.engaged_at, 6.0).series
        assert (asked.total, accepted.total, ended.total) == (4, 3, 4)
        assert [asked.at(seconds) for seconds in (0.05, 0.2, 0.9, 1.1, 3.9, 4.1)] == [0, 2, 2, 3, 3, 4]
        assert [ended.at(seconds) for seconds in (0.5, 0.7, 1.6, 6)] == [0, 2, 3, 4]

    def test_puts_what_was_before_the_press_at_the_press(self, kill: Kill) -> None:
        add(kill, "1", accepted_at=after(kill, -3600))
        [_, accepted, _] = Course(Incident(kill).orders(), kill.engaged_at, 5.0).series
        assert accepted.points[0] == (0.0, 1)

    def test_stays_small_with_5000_orders(self, kill: Kill) -> None:
        sweep = kill.sweeps.create(account_id=1001)
        at = [after(kill, number / 1000) for number in range(5000)]
        KilledOrder.objects.bulk_create(
            KilledOrder(sweep=sweep, order_id=str(n), asked_at=t, accepted_at=t, ended_at=t, updated_at=t)
            for n, t in enumerate(at)
        )
        course = Incident(kill).course(5.0)
        assert [series.total for series in course.series] == [5000] * 3
        assert max(len(series.points) for series in course.series) <= 241

    def test_is_drawn_by_the_server_with_the_same_in_figures(self, kill: Kill, desk_client: Client) -> None:
        add(kill, "1", asked_at=after(kill, 0.5), accepted_at=after(kill, 1), ended_at=after(kill, 1.5))
        add(kill, "2", asked_at=after(kill, 0.5), accepted_at=after(kill, 3))
        text = page_of(desk_client, kill)
        for name in ("asked", "accepted", "ended"):
            assert f'<polyline class="line {name}" points="46,164 ' in text
        assert 'role="img" aria-label="Cancels sent, cancels accepted and orders ended' in text
        rows = re.findall(r'<th scope="row">([\d.]+ s|in all)</th>((?:<td class="n">\d+</td>)+)', text)
        figures = {when: re.findall(r">(\d+)<", cells) for when, cells in rows}
        assert figures["2 s"] == ["2", "1", "1"]
        assert figures["in all"] == ["2", "2", "1"]
        assert "style=" not in text

    @pytest.mark.parametrize(
        ("seconds", "end", "labels"),
        [
            (0.3, 0.3, ["0 s", "0.1 s", "0.2 s", "0.3 s"]),
            (4.2, 5, ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s"]),
            (61, 75, ["0 s", "15 s", "30 s", "45 s", "60 s", "75 s"]),
            (400, 480, ["0 s", "2 min", "4 min", "6 min", "8 min"]),
            (20_000, 21_600, ["0 s", "60 min", "2 h", "3 h", "4 h", "5 h", "6 h"]),
        ],
    )
    def test_has_an_axis_of_round_numbers(self, seconds: float, end: float, labels: list[str]) -> None:
        axis = Axis.up_to(seconds)
        assert round(axis.end, 6) == end
        assert [time_label(round(second, 6)) for second in axis] == labels

    def test_of_a_week_still_has_few_ticks(self) -> None:
        assert len(list(Axis.up_to(7 * 86_400.0))) <= 7

    def test_stays_as_it_is_while_nothing_happens_for_a_moment(self, kill: Kill) -> None:
        add(kill, "1", asked_at=after(kill, 0.5))
        axis = Axis.up_to(52)
        drawn = [Plot(Incident(kill).course(axis.end), axis, until, 1).lines[0].points for until in (53.0, 53.3, 56.0)]
        assert drawn[0] == drawn[1] != drawn[2]


class TestLooking:
    @pytest.fixture
    def two(self, kill: Kill, desk_client: Client) -> tuple[Client, Client]:
        return desk_client, client_of("carla", COMPLIANCE)

    def test_names_the_others_to_each(self, two: tuple[Client, Client], kill: Kill) -> None:
        desk, carla = two
        assert "Also looking" not in page_of(desk, kill)
        assert "Also looking: <strong>desk</strong>" in page_of(carla, kill)
        assert "Also looking: <strong>carla</strong>" in poll(desk, kill).content.decode()

    def test_forgets_who_has_not_been_seen_for_20_seconds(self, two: tuple[Client, Client], kill: Kill) -> None:
        desk, carla = two
        poll(carla, kill)
        Looking.objects.update(seen_at=timezone.now() - timedelta(seconds=21))
        assert "Also looking" not in poll(desk, kill).content.decode()

    def test_is_written_every_ten_seconds_at_most(self, kill: Kill, desk_client: Client) -> None:
        poll(desk_client, kill)
        [first] = Looking.objects.values_list("seen_at", flat=True)
        poll(desk_client, kill)
        assert Looking.objects.get().seen_at == first
        Looking.objects.update(seen_at=first - timedelta(seconds=11))
        poll(desk_client, kill)
        assert Looking.objects.get().seen_at > first

    def test_does_not_count_a_tab_that_nobody_sees_nor_a_kill_that_is_over(
        self, kill: Kill, desk_client: Client
    ) -> None:
        poll(desk_client, kill, **{"X-Unseen": "1"})
        assert not Looking.objects.exists()
        end(kill, State.FLAT)
        page_of(desk_client, kill)
        assert not Looking.objects.exists()
        assert desk_client.get("/kills/01234567-89ab-4cde-8f01-23456789abcd/", headers=HTMX).status_code == 404
        assert not Looking.objects.exists()

    def test_deletes_what_is_old(self, kill: Kill, desk_client: Client) -> None:
        old = timezone.now() - timedelta(hours=2)
        Looking.objects.create(kill_id=make_kill().id, user_id=99, user_name="gone", seen_at=old)
        poll(desk_client, kill)
        assert [row.user_name for row in Looking.objects.all()] == ["desk"]

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="there is one write lock only on SQLite")
    @pytest.mark.django_db(transaction=True)
    def test_waits_for_nobody_who_writes_and_says_once_that_it_was_left_out(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looking, "_has_told", set())
        kill, client = make_kill(), client_of("desk", RISK_DESK)
        with caplog.at_level(logging.WARNING, "orders_ui.looking"), somebody_writes():
            started = time.monotonic()
            for _ in range(3):
                assert poll(client, kill).status_code == 200
            assert time.monotonic() - started < 5  # the usual patience is 20 s
        assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1
        assert "who looks at a kill was not noted" in caplog.text
        assert not Looking.objects.exists()
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            assert cursor.fetchone() == (20_000,)
        assert poll(client, kill).status_code == 200
        assert Looking.objects.get().user_name == "desk"


@contextmanager
def somebody_writes() -> Iterator[None]:
    """Hold SQLite's write lock."""
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


class TestWords:
    def test_an_unknown_kill_without_orders_does_not_ask_to_read_any_out(self, kill: Kill, desk_client: Client) -> None:
        kill.sweeps.create(account_id=1001, state=State.UNKNOWN, error="could not be listed")
        end(kill, State.UNKNOWN)
        meaning = page_of(desk_client, kill).split('<p class="meaning">')[1].split("</p>")[0]
        assert "read out the orders" not in meaning
        assert "ask what is open on the accounts below" in meaning
        add(kill, "1", outcome=Outcome.UNKNOWN)
        assert "read out the orders below" in page_of(desk_client, kill)

    def test_late_arrivals_of_a_kill_that_is_over_ask_for_nothing_that_is_past(
        self, kill: Kill, desk_client: Client
    ) -> None:
        add(kill, "1", is_late=True, outcome=Outcome.CANCELED)
        assert "Stop what sends them" in page_of(desk_client, kill)
        end(kill, State.FLAT)
        text = page_of(desk_client, kill)
        assert "Orders arrived after the kill began." in text
        assert "Stop what sends them" not in text
        assert "What became of them stands below." in text


def test_a_user_may_go_while_a_kill_is_looked_at(kill: Kill, desk_client: Client) -> None:
    poll(desk_client, kill)
    carla = client_of("carla", COMPLIANCE)
    User.objects.filter(username="desk").delete()
    assert "Also looking: <strong>desk</strong>" in page_of(carla, kill)


class TestTheListOfKills:
    def test_says_how_long_each_took_and_what_became_of_its_orders_the_bad_first(
        self, kill: Kill, desk_client: Client
    ) -> None:
        touch(kill, Outcome.CANCELED, Outcome.CANCELED, Outcome.STUCK)
        kill.state, kill.ended_at = State.NOT_FLAT, after(kill, 75.5)
        kill.save()
        running = make_kill(seconds=2)
        first, second = desk_client.get("/kills/").context["rows"]
        assert (first.kill, first.orders) == (running, 0)
        assert 2 <= first.seconds < 20
        assert second.outcomes == [("stuck in pending cancel", 1, True), ("canceled", 2, False)]
        text = " ".join(desk_client.get("/kills/").content.decode().split())
        assert 'data-label="Took">75.5 s</td>' in text
        assert re.search(r'data-label="So far">\d+\.\d s</td>', text)
        assert '<span class="bad">1&nbsp;stuck in pending cancel</span>, <span>2&nbsp;canceled</span>' in text
