"""The words of a message: one line for a locked phone, the rest below it."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Outcome, State
from killswitch.telling.news import Outstanding
from killswitch.telling.places import Tone
from killswitch.telling.wording import CALL, LONGEST_SUBJECT, message_of, summary_of

from .conftest import end, engage, touch, write

AT = datetime(2026, 11, 21, 3, 12, 9, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def engaged(**values: Any) -> Entry:
    engage(at=AT, **values)
    return Entry.objects.latest("id")


def ended(state: State, *outcomes: tuple[Outcome, int, int], **values: Any) -> Entry:
    """End a kill with so many orders of an outcome on an account."""
    kill = engage(at=AT, **values)
    for outcome, account_id, count in outcomes:
        touch(kill, outcome, account_id=account_id, count=count)
    if state == State.UNKNOWN:
        kill.sweeps.filter(account_id=19817).update(state=State.UNKNOWN)
    return end(kill, state)


def of_running(kind: Kind, **values: Any) -> Entry:
    kill = engage(at=AT, latched=True)
    touch(kill, Outcome.STUCK, count=2)
    return write(kind, kill, at=AT + timedelta(minutes=28), **values)


def other(kind: Kind, sentence: str) -> Entry:
    return write(kind, at=AT, sentence=sentence)


def of_light(sentence: str, after: str) -> Entry:
    return write(Kind.LIGHT_CHANGED, at=AT, sentence=f"Armed light: {sentence}", data={"after": after})


CANCELED, STUCK, OPEN, WOULD = Outcome.CANCELED, Outcome.STUCK, Outcome.STILL_OPEN, Outcome.WOULD_CANCEL
TABLE: list[tuple[Callable[[], Entry], str, Tone]] = [
    (lambda: engaged(), "KILL by ann 03:12 UTC: all SELL LIMIT orders in TSLA on 2 accounts", Tone.WARNING),
    (
        lambda: engaged(latched=True),
        "LATCHED KILL by ann 03:12 UTC: all SELL LIMIT orders in TSLA on 2 accounts",
        Tone.WARNING,
    ),
    (
        lambda: ended(State.FLAT, (CANCELED, 19816, 3)),
        "FLAT after 2.3 s: 3 orders canceled, kill by ann 03:12 UTC",
        Tone.GOOD,
    ),
    (
        lambda: ended(State.NOT_FLAT, (STUCK, 19816, 2), (CANCELED, 19817, 1)),
        "NOT FLAT: 2 orders stuck on account 19816, kill by ann 03:12 UTC",
        Tone.BAD,
    ),
    (
        lambda: ended(State.NOT_FLAT, (STUCK, 19816, 1), (OPEN, 19817, 2)),
        "NOT FLAT: 1 order stuck, 2 still open on 2 accounts, kill by ann 03:12 UTC",
        Tone.BAD,
    ),
    (
        lambda: ended(State.UNKNOWN),
        "UNKNOWN, treat as NOT FLAT: nobody knows what is open on account 19817, kill by ann 03:12 UTC",
        Tone.BAD,
    ),
    (
        lambda: ended(State.UNKNOWN, roster_error="refused"),
        "UNKNOWN, treat as NOT FLAT: the broker did not say which accounts there are, kill by ann 03:12 UTC",
        Tone.BAD,
    ),
    (
        lambda: of_running(Kind.ORDER_ENDED, outcome=STUCK, account_id=19816),
        "STUCK: 2 orders stuck on account 19816, latched kill by ann 03:12 UTC",
        Tone.BAD,
    ),
    (
        lambda: of_running(Kind.ORDER_ARRIVED, account_id=19816),
        "STILL SENDING: orders arrive on account 19816, latched kill by ann 03:12 UTC",
        Tone.BAD,
    ),
    (
        lambda: of_running(Kind.SWEEP_HOLDS, account_id=19816),
        "QUIET, still latched: 2 accounts, latched kill by ann 03:12 UTC",
        Tone.GOOD,
    ),
    (
        lambda: of_running(Kind.KILL_RELEASED),
        "RELEASED by ann 03:40 UTC: latched kill of ann 03:12 UTC",
        Tone.WARNING,
    ),
    (
        lambda: of_light("ARMED → NOT ARMED. No worker takes up tasks", "not_armed"),
        "NOT ARMED. No worker takes up tasks",
        Tone.BAD,
    ),
    (
        lambda: of_light("ARMED → ARMED, BY THE SLOWER WAY. Redis does not answer", "slower"),
        "ARMED, BY THE SLOWER WAY. Redis does not answer",
        Tone.WARNING,
    ),
    (lambda: of_light("still NOT ARMED. The disk is full", "not_armed"), "still NOT ARMED. The disk is full", Tone.BAD),
    (lambda: of_light("NOT ARMED → ARMED", "armed"), "ARMED again", Tone.GOOD),
    (
        lambda: other(Kind.TRAIL_BROKEN, "entry 7 was edited"),
        "AUDIT TRAIL DOES NOT HOLD: entry 7 was edited",
        Tone.BAD,
    ),
    (
        lambda: other(Kind.MESSAGE_UNDELIVERED, "Messages to chat 1 (slack) do not arrive: it answered 503"),
        "Messages to chat 1 (slack) do not arrive: it answered 503",
        Tone.WARNING,
    ),
    (
        lambda: other(Kind.MESSAGE_DELIVERED, "Messages to mail 1 arrive again"),
        "Messages to mail 1 arrive again",
        Tone.INFO,
    ),
    (lambda: other(Kind.MESSAGE_TESTED, "…"), "TEST by ann 03:12 UTC: messages arrive here", Tone.INFO),
]


@pytest.mark.parametrize(("make", "subject", "tone"), TABLE, ids=[row[1][:40] for row in TABLE])
def test_the_line_says_what_happened(production: None, make: Callable[[], Entry], subject: str, tone: Tone) -> None:
    message = message_of(make())
    assert (message.subject, message.tone) == (subject, tone)
    assert len(message.subject) <= LONGEST_SUBJECT


@pytest.mark.parametrize("make", [row[0] for row in TABLE], ids=[row[1][:40] for row in TABLE])
def test_everywhere_but_in_production_the_line_begins_with_where_it_is(
    settings: Any, make: Callable[[], Entry]
) -> None:
    entry = make()
    settings.BROKER_IS_SIMULATOR = True
    assert message_of(entry).subject.startswith("[SIMULATOR] ")
    settings.BROKER_IS_SIMULATOR = False
    assert message_of(entry).subject.startswith("[LOCAL] ")
    settings.CLEAR_STREET_BASE_URL = "https://uat.example.com"
    assert message_of(entry).subject.startswith("[uat.example.com] ")


class TestADrill:
    @pytest.mark.parametrize(
        ("state", "line"),
        [
            (State.NOT_FLAT, "ended: 37 orders would have been canceled, nothing was sent, by ann 03:12 UTC"),
            (State.FLAT, "ended: 0 orders would have been canceled, nothing was sent, by ann 03:12 UTC"),
            (State.UNKNOWN, "did not come through: nobody knows what is open on account 19817, by ann 03:12 UTC"),
        ],
    )
    def test_says_so_before_anything_else(self, settings: Any, production: None, state: State, line: str) -> None:
        orders = [(WOULD, 19816, 37)] if state == State.NOT_FLAT else []
        entry = ended(state, *orders, dry_run=True)
        message = message_of(entry)
        assert message.subject == f"DRY RUN {line}"
        assert message.tone != Tone.BAD
        settings.BROKER_IS_SIMULATOR = True
        assert message_of(entry).subject == f"DRY RUN [SIMULATOR] {line}"


class TestTheRest:
    def test_says_scope_who_when_why_counts_and_what_to_do(self, settings: Any, production: None) -> None:
        settings.PUBLIC_URL = "https://kill.example.com"
        entry = ended(State.NOT_FLAT, (STUCK, 19816, 2), (CANCELED, 19817, 1))
        page = f"https://kill.example.com/kills/{entry.kill_id}/"
        assert message_of(entry).body.splitlines() == [
            "Matching orders were still open when the broker was last asked.",
            "",
            f"{CALL} Or kill again.",
            "",
            "Cancel: all SELL LIMIT orders in TSLA on 2 accounts",
            "By: ann",
            "At: 2026-11-21 03:12:09 UTC",
            "Reason: runaway algo",
            "Orders: 1 canceled, 2 stuck in pending cancel",
            f"Page: {page}",
            f"Call sheet: {page}call-sheet/",
            "Broker: api.clearstreet.com (PRODUCTION)",
            f"Record: entry {entry.id}",
        ]

    def test_has_no_link_where_nobody_said_where_the_pages_are(self, production: None) -> None:
        assert "http" not in message_of(engaged()).body

    def test_what_people_typed_cannot_forge_a_line(self, production: None) -> None:
        entry = engaged(scope="all\r\nBcc: x@example.com\n\norders " * 20, reason="a\nAt: never")
        message = message_of(entry)
        assert "\n" not in message.subject + "".join(message.body.splitlines())
        assert "\r" not in message.body
        assert len(message.subject) <= LONGEST_SUBJECT
        assert "Reason: a At: never" in message.body

    def test_of_a_kill_whose_row_is_gone_it_says_what_the_entry_says(self, production: None) -> None:
        entry = write(Kind.KILL_ENGAGED, kill_id=uuid.uuid4(), sentence="ann engaged a kill")
        assert message_of(entry).subject == "ann engaged a kill"


def test_a_summary_says_from_when_to_when_and_how_it_ended(production: None) -> None:
    found = Outstanding(upto=0)
    for entry in (engaged(), ended(State.FLAT, (CANCELED, 19816, 3))):
        found.add_old(entry)
    found.old_count += 40
    message = summary_of(found)
    assert message.subject == (
        "TOLD LATE, 03:12 to 03:12 UTC: 42 messages, the last: FLAT after 2.3 s: 3 orders canceled, "
        "kill by ann 03:12 UTC"
    )
    assert "The 40 messages before these are left out" in message.body
    assert "2026-11-21 03:12:09  KILL by ann 03:12 UTC" in message.body
    assert message.tone == Tone.WARNING
