"""Every anchor gets to every place, in order, again and again; the record is told once of a place that fails."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from killswitch.audit.models import Anchor, Entry, Kind
from killswitch.notary import deliveries, keys
from killswitch.notary.deliveries import LEASE, see, tell
from killswitch.notary.endpoint import Endpoint
from killswitch.notary.models import Delivery
from killswitch.notary.notary import LONGEST_PAUSE, Carrier
from killswitch.notary.operations import make_anchor

from .conftest import NOON, Anchored, write
from .servers import Http


def deliver(place: Any) -> bool | None:
    """Deliver as a notary that was started just now."""
    return deliveries.deliver(place, uuid.uuid4())


class Shelf:
    """A place that keeps what it takes, and refuses as long as it is told to."""

    at_once = 2

    def __init__(self, name: str = "shelf") -> None:
        self.name = name
        self.kept: list[int] = []
        self.refuses = False

    def take(self, anchors: Sequence[Anchor]) -> None:
        if self.refuses:
            raise OSError(28, "No space left\non \x00 device")
        self.kept += [anchor.sequence for anchor in anchors]


@pytest.fixture
def shelf(db: None) -> Shelf:
    shelf = Shelf()
    see([shelf], NOON)
    return shelf


def row_of(place: Any) -> Delivery:
    return Delivery.objects.get(place=place.name)


class TestDeliver:
    def test_brings_each_once_and_in_order(self, shelf: Shelf, anchored: Anchored) -> None:
        assert deliver(shelf) is None
        anchored(3)
        assert [deliver(shelf), deliver(shelf), deliver(shelf)] == [True, True, None]
        assert shelf.kept == [1, 2, 3]
        row = row_of(shelf)
        assert (row.delivered, row.token, row.error) == (3, None, "")
        assert row.delivered_at is not None

    def test_a_failure_is_kept_and_the_same_is_tried_again(self, shelf: Shelf, anchored: Anchored) -> None:
        anchored(3)
        shelf.refuses = True
        assert [deliver(shelf), deliver(shelf)] == [False, False]
        row = row_of(shelf)
        assert (row.delivered, row.tries) == (0, 2)
        assert row.error == "OSError: [Errno 28] No space left on device"
        assert row.failing_since is not None
        shelf.refuses = False
        assert [deliver(shelf), deliver(shelf)] == [True, True]
        row = row_of(shelf)
        assert (shelf.kept, row.tries, row.failing_since, row.error) == ([1, 2, 3], 0, None, "")

    def test_a_new_place_begins_with_the_last_anchor(self, shelf: Shelf, anchored: Anchored) -> None:
        anchored(3)
        new = Shelf("new")
        see([shelf, new], NOON)
        while deliver(new):
            pass
        assert new.kept == [3]
        assert row_of(shelf).delivered == 0

    def test_a_place_that_is_configured_again_gets_what_it_missed(self, shelf: Shelf, anchored: Anchored) -> None:
        anchored(1)
        deliver(shelf)
        write()
        see([shelf], NOON + timedelta(days=300))
        assert row_of(shelf).delivered == 1

    def test_one_that_another_notary_is_at_is_left_to_it(self, shelf: Shelf, anchored: Anchored) -> None:
        anchored()
        results: list[bool | None] = []

        class Slow(Shelf):
            def take(self, anchors: Sequence[Anchor]) -> None:
                # The other notary comes while this one is at work.
                results.append(deliver(shelf))
                super().take(anchors)

        slow = Slow()
        assert deliver(slow) is True
        assert (results, shelf.kept, slow.kept) == ([None], [], [1])

    def test_what_a_killed_notary_held_is_taken_up_after_its_lease(self, shelf: Shelf, anchored: Anchored) -> None:
        anchored()
        held = Delivery.objects.filter(place=shelf.name)
        held.update(token="00000000-0000-4000-8000-000000000000", lease_until=timezone.now() + LEASE)
        assert deliver(shelf) is None
        held.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert deliver(shelf) is True
        assert shelf.kept == [1]

    def test_what_a_notary_holds_itself_it_takes_up_at_once(self, shelf: Shelf, anchored: Anchored) -> None:
        """The database was gone when it wanted to write that the anchor got there."""
        anchored()
        own = uuid.uuid4()
        Delivery.objects.filter(place=shelf.name).update(token=own, lease_until=timezone.now() + LEASE)
        assert deliveries.deliver(shelf, own) is True
        assert (shelf.kept, row_of(shelf).token) == ([1], None)

    def test_an_endpoint_that_fails_and_then_takes(self, db: None, endpoint: Http, anchored: Anchored) -> None:
        place = Endpoint(endpoint.url)
        see([place], NOON)
        anchored(2)
        endpoint.answers = [503, 500]
        assert [deliver(place) for _ in range(5)] == [False, False, True, True, None]
        assert [b'"sequence":1' in arrived.body for arrived in endpoint.arrived] == [True, True, True, False]


class TestCarrier:
    def test_pauses_longer_after_each_failure_and_not_after_a_success(self, shelf: Shelf, anchored: Anchored) -> None:
        anchored(3)
        shelf.refuses = True
        carrier = Carrier(shelf)
        pauses = [carrier.step() for _ in range(11)]
        assert pauses[:4] == [1, 2, 4, 8]
        assert max(pauses) == pauses[-1] == LONGEST_PAUSE
        shelf.refuses = False
        assert [carrier.step(), carrier.step()] == [0, 0]
        assert carrier.step() > 0
        shelf.refuses = True
        anchored(1)
        assert carrier.step() == 1


class TestTell:
    @pytest.fixture(autouse=True)
    def _limit(self, settings: Any) -> None:
        settings.ANCHOR_LATE_MINUTES = 15

    def later(self, minutes: float) -> datetime:
        return NOON + timedelta(minutes=minutes)

    def told(self) -> list[tuple[str, str]]:
        kinds = [Kind.ANCHOR_UNDELIVERED, Kind.ANCHOR_DELIVERED]
        return list(Entry.objects.filter(kind__in=kinds).order_by("id").values_list("kind", "sentence"))

    def test_says_once_that_anchors_do_not_arrive_and_once_that_they_do(
        self, shelf: Shelf, anchored: Anchored, key: keys.Key
    ) -> None:
        anchored()
        shelf.refuses = True
        deliver(shelf)
        tell([shelf], self.later(15))
        assert self.told() == []
        # Each entry moves the head, so that there is one more anchor to bring: no reason for one more entry.
        for minute in range(16, 60, 5):
            tell([shelf], self.later(minute))
            make_anchor(key, now=self.later(minute))
            deliver(shelf)
        why = "OSError: [Errno 28] No space left on device"
        undelivered = (Kind.ANCHOR_UNDELIVERED, f"Anchors do not arrive at shelf, from entry 1 on: {why}")
        assert self.told() == [undelivered]
        shelf.refuses = False
        while deliver(shelf):
            pass
        for minute in (61, 62):
            tell([shelf], self.later(minute))
        assert self.told() == [undelivered, (Kind.ANCHOR_DELIVERED, "Anchors arrive at shelf again, to entry 2")]
        entry = Entry.objects.get(kind=Kind.ANCHOR_UNDELIVERED)
        assert entry.source.startswith("notary ")
        assert entry.data["place"] == "shelf"

    def test_says_it_of_one_that_hangs_as_well(self, shelf: Shelf, anchored: Anchored) -> None:
        anchored()
        tell([shelf], self.later(16))
        assert self.told() == [
            (Kind.ANCHOR_UNDELIVERED, "Anchors do not arrive at shelf, from entry 1 on: no answer yet")
        ]

    def test_says_nothing_of_a_place_that_is_configured_no_more(self, shelf: Shelf, anchored: Anchored) -> None:
        anchored()
        tell([], self.later(16))
        assert self.told() == []
