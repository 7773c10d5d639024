"""What a page reads of the light: rows alone, and how old they are."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from killswitch.health import queries
from killswitch.health.models import Finding, Watch
from killswitch.health.verdict import Fault, Part, Verdict
from killswitch.health.writable import refuses_writes
from killswitch.snapshot import one_moment

from .light import shine


@pytest.mark.django_db
class TestLight:
    def test_is_armed_where_all_is_well(self) -> None:
        shine()
        light = queries.light()
        assert (light.verdict, light.sentence, light.do, light.break_glass) == (Verdict.ARMED, "", "", "")
        assert {standing.part for standing in light.parts} == set(Part)

    def test_takes_two_questions(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        shine()
        with django_assert_num_queries(2):
            queries.light()

    def test_says_the_worst_first_and_the_others_after(self) -> None:
        shine(Verdict.NOT_ARMED, broker=Fault.KEY_REFUSED, disk=Fault.DISK_LOW)
        light = queries.light()
        assert light.sentence == Fault.KEY_REFUSED.value.says
        assert light.others == (Fault.DISK_LOW,)
        assert light.break_glass.startswith("python manage.py kill --break-glass")

    def test_says_of_no_part_that_another_one_which_is_down_steps_in(self) -> None:
        shine(Verdict.NOT_ARMED, worker=Fault.WORKER_GONE, watchdog=Fault.WATCHDOG_GONE, disk=Fault.DISK_LOW)
        come_to = {each.part: each.comes_to for each in queries.light().parts if each.fault}
        assert come_to == {
            Part.WORKER: Fault.NOBODY,
            Part.WATCHDOG: Fault.NOBODY,
            Part.DISK: Fault.DISK_LOW,
        }

    def test_is_not_known_once_the_last_look_is_old(self) -> None:
        shine(seconds_ago=14)
        assert queries.light().verdict == Verdict.ARMED
        shine(seconds_ago=19)
        light = queries.light()
        assert (light.verdict, light.faults) == (Verdict.NOT_KNOWN, [Fault.NOBODY_LOOKS])

    def test_is_not_known_where_the_last_look_lies_ahead(self) -> None:
        """The database's clock was set back, and nobody looks any more."""
        shine(seconds_ago=-4)
        assert queries.light().verdict == Verdict.ARMED
        shine(seconds_ago=-3600)
        light = queries.light()
        assert (light.verdict, light.faults) == (Verdict.NOT_KNOWN, [Fault.NOBODY_LOOKS])

    def test_is_not_known_where_a_vital_part_was_looked_at_ahead(self) -> None:
        shine()
        Finding.objects.filter(part=Part.WORKER).update(checked_at=timezone.now() + timedelta(hours=1))
        assert queries.light().verdict == Verdict.NOT_KNOWN

    def test_is_not_armed_where_nobody_looks_and_the_database_takes_nothing_in(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "refuses_writes", lambda: True)
        shine(seconds_ago=60)
        light = queries.light()
        assert (light.verdict, light.faults) == (Verdict.NOT_ARMED, [Fault.DATABASE_GONE])

    def test_is_not_known_where_a_vital_part_was_not_looked_at_for_long(self) -> None:
        shine()
        Finding.objects.filter(part=Part.WORKER).update(checked_at=timezone.now() - timedelta(minutes=5))
        assert queries.light().verdict == Verdict.NOT_KNOWN
        Finding.objects.filter(part=Part.WORKER).delete()
        assert queries.light().verdict == Verdict.NOT_KNOWN

    def test_stays_as_bad_as_it_was_until_better_has_held(self) -> None:
        shine(Verdict.NOT_ARMED)
        Watch.objects.update(better_since=timezone.now())
        light = queries.light()
        assert (light.verdict, light.faults) == (Verdict.NOT_ARMED, ())
        assert "once that has held" in light.sentence

    def test_is_not_armed_where_the_lookout_asks_another_broker(self, settings: Any) -> None:
        shine(disk=Fault.DISK_LOW)
        settings.CLEAR_STREET_BASE_URL = "https://elsewhere.example.com"
        light = queries.light()
        assert (light.verdict, light.faults) == (Verdict.NOT_ARMED, (Fault.LOOKOUT_ELSEWHERE, Fault.DISK_LOW))
        assert (
            light.parts[-1].says == "host-a asks http://127.0.0.1:9; this page is set to https://elsewhere.example.com"
        )
        assert (light.parts[-1].word, light.break_glass[:6]) == ("down", "python")

    def test_says_first_that_nobody_looks_at_any_broker(self, settings: Any) -> None:
        shine(seconds_ago=60)
        settings.CLEAR_STREET_BASE_URL = "https://elsewhere.example.com"
        assert queries.light().faults == [Fault.NOBODY_LOOKS]

    @pytest.mark.parametrize("address", ["HTTP://127.0.0.1:9/", "http://me:x@127.0.0.1:9/"])
    def test_knows_one_broker_however_it_is_written(self, address: str, settings: Any) -> None:
        shine()
        settings.CLEAR_STREET_BASE_URL = address
        assert queries.light().verdict == Verdict.ARMED

    def test_goes_by_the_databases_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A web machine whose clock is an hour off shows the same ages."""
        shine(seconds_ago=3)
        an_hour_on = timezone.now() + timedelta(hours=1)
        monkeypatch.setattr("killswitch.health.queries.timezone.now", lambda: an_hour_on)
        light = queries.light()
        assert light.verdict == Verdict.ARMED
        assert light.checked_at is not None
        assert 2 < (an_hour_on - light.checked_at).total_seconds() < 10


@pytest.mark.django_db(transaction=True)
class TestRefusesWrites:
    def test_not_where_it_takes_them(self) -> None:
        assert not refuses_writes()
        shine()  # and it still does

    def test_where_it_is_read_only(self) -> None:
        only_reads, all_again = {
            "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
            "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
        }[connection.vendor]
        with connection.cursor() as cursor:
            cursor.execute(only_reads)
            try:
                assert refuses_writes()
            finally:
                cursor.execute(all_again)
        assert not refuses_writes()

    def test_not_within_a_page_that_only_reads(self) -> None:
        shine(seconds_ago=60)
        with one_moment():
            assert not refuses_writes()
            assert queries.light().verdict == Verdict.NOT_KNOWN

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="a lock of SQLite")
    def test_not_where_somebody_else_writes_just_now(self) -> None:
        other: Any = connection.copy()
        try:
            with other.cursor() as cursor:
                cursor.execute("BEGIN IMMEDIATE")
                assert not refuses_writes()
                cursor.execute("ROLLBACK")
        finally:
            other.close()
