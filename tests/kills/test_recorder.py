"""What is written when: an announcement keeps a cancel from leaving, an answer may wait until others have left."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from django.utils import timezone

from killswitch import broker
from killswitch.audit.models import Entry, Kind
from killswitch.broker import Order
from killswitch.kills.claims import Claim, claim
from killswitch.kills.entries import Subject
from killswitch.kills.hold import Hold
from killswitch.kills.logbook import Logbook
from killswitch.kills.orders import TouchedOrders
from killswitch.kills.record import ANSWERS_WAIT, Note, Recorder

from .conftest import Press

FIRST = 19816
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def claimed(press: Press) -> Claim:
    made = claim(press(account=FIRST).id, source="a worker")
    assert made
    return made


def note(claimed: Claim, kind: Kind, **values: bool) -> Note:
    told = Subject.of(claimed.kill, FIRST, "a worker").draft(kind, "something happened", timezone.now())
    return Note(sweep_id=claimed.sweeps[0].sweep.id, token=claimed.token, entries=[told], **values)


def record(is_crowded: Callable[[], bool], use: Callable[[Recorder], Awaitable[None]]) -> None:
    async def run() -> None:
        recorder = Recorder(is_crowded)
        try:
            await use(recorder)
        finally:
            await recorder.close()

    broker.run(run(), timeout=20)


def kinds() -> list[str]:
    of_interest = (Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_ANNOUNCED)
    # The announcement of the claim's own mass cancel is older than all of these.
    return list(Entry.objects.filter(kind__in=of_interest).order_by("id").values_list("kind", flat=True))[1:]


def test_an_answer_that_may_wait_lets_an_announcement_go_first(claimed: Claim) -> None:
    async def use(recorder: Recorder) -> None:
        answered = asyncio.create_task(recorder.commit(note(claimed, Kind.ATTEMPT_ANSWERED, may_wait=True)))
        await asyncio.sleep(0)  # it is there first
        began = asyncio.get_running_loop().time()
        await recorder.commit(note(claimed, Kind.ATTEMPT_ANNOUNCED, is_announcement=True))
        waited.append(asyncio.get_running_loop().time() - began)
        await answered

    waited: list[float] = []
    record(lambda: True, use)
    assert kinds() == [Kind.ATTEMPT_ANNOUNCED, Kind.ATTEMPT_ANSWERED]
    assert waited[0] < ANSWERS_WAIT, "the announcement waited as long as the answer may"


def test_an_answer_is_written_as_soon_as_no_cancel_waits(claimed: Claim) -> None:
    crowd = [True, True, False]

    async def use(recorder: Recorder) -> None:
        await recorder.commit(note(claimed, Kind.ATTEMPT_ANSWERED, may_wait=True))

    record(lambda: crowd.pop(0) if crowd else False, use)
    assert not crowd, "it did not wait for the others to leave"
    assert kinds() == [Kind.ATTEMPT_ANSWERED]


def test_an_answer_does_not_wait_for_ever(claimed: Claim) -> None:
    async def use(recorder: Recorder) -> None:
        await recorder.commit(note(claimed, Kind.ATTEMPT_ANSWERED, may_wait=True))

    record(lambda: True, use)
    assert kinds() == [Kind.ATTEMPT_ANSWERED]


def test_what_a_sweep_goes_on_after_waits_for_no_cancel(claimed: Claim) -> None:
    waited: list[float] = []

    async def use(recorder: Recorder) -> None:
        answered = asyncio.create_task(recorder.commit(note(claimed, Kind.ATTEMPT_ANSWERED, may_wait=True)))
        await asyncio.sleep(0)  # it is there first, and waits
        began = asyncio.get_running_loop().time()
        await recorder.commit(note(claimed, Kind.ATTEMPT_ANSWERED))
        waited.append(asyncio.get_running_loop().time() - began)
        await answered

    record(lambda: True, use)
    assert waited[0] < ANSWERS_WAIT, "the answer to a mass cancel waited"


@pytest.mark.parametrize(("status", "waits"), [("PENDING_CANCEL", True), ("CANCELED", False)])
def test_what_became_of_an_order_is_told_in_its_turn(claimed: Claim, status: str, waits: bool) -> None:
    notes: list[Note] = []

    class Notes:
        async def commit(self, note: Note) -> None:
            notes.append(note)

    now, subject = timezone.now(), Subject.of(claimed.kill, FIRST, "a worker")
    sweep = claimed.sweeps[0].sweep
    orders = TouchedOrders(sweep.id, [])
    orders.see(Order(id="o", status=status), now)
    log = Logbook(
        sweep_id=sweep.id, token=claimed.token, subject=subject, orders=orders, recorder=Notes(), hold=Hold(0.0)
    )
    answer = subject.draft(Kind.ATTEMPT_ANSWERED, "something happened", now)
    asyncio.run(log.note([answer], may_wait=True))
    assert [note.may_wait for note in notes] == [waits]
