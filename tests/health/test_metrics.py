"""What Prometheus reads: to whom it is told, that its parser takes it, and that the figures are the right ones."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.audit.queries import first_answer
from killswitch.health import counted, heartbeats
from killswitch.health.counted import Counted, Histogram
from killswitch.health.models import Heartbeat
from killswitch.kills.decision import read_decision
from killswitch.kills.models import Kill, KilledOrder, Outcome, State, Sweep
from killswitch.kills.operations import engage
from killswitch.simulator.process import SimulatorProcess
from killswitch.telling.models import Delivery
from tests.conftest import wait_for

TOKEN = "a-token-of-twenty-and-more"
FIRST = 19816
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _token(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.METRICS_TOKEN = TOKEN
    monkeypatch.setattr(counted, "_counted", Counted())


def scrape() -> dict[str, float]:
    """Return every sample, by its name and labels as they are written."""
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    families = list(text_string_to_metric_families(answer.content.decode()))
    assert all(family.documentation and family.type != "unknown" for family in families)
    samples = [sample for family in families for sample in family.samples]
    found = {sample.name + _labels(sample.labels): sample.value for sample in samples}
    assert len(found) == len(samples), "a series is told twice"
    return found


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f"{name}={value}" for name, value in sorted(labels.items())) + "}" if labels else ""


def ended(outcome: str, **data: Any) -> Draft:
    return Draft(kind=Kind.KILL_ENDED, at=timezone.now(), sentence="ended", outcome=outcome, data=data)


def made(**fields: Any) -> Kill:
    fields = {"engaged_at": timezone.now(), "engaged_by_name": "desk", "scope": "all orders", **fields}
    return Kill.objects.create(idempotency_key=uuid.uuid4(), **fields)


def news(at: datetime, kind: Kind = Kind.LIGHT_CHANGED) -> Draft:
    return Draft(kind=kind, at=at, sentence="it happened")


def place(name: str, **values: Any) -> Delivery:
    return Delivery.objects.create(**{"key": name, "name": name, "followed": 0, "seen_at": timezone.now(), **values})


class TestWhoMayRead:
    def test_there_is_no_such_page_without_a_token_in_the_settings(self, settings: Any) -> None:
        settings.METRICS_TOKEN = ""
        for told in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}"}):
            assert Client().get("/metrics", headers=told).status_code == 404

    @pytest.mark.parametrize("told", ["", TOKEN, f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer "])
    def test_nobody_reads_without_the_token(self, told: str) -> None:
        answer = Client().get("/metrics", headers={"Authorization": told})
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
        assert b"killswitch_" not in answer.content


class TestFigures:
    def test_are_there_where_nothing_has_ever_happened(self) -> None:
        found = scrape()
        assert found["killswitch_armed"] == 0
        assert found["killswitch_light{verdict=not_known}"] == 1
        assert found["killswitch_kills_running"] == 0
        assert found["killswitch_press_to_flat_seconds_count"] == 0
        assert "killswitch_audit_verified_age_seconds" not in found

    def test_tell_what_runs_waits_and_is_left(self) -> None:
        ago = timezone.now() - timedelta(seconds=30)
        made(latched=True, state=State.LATCHED)
        running = made(engaged_at=ago, committed_at=ago)
        taken = Sweep.objects.create(kill=running, account_id=1, lease_until=timezone.now(), claimed_at=ago)
        Sweep.objects.create(kill=running, account_id=2)
        for number, outcome in enumerate([Outcome.STUCK, Outcome.STUCK, Outcome.CANCELED]):
            KilledOrder.objects.create(sweep=taken, order_id=str(number), outcome=outcome, updated_at=ago)
        found = scrape()
        assert found["killswitch_kills_running"] == found["killswitch_kills_latched"] == 1
        assert found["killswitch_sweeps_waiting"] == 1
        assert 30 <= found["killswitch_oldest_running_kill_seconds"] < 60
        assert 30 <= found["killswitch_queue_age_seconds"] < 60
        assert found["killswitch_orders_not_gone{outcome=stuck}"] == 2
        assert found["killswitch_orders_not_gone{outcome=unknown}"] == 0

    def test_tell_of_whom_was_heard(self) -> None:
        heartbeats.note("worker", "host1", sent_at=timezone.now() - timedelta(seconds=3))
        heartbeats.note("watchdog", "host2")
        Heartbeat.objects.filter(where="host2").update(seen_at=timezone.now() - timedelta(hours=1), trouble="no answer")
        found = scrape()
        assert found["killswitch_heartbeat_age_seconds{where=host1,who=worker}"] < 5
        assert 3590 < found["killswitch_heartbeat_age_seconds{where=host2,who=watchdog}"] < 3700
        assert found["killswitch_reaches_broker{where=host2,who=watchdog}"] == 0
        assert 3 <= found["killswitch_queue_trip_seconds"] < 6

    def test_tell_of_each_place_what_it_took_what_failed_and_since_when_it_waits(self) -> None:
        now = timezone.now()
        append([news(now - timedelta(minutes=9)), news(now - timedelta(minutes=2)), news(now, Kind.DENIED)])
        place("mail 1", followed=2, told_count=7)
        place("chat 1", followed=1, failed_count=3, failing_since=now - timedelta(minutes=1))
        place("chat 2", followed=0, failing_since=now - timedelta(hours=1))
        place("chat 3", seen_at=now - timedelta(hours=1))
        found = scrape()
        assert found["killswitch_messages_told_total{place=mail 1}"] == 7
        assert found["killswitch_messages_told_total{place=chat 1}"] == 0
        assert found["killswitch_messages_failed_total{place=chat 1}"] == 3
        waits = [
            found[f"killswitch_message_waiting_seconds{{place={name}}}"] for name in ("mail 1", "chat 1", "chat 2")
        ]
        assert waits == [0, pytest.approx(120, abs=20), pytest.approx(540, abs=20)]
        late = [found[f"killswitch_message_place_late{{place={name}}}"] for name in ("mail 1", "chat 1", "chat 2")]
        assert late == [0, 0, 1]
        assert found["killswitch_teller_age_seconds"] < 20
        assert not [name for name in found if "chat 3" in name], "nobody is to be told there any more"

    def test_tell_once_of_a_place_whose_name_another_had_a_moment_ago(self) -> None:
        now = timezone.now()
        place("mail 1", told_count=7)
        place("mail 1", key="another", told_count=9, seen_at=now - timedelta(seconds=20))
        assert scrape()["killswitch_messages_told_total{place=mail 1}"] == 7

    def test_say_nothing_of_a_teller_where_nobody_is_to_be_told(self) -> None:
        assert not [name for name in scrape() if "teller" in name or "message" in name]

    def test_count_break_glass_kills_when_their_journal_is_imported(self) -> None:
        assert scrape()["killswitch_break_glass_imported_total"] == 0
        append([Draft(kind=Kind.JOURNAL_IMPORTED, at=timezone.now(), sentence="a journal was taken in")])
        assert scrape()["killswitch_break_glass_imported_total"] == 1

    def test_count_what_has_ended_once_and_only_rise(self) -> None:
        append([ended("flat", first_delete_seconds=0.04, flat_seconds=1.0), ended("not_flat", dry_run=True)])
        before = scrape()
        assert before["killswitch_kills_ended_total{dry_run=false,outcome=flat}"] == 1
        assert before["killswitch_kills_ended_total{dry_run=true,outcome=not_flat}"] == 1
        assert before["killswitch_kills_ended_total{dry_run=false,outcome=unknown}"] == 0
        append([ended("flat", first_delete_seconds=3.0, flat_seconds=7.0)])
        append([Draft(kind=Kind.LOGIN_FAILED, at=timezone.now(), sentence="refused")])
        after = scrape()
        assert after["killswitch_logins_refused_total"] == 1
        assert after["killswitch_press_to_first_delete_seconds_bucket{le=0.025}"] == 0
        assert after["killswitch_press_to_first_delete_seconds_bucket{le=0.05}"] == 1
        assert after["killswitch_press_to_first_delete_seconds_bucket{le=5.0}"] == 2
        assert after["killswitch_press_to_first_delete_seconds_sum"] == pytest.approx(3.04)
        assert after["killswitch_press_to_flat_seconds_bucket{le=1.0}"] == 1
        assert after["killswitch_press_to_flat_seconds_bucket{le=+Inf}"] == 2
        rising = [name for name in before if "_total" in name or "_bucket" in name or name.endswith("_count")]
        assert all(before[name] <= after[name] for name in rising)

    def test_are_the_same_of_a_process_that_has_just_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for seconds in (0.5, 1.5):
            append([ended("flat", flat_seconds=seconds)])
            scrape()
        before = scrape()
        monkeypatch.setattr(counted, "_counted", Counted())
        after = scrape()
        assert {name: before[name] for name in before if "age" not in name} == {
            name: after[name] for name in after if "age" not in name
        }

    def test_are_counted_anew_where_the_trail_is_another_one(self) -> None:
        append([ended("flat")])
        scrape()
        counted._counted.hash = "of a trail that is gone"
        counted._counted.ended["flat", False] = 99
        assert scrape()["killswitch_kills_ended_total{dry_run=false,outcome=flat}"] == 1


class TestCost:
    def test_is_a_bounded_number_of_questions_however_much_there_is(self) -> None:
        with CaptureQueriesContext(connection) as few:
            scrape()
        for _ in range(30):
            kill = made()
            Sweep.objects.bulk_create(Sweep(kill=kill, account_id=number) for number in range(20))
            append([ended("flat", flat_seconds=1.0), Draft(kind=Kind.DENIED, at=timezone.now(), sentence="no")])
        with CaptureQueriesContext(connection) as many:
            scrape()
        assert len(many) <= len(few) + 10
        assert len(many) < 45

    def test_reads_no_entry_twice(self) -> None:
        append([ended("flat") for _ in range(10)])
        scrape()
        with CaptureQueriesContext(connection) as asked:
            scrape()
        counting = [query["sql"] for query in asked if Kind.KILL_ENDED in query["sql"]]
        assert counting == []

    def test_the_end_of_a_kill_looks_for_its_first_answer_among_its_own_entries_only(self) -> None:
        answers = [
            Draft(kind=Kind.ATTEMPT_ANSWERED, at=timezone.now(), sentence="answered", kill_id=uuid.UUID(int=number))
            for number in range(200)
        ]
        append(answers)
        with CaptureQueriesContext(connection) as asked:
            answer = first_answer(uuid.UUID(int=150))
        assert answer is not None
        assert answer.id == Entry.objects.get(kill_id=uuid.UUID(int=150)).id
        [query] = asked.captured_queries
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL enable_seqscan = off")  # there are only a few rows here
            explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
            cursor.execute(f"{explain} {query['sql']}")
            plan = str(cursor.fetchall())
        assert "audit_kill" in plan
        assert "audit_kind" not in plan

    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="how SQLite explains itself")
    def test_walks_along_indexes_in_the_large_tables(self) -> None:
        append([ended("flat")])
        with CaptureQueriesContext(connection) as asked:
            scrape()
        large = ("audit_entry", "kills_sweep", "kills_killedorder")
        plans = [
            line[3]
            for query in asked
            if query["sql"].startswith("SELECT") and any(table in query["sql"] for table in large)
            # The last entry: SQLite calls it a scan, and it ends with its first row.
            if "WHERE" in query["sql"] or not query["sql"].endswith("LIMIT 1")
            for line in connection.cursor().execute(f"EXPLAIN QUERY PLAN {query['sql']}").fetchall()
        ]
        assert plans
        assert [plan for plan in plans if plan.startswith("SCAN") and any(table in plan for table in large)] == []


class TestHistogram:
    def test_counts_a_value_up_to_its_bound_and_in_all_beyond(self) -> None:
        histogram = Histogram((1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 9.0):
            histogram.add(value)
        assert histogram.buckets == [("1.0", 2), ("2.0", 3), ("+Inf", 4)]
        assert histogram.total == 12


@pytest.mark.django_db(transaction=True)
def test_a_kill_through_a_real_worker_is_timed(
    make_simulator: Callable[..., SimulatorProcess], request: pytest.FixtureRequest
) -> None:
    make_simulator("--accounts", "3", "--orders", "4", "--cancel-ms", "60")
    request.getfixturevalue("worker")
    kill = engage(
        decision=read_decision({"all_accounts": ["on"], "idempotency_key": [str(uuid.uuid4())]}),
        known_account_ids=range(FIRST, FIRST + 3),
        actor=Actor(id=1, name="desk", source="test"),
        now=timezone.now(),
    )
    wait_for(lambda: Kill.objects.get(id=kill.id).is_over, "the kill to end")
    data = Entry.objects.get(kind=Kind.KILL_ENDED).data
    first_delete, flat = float(data["first_delete_seconds"]), float(data["flat_seconds"])
    assert 0 < first_delete < flat <= float(data["seconds"]) + 0.001
    found = scrape()
    assert found["killswitch_kills_engaged_total"] == 1
    assert found["killswitch_press_to_first_delete_seconds_sum"] == first_delete
    assert found["killswitch_press_to_flat_seconds_sum"] == flat
