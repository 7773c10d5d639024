"""Drills beside real kills, and the reminder of the next one."""

import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from killswitch.access.roles import COMPLIANCE
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor
from killswitch.kills.drills import Quarter, Reminder, quarters, reminder, rows, schedule, tally, years
from killswitch.kills.models import DrillPlan, Kill, State, Sweep

from .conftest import client_of

NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
ANN = Actor(id=7, name="ann", source="web 10.0.0.1")
pytestmark = pytest.mark.django_db


def kill_at(at: datetime, *, seconds: float | None = 3, accounts: int = 2, **values: Any) -> Kill:
    """Make a kill as it stands when it is over; without `seconds` it goes on."""
    ended_at = None if seconds is None else at + timedelta(seconds=seconds)
    is_dry = values.get("dry_run", False)
    state = values.setdefault("state", State.RUNNING if seconds is None else State.FLAT)
    kill = Kill.objects.create(
        **{
            "idempotency_key": uuid.uuid4(),
            "engaged_at": at,
            "engaged_by_name": "ann",
            "scope": "all orders",
            "ended_at": ended_at,
            **values,
        }
    )
    for number in range(accounts):
        Sweep.objects.create(
            kill=kill,
            account_id=1001 + number,
            state=state,
            first_attempt_at=None if is_dry else at + timedelta(milliseconds=12 + number),
            flat_at=at + timedelta(seconds=1 + number) if state == State.FLAT and not is_dry else None,
            ended_at=ended_at,
            open_orders=5 if is_dry else 0,
        )
    return kill


def drill_at(at: datetime, **values: Any) -> Kill:
    return kill_at(at, **{"dry_run": True, "state": State.NOT_FLAT, **values})


def text_of(page: Any) -> str:
    """Return what a reader sees of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.content.decode()))


class TestQuarter:
    @pytest.mark.parametrize(
        ("at", "name"),
        [
            (datetime(2026, 1, 1, tzinfo=UTC), "2026-Q1"),
            (datetime(2026, 3, 31, 23, 59, 59, 999999, tzinfo=UTC), "2026-Q1"),
            (datetime(2026, 4, 1, tzinfo=UTC), "2026-Q2"),
            (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "2026-Q4"),
            (datetime.fromisoformat("2027-01-01T00:30:00+01:00"), "2026-Q4"),
        ],
    )
    def test_is_one_of_utc(self, at: datetime, name: str) -> None:
        quarter = Quarter.of(at)
        assert quarter.name == name
        assert quarter.begins <= at < quarter.ends

    def test_takes_what_lies_between_its_ends(self) -> None:
        quarter = Quarter(2026, 3)
        inside = [drill_at(quarter.begins), drill_at(quarter.ends - timedelta(microseconds=1))]
        for at in (quarter.begins - timedelta(microseconds=1), quarter.ends):
            drill_at(at)
        assert {row.kill.id for row in rows(quarter, size=10)[0]} == {kill.id for kill in inside}
        assert tally(quarter).drills == 2

    def test_is_listed_from_the_first_thing_known_on(self) -> None:
        drill_at(datetime(2025, 8, 1, tzinfo=UTC))
        assert years(NOW) == [2026, 2025]
        assert [quarter.name for quarter in quarters(2025, NOW)] == ["2025-Q4", "2025-Q3"]
        assert [quarter.name for quarter in quarters(2026, NOW)] == ["2026-Q4", "2026-Q3", "2026-Q2", "2026-Q1"]
        assert list(quarters(2027, NOW)) == []


class TestRows:
    def test_have_the_times_of_a_real_kill(self) -> None:
        kill_at(NOW, seconds=9)
        [row], _ = rows(Quarter.of(NOW), size=10)
        assert (row.accounts, row.first_delete_ms, row.seconds) == (2, 12.0, 9.0)

    def test_say_of_each_kill_the_same_time_as_the_list_of_kills(self, desk_client: Client) -> None:
        kill_at(timezone.now() - timedelta(seconds=60), seconds=8.9)
        for page in ("/drills/", "/kills/"):
            assert 'data-label="Took">8.9 s<' in desk_client.get(page).content.decode()

    @pytest.mark.parametrize("state", [State.NOT_FLAT, State.UNKNOWN])
    def test_of_a_kill_that_is_not_flat_have_its_end(self, state: State) -> None:
        kill = kill_at(NOW, seconds=9, state=state)
        # One of its accounts was flat.
        kill.sweeps.filter(account_id=1001).update(state=State.FLAT, flat_at=NOW + timedelta(seconds=1))
        [row], _ = rows(Quarter.of(NOW), size=10)
        assert row.seconds == 9

    def test_of_a_dry_run_have_no_delete_and_no_flat(self) -> None:
        drill_at(NOW, state=State.FLAT)
        [row], _ = rows(Quarter.of(NOW), size=10)
        assert (row.first_delete_at, row.seconds, row.open_orders) == (None, 3.0, 10)

    def test_of_a_kill_that_goes_on_have_no_end(self) -> None:
        kill_at(NOW, seconds=None)
        [row], _ = rows(Quarter.of(NOW), size=10)
        assert row.seconds is None

    def test_are_read_page_by_page_though_many_have_the_same_time(self) -> None:
        made = {kill_at(NOW, accounts=0).id for _ in range(7)} | {drill_at(NOW - timedelta(hours=1), accounts=0).id}
        read: list[uuid.UUID] = []
        has_more = True
        while has_more:
            page, has_more = rows(Quarter.of(NOW), size=3, before=read[-1] if read else None)
            read += [row.kill.id for row in page]
        assert len(read) == 8
        assert set(read) == made

    def test_after_a_kill_that_is_not_there_are_none(self) -> None:
        kill_at(NOW)
        assert rows(Quarter.of(NOW), size=3, before=uuid.uuid4()) == ([], False)


class TestPage:
    def test_shows_drills_and_kills_side_by_side(self, desk_client: Client) -> None:
        now = timezone.now()
        real = kill_at(now - timedelta(seconds=60), scope="all SELL orders of account 7", engaged_by_name="bob")
        drill = drill_at(now - timedelta(seconds=30), scope="all orders of all accounts")
        page = desk_client.get("/drills/")
        text = text_of(page)
        assert "1 drill, 1 real kill." in text
        for words in ("drill", "real kill", "bob", "all SELL orders of account 7", "12 ms", "3.0 s", "came through"):
            assert words in text
        assert "10 orders would have been canceled" in text
        content = page.content.decode()
        assert content.index(f"/kills/{drill.id}/") < content.index(f"/kills/{real.id}/"), "newest first"

    def test_says_which_quarter_had_no_drill(self, desk_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        kill_at(datetime(2025, 5, 1, tzinfo=UTC))
        drill_at(datetime(2025, 8, 1, tzinfo=UTC))
        text = text_of(desk_client.get("/drills/?year=2025"))
        assert "2025-Q2 April to June 2025 No drill in this quarter. 1 real kill." in text
        assert "2025-Q3 July to September 2025 1 drill, no real kill." in text
        assert "2025-Q4 October to December 2025 No drill in this quarter. No real kill." in text
        assert "2025-Q1" not in text, "before the record began"

    def test_of_an_empty_record_says_that_there_is_no_drill_yet(self, desk_client: Client) -> None:
        text = text_of(desk_client.get("/drills/"))
        assert "so far No drill in this quarter yet. No real kill." in text
        assert "No drill yet. No reminder is set." in text

    def test_counts_a_dry_run_that_was_inconclusive_apart(self, desk_client: Client) -> None:
        drill_at(timezone.now() - timedelta(hours=1), state=State.UNKNOWN)
        text = text_of(desk_client.get("/drills/"))
        assert "1 drill (1 did not come through), no real kill." in text
        assert "No drill yet" in text, "it puts the next one off by nothing"

    def test_leads_to_the_rest_of_a_quarter(self, desk_client: Client) -> None:
        Kill.objects.bulk_create(
            Kill(
                idempotency_key=uuid.uuid4(),
                engaged_at=NOW - timedelta(minutes=n),
                scope="x",
                ended_at=NOW,
                state="flat",
            )
            for n in range(251)
        )
        page = desk_client.get("/drills/?year=2026")
        assert "50 of 251 are shown" in text_of(page)
        first = desk_client.get("/drills/?quarter=2026-Q4")
        assert first.content.decode().count('<th scope="row">') == 200
        older = re.search(r'href="(\?quarter=2026-Q4&amp;before=[^"]+)"', first.content.decode())
        assert older is not None
        second = desk_client.get("/drills/" + older[1].replace("&amp;", "&"))
        assert second.content.decode().count('<th scope="row">') == 51
        assert "Older" not in second.content.decode()

    @pytest.mark.parametrize(
        "query", ["year=x", "year=0", "quarter=2026-Q5", "quarter=0000-Q1", "before=1", "yaer=2026"]
    )
    def test_shows_nothing_where_it_is_not_understood(self, query: str, desk_client: Client) -> None:
        response = desk_client.get(f"/drills/?{query}")
        assert response.status_code == 400
        assert "Nothing is shown." in text_of(response)
        assert 'class="quarter"' not in response.content.decode()

    def test_of_a_year_without_a_record_says_so(self, desk_client: Client) -> None:
        assert "There is no record of 1999" in text_of(desk_client.get("/drills/?year=1999"))

    def test_stays_quick_with_ten_thousand_kills(self, desk_client: Client) -> None:
        made = [
            Kill(
                idempotency_key=uuid.uuid4(),
                engaged_at=datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=50 * n),
                scope="x",
                dry_run=n % 10 == 0,
                state=State.FLAT,
                ended_at=datetime(2026, 1, 1, tzinfo=UTC),
            )
            for n in range(10_000)
        ]
        Kill.objects.bulk_create(made, batch_size=500)
        Sweep.objects.bulk_create((Sweep(kill=kill, account_id=n) for kill in made for n in range(3)), batch_size=500)
        with CaptureQueriesContext(connection) as queries:
            started = time.perf_counter()
            page = desk_client.get("/drills/?year=2025")
            took = time.perf_counter() - started
        assert page.content.decode().count('<th scope="row">') == 200
        assert len(queries) < 30
        assert took < 1.5, "a twentieth of it on a machine that does nothing else"


class TestReminder:
    def at(self, now: datetime) -> Reminder:
        return reminder(now)

    def test_is_calm_until_it_is_due(self) -> None:
        drill_at(NOW - timedelta(days=12, hours=3))
        schedule(90, actor=ANN, now=NOW - timedelta(days=200))
        due = self.at(NOW)
        assert (due.days_since, due.days_left, due.is_overdue) == (12, 78, False)

    @pytest.mark.parametrize(("days", "is_overdue"), [(89.999, False), (90, True), (97, True)])
    def test_is_overdue_from_the_very_moment_on(self, days: float, is_overdue: bool) -> None:
        drill_at(NOW - timedelta(days=days))
        schedule(90, actor=ANN, now=NOW)
        assert self.at(NOW).is_overdue is is_overdue

    def test_counts_only_drills_that_came_through(self) -> None:
        good = drill_at(NOW - timedelta(days=97))
        drill_at(NOW - timedelta(days=3), state=State.UNKNOWN)
        drill_at(NOW - timedelta(days=2), seconds=None, state=State.RUNNING)
        kill_at(NOW - timedelta(days=1))
        assert self.at(NOW).last == good

    def test_counts_from_the_first_setting_where_there_never_was_a_drill(self) -> None:
        schedule(30, actor=ANN, now=NOW - timedelta(days=31))
        assert self.at(NOW).is_overdue
        schedule(90, actor=ANN, now=NOW)
        assert (self.at(NOW).is_overdue, self.at(NOW).days_left) == (False, 59), "setting it anew puts nothing off"

    def test_is_none_where_nothing_is_set(self) -> None:
        drill_at(NOW - timedelta(days=400))
        assert (self.at(NOW).is_overdue, self.at(NOW).days_left) == (False, None)


class TestSchedule:
    def test_is_an_entry_each_time_that_it_changes(self) -> None:
        assert schedule(90, actor=ANN, now=NOW)
        assert not schedule(90, actor=ANN, now=NOW)
        assert schedule(30, actor=ANN, now=NOW)
        assert schedule(None, actor=ANN, now=NOW)
        told = Entry.objects.filter(kind=Kind.DRILL_SCHEDULED).order_by("id")
        assert [entry.sentence for entry in told] == [
            "ann scheduled drills: a drill is due every 90 days (before: not scheduled)",
            "ann scheduled drills: a drill is due every 30 days (before: every 90 days)",
            "ann scheduled drills: no drill is due any more (before: every 30 days)",
        ]
        assert told[1].data == {"every_days": 30, "every_days_before": 90}
        assert (told[0].actor_id, told[0].source) == (7, "web 10.0.0.1")

    def test_is_set_on_the_page_by_the_risk_desk(self, desk_client: Client) -> None:
        response = desk_client.post("/drills/", {"every_days": "90"})
        assert (response.status_code, response["Location"]) == (303, "/drills/")
        assert DrillPlan.objects.get().every_days == 90
        text = text_of(desk_client.get("/drills/"))
        assert "No drill yet, due every 90 days: the first is due in 90 days." in text
        assert "Set by desk at" in text
        desk_client.post("/drills/", {"every_days": ""})
        assert DrillPlan.objects.get().every_days is None

    @pytest.mark.parametrize("value", ["0", "-1", "367", "soon", "1.5", "9" * 30])
    def test_is_not_changed_by_what_is_no_number_of_days(self, value: str, desk_client: Client) -> None:
        schedule(90, actor=ANN, now=NOW)
        response = desk_client.post("/drills/", {"every_days": value})
        assert response.status_code == 400
        assert "NOT CHANGED." in text_of(response)
        assert DrillPlan.objects.get().every_days == 90

    @pytest.mark.parametrize("who", [COMPLIANCE, "administrator", "no role"])
    def test_is_for_the_risk_desk_alone(self, who: str, clients: Callable[[str], Client]) -> None:
        client = clients(who)
        assert client.post("/drills/", {"every_days": "1"}).status_code == 403
        assert not DrillPlan.objects.exists()
        entry = Entry.objects.get(kind=Kind.DENIED)
        assert entry.sentence.endswith(" may not schedule drills")
        assert entry.data["fields"] == {"every_days": ["1"]}
        assert b'name="every_days"' not in client.get("/drills/").content


class TestDesk:
    def test_says_that_a_drill_is_overdue_and_leads_to_one(self, desk_client: Client) -> None:
        drill_at(timezone.now() - timedelta(days=97, hours=1))
        schedule(90, actor=ANN, now=NOW)
        page = desk_client.get("/")
        assert "Last drill 97 days ago, due every 90 days: overdue." in text_of(page)
        assert 'class="note drill warn"' in page.content.decode()
        link = re.search(r'id="start-drill" href="([^"]+)"', page.content.decode())
        assert link is not None
        confirm = desk_client.get(link[1].replace("&amp;", "&"))
        assert confirm.status_code == 200
        content = confirm.content.decode()
        assert "<title>Confirm a dry run" in content
        assert 'name="dry_run" checked' in content
        assert 'name="latched" checked' not in content
        assert 'value="Drill"' in content
        assert 'name="all_accounts" value="on"' in content

    def test_is_calm_where_none_is_due(self, desk_client: Client) -> None:
        drill_at(timezone.now() - timedelta(days=1, hours=1))
        schedule(90, actor=ANN, now=NOW)
        page = desk_client.get("/")
        assert "Last drill 1 day ago, due every 90 days: the next is due in 89 days." in text_of(page)
        assert 'class="note drill"' in page.content.decode()

    def test_says_that_there_never_was_one(self, desk_client: Client) -> None:
        assert "No drill yet. No reminder is set." in text_of(desk_client.get("/"))

    def test_shows_no_way_to_a_drill_to_those_who_may_not_kill(self, db: None) -> None:
        client = client_of("reader", COMPLIANCE)
        assert b'id="start-drill"' not in client.get("/").content
        assert b"No drill yet" in client.get("/").content

    def test_keeps_it_up_to_date_by_its_poll(self, desk_client: Client) -> None:
        drill_at(timezone.now())
        assert "Last drill today." in text_of(desk_client.get("/", headers={"HX-Request": "true"}))
