"""Every message gets to every place, in order and once; old news is summed up; a place that fails is told of."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Outcome, State
from killswitch.telling import deliveries, news
from killswitch.telling.deliveries import LEASE, Carrier, see, tell
from killswitch.telling.models import Delivery
from killswitch.telling.places import Message, Refused
from killswitch.telling.queries import waiting_since
from killswitch.telling.teller import LONGEST_PAUSE, Pace

from .conftest import Ear, end, engage, touch, write

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("production")]
LONG_AGO = timedelta(hours=3)


@pytest.fixture
def listening(ear: Ear) -> Ear:
    write(Kind.DENIED)
    see([ear], timezone.now())
    return ear


def all_of(ear: Ear) -> list[bool | None]:
    """Deliver as a teller that was started just now, until there is nothing to do."""
    carrier, results = Carrier(ear), []
    while True:
        results.append(carrier.deliver())
        if not results[-1]:
            return results


def row_of(ear: Ear) -> Delivery:
    return Delivery.objects.get(key=ear.key)


def words(ear: Ear) -> list[str]:
    return [subject.partition(" ")[0].rstrip(":,") for subject in ear.subjects]


class TestWhatIsNews:
    def test_a_kill_from_its_press_to_its_end(self, listening: Ear) -> None:
        kill = engage()
        for kind in (Kind.ATTEMPT_ANNOUNCED, Kind.ATTEMPT_ANSWERED, Kind.ORDER_ACCEPTED, Kind.SWEEP_ENDED):
            write(kind, kill)
        for outcome in (Outcome.CANCELED, Outcome.STUCK, Outcome.STUCK):
            touch(kill, outcome)
            write(Kind.ORDER_ENDED, kill, outcome=outcome)
        end(kill, State.NOT_FLAT)
        assert all_of(listening) == [True, True, True, None]
        assert words(listening) == ["KILL", "STUCK", "NOT"]

    def test_a_latched_one_with_its_first_late_arrival_and_when_all_of_it_is_quiet(self, listening: Ear) -> None:
        kill = engage(latched=True)
        for _ in range(3):
            write(Kind.ORDER_ARRIVED, kill, account_id=19816)
        for account_id in (19816, 19816, 19817, 19816):
            write(Kind.SWEEP_HOLDS, kill, account_id=account_id)
        write(Kind.KILL_RELEASED, kill)
        end(kill, State.FLAT)
        all_of(listening)
        assert words(listening) == ["LATCHED", "STILL", "QUIET", "RELEASED", "FLAT"]

    def test_what_is_found_together_is_told_one_after_the_other_whoever_goes_on(self, listening: Ear) -> None:
        kill = engage(latched=True)
        write(Kind.ORDER_ARRIVED, kill, account_id=19816)
        carrier = Carrier(listening)
        assert carrier.deliver() is True
        write(Kind.ORDER_ARRIVED, kill, account_id=19816)
        listening.refuses = Refused("not now")
        assert carrier.deliver() is False
        listening.refuses = None
        assert [carrier.deliver(), carrier.deliver()] == [True, None]
        assert all_of(listening) == [None]
        assert words(listening) == ["LATCHED", "STILL"]

    def test_is_counted_on_the_row_of_its_place_and_so_is_every_try_that_failed(self, listening: Ear) -> None:
        end(engage(), State.FLAT)
        listening.refuses = Refused("not now")
        assert [all_of(listening), all_of(listening)] == [[False], [False]]
        listening.refuses = None
        assert all_of(listening) == [True, True, None]
        row = row_of(listening)
        assert (row.told_count, row.failed_count) == (2, 2)

    def test_late_arrivals_of_a_kill_that_is_not_latched_are_none(self, listening: Ear) -> None:
        write(Kind.ORDER_ARRIVED, engage(), account_id=19816)
        all_of(listening)
        assert words(listening) == ["KILL"]

    def test_of_a_drill_only_its_end(self, listening: Ear) -> None:
        end(engage(dry_run=True), State.FLAT)
        # What the product writes of a drill's press.
        assert Entry.objects.get(kind=Kind.KILL_ENGAGED).data == {"dry_run": True}
        all_of(listening)
        assert [subject[:13] for subject in listening.subjects] == ["DRY RUN ended"]

    def test_the_light_the_trail_the_places_and_a_test(self, listening: Ear) -> None:
        kinds = (Kind.LIGHT_CHANGED, Kind.TRAIL_BROKEN, Kind.MESSAGE_UNDELIVERED, Kind.MESSAGE_DELIVERED)
        for kind in (*kinds, Kind.MESSAGE_TESTED):
            write(kind)
        for kind in (Kind.LOGGED_IN, Kind.KILL_REFUSED, Kind.PROCESS_STARTED, Kind.TRAIL_VERIFIED):
            write(kind)
        all_of(listening)
        assert len(listening.heard) == 5

    def test_what_a_place_waits_for_is_the_first_of_it_however_old(
        self, listening: Ear, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(news, "STRETCH", 3)
        engage(dry_run=True)
        for _ in range(5):
            write(Kind.DENIED)
        assert waiting_since(row_of(listening)) is None
        at = timezone.now() - LONG_AGO
        write(Kind.LIGHT_CHANGED, at=at)
        write(Kind.LIGHT_CHANGED)
        assert waiting_since(row_of(listening)) == at
        all_of(listening)
        assert waiting_since(row_of(listening)) is None

    def test_a_long_stretch_without_any_is_looked_through_once(
        self, listening: Ear, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(news, "STRETCH", 7)
        monkeypatch.setattr(deliveries, "KEPT_EVERY", 20)
        for _ in range(30):
            write(Kind.DENIED)
        carrier = Carrier(listening)
        assert carrier.deliver() is None
        assert row_of(listening).followed == 31
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert carrier.deliver() is None
        assert len(asked) == 2
        for _ in range(10):
            write(Kind.DENIED)
        write(Kind.MESSAGE_TESTED)
        assert carrier.deliver() is True


class TestOldNews:
    def test_is_summed_up_in_one_message_and_what_is_new_comes_after_it(self, listening: Ear) -> None:
        then = timezone.now() - LONG_AGO
        end(engage(at=then), State.NOT_FLAT)
        end(engage(at=then + timedelta(hours=1)), State.FLAT)
        engage()
        assert all_of(listening) == [True, True, None]
        assert [subject.partition(",")[0] for subject in listening.subjects[:1]] == ["TOLD LATE"]
        assert ": 4 messages, the last: FLAT" in listening.subjects[0]
        assert listening.subjects[1].startswith("KILL by ann")

    def test_is_summed_up_over_many_stretches(self, listening: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(news, "STRETCH", 10)
        for _ in range(news.SUMMED_UP + 20):
            write(Kind.TRAIL_BROKEN, at=timezone.now() - LONG_AGO)
        assert all_of(listening) == [True, None]
        assert f": {news.SUMMED_UP + 20} messages" in listening.subjects[0]

    def test_a_new_place_hears_none(self, listening: Ear) -> None:
        engage()
        new = Ear("mail 2")
        see([listening, new], timezone.now())
        assert (all_of(new), new.heard) == ([None], [])
        assert all_of(listening) == [True, None]

    def test_a_place_that_is_configured_again_hears_that_it_missed_something(self, listening: Ear) -> None:
        write(Kind.TRAIL_BROKEN, at=timezone.now() - LONG_AGO)
        see([listening], timezone.now())
        assert all_of(listening) == [True, None]


class TestDeliver:
    def test_a_failure_is_kept_and_the_same_is_tried_again(self, listening: Ear) -> None:
        engage()
        listening.refuses = Refused("it answered\n503 \x00")
        assert [all_of(listening), all_of(listening)] == [[False], [False]]
        row = row_of(listening)
        assert (row.tries, row.error, row.told_at, row.token) == (2, "it answered 503", None, None)
        assert row.failing_since is not None
        listening.refuses = None
        assert all_of(listening) == [True, None]
        row = row_of(listening)
        assert (row.tries, row.error, row.failing_since) == (0, "", None)
        assert row.told_at is not None

    def test_of_an_error_that_nobody_foresaw_only_its_name_is_kept(self, listening: Ear) -> None:
        """Its words may hold an address."""
        engage()
        listening.refuses = ValueError("slack://TOKEN is odd")
        all_of(listening)
        assert row_of(listening).error == "ValueError"

    def test_two_tellers_at_once_send_once(self, listening: Ear) -> None:
        engage()
        meanwhile: list[bool | None] = []
        other = Carrier(listening)

        class Slow(Ear):
            def take(self, message: Message) -> None:
                meanwhile.append(other.deliver())
                super().take(message)

        slow = Slow()
        assert Carrier(slow).deliver() is True
        assert (meanwhile, listening.heard, len(slow.heard)) == ([None], [], 1)
        assert other.deliver() is None

    def test_what_a_killed_teller_held_is_taken_up_after_its_lease(self, listening: Ear) -> None:
        engage()
        held = Delivery.objects.filter(key=listening.key)
        held.update(token=uuid.uuid4(), lease_until=timezone.now() + LEASE)
        assert all_of(listening) == [None]
        held.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert all_of(listening) == [True, None]

    def test_what_it_holds_itself_it_takes_up_at_once(self, listening: Ear) -> None:
        """The database was gone when it wanted to write that the message got there."""
        engage()
        carrier = Carrier(listening)
        held = Delivery.objects.filter(key=listening.key)
        held.update(token=carrier._token, lease_until=timezone.now() + LEASE)
        assert carrier.deliver() is True

    def test_pauses_longer_after_each_failure_and_not_after_a_success(self, listening: Ear) -> None:
        engage()
        write(Kind.MESSAGE_TESTED)
        listening.refuses = Refused("no")
        pace = Pace(listening)
        pauses = [pace.step() for _ in range(11)]
        assert pauses[:4] == [1, 2, 4, 8]
        assert max(pauses) == pauses[-1] == LONGEST_PAUSE
        listening.refuses = None
        assert [pace.step(), pace.step()] == [0, 0]
        assert pace.step() > 0


class TestTell:
    def told(self) -> list[tuple[str, str]]:
        kinds = [Kind.MESSAGE_UNDELIVERED, Kind.MESSAGE_DELIVERED]
        return list(Entry.objects.filter(kind__in=kinds).order_by("id").values_list("kind", "sentence"))

    def test_says_once_that_messages_do_not_arrive_and_once_that_they_do(self, settings: Any, listening: Ear) -> None:
        settings.TELL_LATE_MINUTES = 5
        other = Ear("chat 1 (slack)")
        see([listening, other], timezone.now())
        engage()
        listening.refuses = Refused("it answered 503")
        all_of(listening)
        now = timezone.now()
        tell([listening, other], now + timedelta(minutes=4))
        assert self.told() == []
        for minutes in (6, 60, 600):
            tell([listening, other], now + timedelta(minutes=minutes))
        undelivered = (Kind.MESSAGE_UNDELIVERED, "Messages to mail 1 do not arrive: it answered 503")
        assert self.told() == [undelivered]
        assert Entry.objects.get(kind=Kind.MESSAGE_UNDELIVERED).source.startswith("teller ")
        all_of(other)
        assert other.subjects[-1] == "Messages to mail 1 do not arrive: it answered 503"
        listening.refuses = None
        all_of(listening)
        for minutes in (601, 602):
            tell([listening, other], now + timedelta(minutes=minutes))
        assert self.told() == [undelivered, (Kind.MESSAGE_DELIVERED, "Messages to mail 1 arrive again")]

    def test_says_nothing_of_a_place_that_is_configured_no_more(self, listening: Ear) -> None:
        engage()
        listening.refuses = Refused("no")
        all_of(listening)
        tell([], timezone.now() + LONG_AGO)
        assert self.told() == []
