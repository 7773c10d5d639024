"""An alarm asks for an acknowledgement by name; who acknowledged what is on the page and in the record."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from killswitch.access.roles import ADMINISTRATOR, COMPLIANCE
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor
from killswitch.incident.summary import Summary
from killswitch.kills.acknowledgements import acknowledge, name_of, raised, seen, unacknowledged
from killswitch.kills.meanings import Alarm
from killswitch.kills.models import Acknowledgement, Kill, KilledOrder, Outcome, State, Sweep

from .conftest import client_of

ANN = Actor(id=7, name="ann", source="web 10.0.0.1")
BOB = Actor(id=8, name="bob", source="web 10.0.0.2")
pytestmark = pytest.mark.django_db


def make_kill(state: State = State.NOT_FLAT, *, ended: float | None = 60, **values: Any) -> Kill:
    """Make a kill of one account that ended so many seconds ago, or runs."""
    now = timezone.now()
    kill = Kill.objects.create(
        **{
            "idempotency_key": uuid.uuid4(),
            "engaged_at": now - timedelta(seconds=100 + (ended or 0)),
            "engaged_by_name": "ann",
            "scope": "all orders",
            "state": state,
            "ended_at": None if ended is None else now - timedelta(seconds=ended),
            **values,
        }
    )
    held = {"ended_at": kill.ended_at, "lease_until": None if kill.is_over else now + timedelta(minutes=1)}
    Sweep.objects.create(kill=kill, account_id=1001, state=state, first_attempt_at=kill.engaged_at, **held)
    return kill


def never(kill: Kill) -> bool:
    return False


def add(kill: Kill, outcome: Outcome = Outcome.STUCK, count: int = 1, **values: Any) -> None:
    for _ in range(count):
        KilledOrder.objects.create(
            sweep=kill.sweeps.get(), order_id=str(uuid.uuid4()), outcome=outcome, updated_at=timezone.now(), **values
        )


def asks(kill: Kill) -> list[Alarm]:
    return [alarm for alarm, each in seen(kill, raised(kill)).items() if each.asks]


def told() -> list[tuple[str, str]]:
    entries = Entry.objects.filter(kind=Kind.ALARM_ACKNOWLEDGED).order_by("id")
    return list(entries.values_list("actor_name", "sentence"))


class TestAcknowledge:
    def test_says_who_has_seen_what_and_how_much_of_it(self) -> None:
        kill = make_kill()
        add(kill, count=2)
        assert asks(kill) == [Alarm.STUCK]
        assert acknowledge(kill, Alarm.STUCK, count=2, actor=ANN, now=timezone.now()) is True
        assert asks(kill) == []
        entry = Entry.objects.get(kind=Kind.ALARM_ACKNOWLEDGED)
        assert entry.sentence == "ann acknowledged: Cancels are stuck at the broker (2 orders)"
        assert (entry.kill_id, entry.actor_id, entry.source) == (kill.id, 7, "web 10.0.0.1")
        assert entry.data == {"alarm": "stuck", "count": 2}

    def test_again_changes_nothing(self) -> None:
        kill = make_kill()
        add(kill, count=2)
        first = timezone.now()
        acknowledge(kill, Alarm.STUCK, count=2, actor=ANN, now=first)
        for count in (2, 1):
            later = first + timedelta(seconds=5)
            assert acknowledge(kill, Alarm.STUCK, count=count, actor=ANN, now=later) is False
        assert (len(told()), Acknowledgement.objects.get().at) == (1, first)

    def test_two_people_are_both_named(self) -> None:
        kill = make_kill(roster_error="refused")
        for actor in (ANN, BOB):
            acknowledge(kill, Alarm.ACCOUNTS, count=1, actor=actor, now=timezone.now())
        what = "acknowledged: The broker did not say which accounts there are"
        assert told() == [("ann", f"ann {what}"), ("bob", f"bob {what}")]
        assert [each.by_name for each in seen(kill, raised(kill))[Alarm.ACCOUNTS].by] == ["ann", "bob"]

    def test_one_that_gets_worse_asks_again(self) -> None:
        kill = make_kill()
        add(kill, count=2)
        acknowledge(kill, Alarm.STUCK, count=2, actor=ANN, now=timezone.now())
        add(kill)
        assert asks(kill) == [Alarm.STUCK]
        assert seen(kill, raised(kill))[Alarm.STUCK].is_worse
        acknowledge(kill, Alarm.STUCK, count=3, actor=ANN, now=timezone.now())
        assert asks(kill) == []
        assert [sentence[-9:-1] for _, sentence in told()] == ["2 orders", "3 orders"]

    @pytest.mark.parametrize("alarm", [Alarm.LATE, Alarm.LOST])
    def test_what_streams_in_asks_again_when_it_is_twice_as_much(self, alarm: Alarm) -> None:
        values = {"is_late": True} if alarm == Alarm.LATE else {"lost_quantity": 5}
        kill = make_kill()
        add(kill, Outcome.CANCELED, 3, **values)
        acknowledge(kill, alarm, count=3, actor=ANN, now=timezone.now())
        add(kill, Outcome.CANCELED, 2, **values)
        assert asks(kill) == []
        add(kill, Outcome.CANCELED, 1, **values)
        assert asks(kill) == [alarm]

    def test_of_what_came_meanwhile_nothing_is_acknowledged_nor_of_what_is_not_there(self) -> None:
        kill = make_kill()
        add(kill, count=5)
        acknowledge(kill, Alarm.STUCK, count=2, actor=ANN, now=timezone.now())
        assert asks(kill) == [Alarm.STUCK]
        acknowledge(kill, Alarm.STUCK, count=10**9, actor=ANN, now=timezone.now())
        assert Acknowledgement.objects.get().count == 5
        add(kill)
        assert asks(kill) == [Alarm.STUCK]

    def test_an_order_of_which_nothing_traded_is_not_one_that_did(self) -> None:
        kill = make_kill()
        add(kill, Outcome.CANCELED, lost_quantity=0)
        assert asks(kill) == []

    def test_a_drill_says_that_it_is_one(self) -> None:
        kill = make_kill(dry_run=True, roster_error="refused")
        acknowledge(kill, Alarm.ACCOUNTS, count=1, actor=ANN, now=timezone.now())
        assert told()[0][1].startswith("DRY RUN: ann acknowledged")


class TestUnacknowledged:
    def test_names_kills_that_run_or_ended_badly_within_a_day(self) -> None:
        wanted = [make_kill(State.RUNNING, ended=None), make_kill(), make_kill(State.UNKNOWN, ended=23 * 3600)]
        others = [make_kill(State.FLAT), make_kill(ended=25 * 3600), make_kill(dry_run=True)]
        for kill in (*wanted, *others):
            add(kill)
        make_kill(State.NOT_FLAT)
        found = unacknowledged(timezone.now(), contradicted=never)
        assert {kill.id for kill, _ in found} == {kill.id for kill in wanted}
        assert [alarms for _, alarms in found] == [[Alarm.STUCK]] * 3

    def test_names_what_does_not_fit_the_audit_trail_before_all_else(self) -> None:
        kill = make_kill()
        assert unacknowledged(timezone.now(), contradicted=lambda each: each == kill) == [(kill, [Alarm.CONTRADICTED])]
        add(kill)
        [(_, alarms)] = unacknowledged(timezone.now(), contradicted=lambda each: each == kill)
        assert alarms == [Alarm.CONTRADICTED]  # what an ended kill raises was read before the order was there
        acknowledge(kill, Alarm.CONTRADICTED, count=1, actor=ANN, now=timezone.now())
        assert unacknowledged(timezone.now(), contradicted=lambda each: True) == []

    def test_costs_one_question_when_nothing_is_wrong(self) -> None:
        make_kill(State.FLAT)
        with CaptureQueriesContext(connection) as asked:
            assert unacknowledged(timezone.now(), contradicted=never) == []
        assert len(asked) == 1


def press(client: Client, kill: Kill, **fields: Any) -> Any:
    values = {"alarm": "stuck", "count": "2", **fields}
    return client.post(f"/kills/{kill.id}/acknowledge/", values)


def alarm_of(client: Client, kill: Kill, name: str = "stuck") -> str:
    """Return what the page says of an alarm, as it reads."""
    page = client.get(f"/kills/{kill.id}/").content.decode()
    found = re.search(rf'<div class="alarm" id="alarm-{name}".*?<div class="seen">(.*?)</div>', page, re.S)
    assert found
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found[1])).strip()


class TestThePage:
    @pytest.fixture
    def kill(self) -> Kill:
        kill = make_kill()
        add(kill, count=2)
        return kill

    def test_has_a_button_and_then_who_and_when(self, desk_client: Client, kill: Kill) -> None:
        assert alarm_of(desk_client, kill) == "Acknowledge as desk"
        answer = press(desk_client, kill)
        assert (answer.status_code, answer.url) == (303, f"/kills/{kill.id}/#alarm-stuck")
        assert re.fullmatch(r"acknowledged by desk \d\d:\d\d:\d\d UTC", alarm_of(desk_client, kill))
        assert alarm_of(client_of("other", COMPLIANCE), kill).startswith("acknowledged by desk ")

    def test_asks_again_when_it_is_worse(self, desk_client: Client, kill: Kill) -> None:
        press(desk_client, kill)
        add(kill)
        told = alarm_of(desk_client, kill)
        assert "when it was about 2 orders It has become worse since. Acknowledge as desk" in told

    def test_answers_a_press_by_script_with_the_part_that_is_polled(self, desk_client: Client, kill: Kill) -> None:
        answer = desk_client.post(
            f"/kills/{kill.id}/acknowledge/", {"alarm": "stuck", "count": "2"}, headers={"HX-Request": "true"}
        )
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "<html" not in text
        assert "acknowledged by desk" in text

    @pytest.mark.parametrize("role", [COMPLIANCE, ADMINISTRATOR, "no role"])
    def test_is_for_the_risk_desk(self, clients: Callable[[str], Client], kill: Kill, role: str) -> None:
        client = clients(role)
        answer = press(client, kill)
        assert (answer.status_code, Acknowledgement.objects.count()) == (403, 0)
        assert "acknowledge an alarm" in Entry.objects.get(kind=Kind.DENIED).sentence
        if role != "no role":
            assert alarm_of(client, kill) == "waits for somebody of the risk desk to acknowledge it"

    @pytest.mark.parametrize(
        "fields", [{"alarm": "nonsense"}, {"alarm": "throttled"}, {"count": "0"}, {"count": "x"}, {"alarm": ""}]
    )
    def test_refuses_what_is_not_understood(self, desk_client: Client, kill: Kill, fields: dict[str, str]) -> None:
        assert press(desk_client, kill, **fields).status_code == 400
        assert not Acknowledgement.objects.exists()

    def test_a_kill_that_is_not_there(self, desk_client: Client) -> None:
        assert desk_client.post(f"/kills/{uuid.uuid4()}/acknowledge/", {"alarm": "stuck"}).status_code == 404

    def test_a_look_changes_nothing(self, desk_client: Client, kill: Kill) -> None:
        assert desk_client.get(f"/kills/{kill.id}/acknowledge/").status_code == 405

    def test_every_page_counts_what_nobody_acknowledged(self, desk_client: Client, kill: Kill) -> None:
        kill.roster_error = "refused"
        kill.save()
        for page in ("/", "/kills/", "/drills/", f"/kills/{kill.id}/"):
            text = desk_client.get(page).content.decode()
            assert f'href="/kills/{kill.id}/#alarm-contradicted"><strong>3 alarms nobody acknowledged</strong>' in text
        press(desk_client, kill, alarm="contradicted", count="1")  # it is made of rows, without an entry
        assert f'href="/kills/{kill.id}/#alarm-accounts"><strong>2 alarms' in desk_client.get("/").content.decode()
        press(desk_client, kill, alarm="accounts", count="1")
        assert "<strong>1 alarm nobody acknowledged</strong>" in desk_client.get("/").content.decode()
        press(desk_client, kill)
        assert "nobody acknowledged" not in desk_client.get("/").content.decode()

    def test_a_kill_that_runs_stands_once_in_the_banner_with_its_alarms(self, desk_client: Client) -> None:
        runs = {"state": State.RUNNING, "ended_at": None, "engaged_at": timezone.now() - timedelta(minutes=1)}
        kills = [make_kill(**runs), make_kill(**runs, latched=True), make_kill()]
        for kill in kills:
            add(kill, count=2)
            kill.sweeps.update(lease_until=timezone.now() - timedelta(seconds=30))
        banner = desk_client.get("/").content.decode().split('id="banner"')[1].split("</section>")[0]
        lines = banner.split("<li")[1:]
        assert [sum(str(kill.id) in line for line in lines) for kill in kills] == [1, 1, 1]
        assert all("nobody acknowledged" in line for line in lines)
        assert banner.count("NOBODY WORKS ON IT") == 4, "once in what is short and once in the list, of each of the two"
        assert "Nobody works on it at the moment" not in banner

    def test_only_those_who_can_are_asked(self, compliance_client: Client, kill: Kill) -> None:
        assert "nobody acknowledged" not in compliance_client.get("/kills/").content.decode()


def test_timeline_people_and_summary_tell_it(compliance_client: Client) -> None:
    kill = make_kill()
    add(kill, count=2)
    acknowledge(kill, Alarm.STUCK, count=2, actor=ANN, now=timezone.now())
    summary = Summary(kill, timezone.now())
    sentence = "ann acknowledged: Cancels are stuck at the broker (2 orders)"
    assert sentence in [moment.what for moment in summary.timeline.moments()]
    assert sentence in [moment.what for moment in summary.timeline.in_short]
    assert ("ann", "Alarm acknowledged", 1) in summary.people.in_short
    assert sentence in compliance_client.get(f"/kills/{kill.id}/summary/").content.decode()


@pytest.mark.parametrize("alarm", [alarm for alarm in Alarm if alarm != Alarm.THROTTLED])
def test_every_alarm_but_the_one_that_needs_nothing_can_be_acknowledged(desk_client: Client, alarm: Alarm) -> None:
    kill = make_kill(State.RUNNING, ended=None, roster_error="the broker failed")
    if alarm == Alarm.WAITING:
        kill.sweeps.update(first_attempt_at=None, lease_until=None)
    if alarm == Alarm.ELSEWHERE:
        Kill.objects.update(left_by="worker w 1, which asks elsewhere.example.com")
    if alarm == Alarm.NOBODY:
        kill.sweeps.update(lease_until=timezone.now() - timedelta(seconds=20))
    kill.sweeps.update(error="the broker failed")
    add(kill, is_late=True)
    add(kill, Outcome.FILLED, lost_quantity=Decimal(1))
    assert press(desk_client, kill, alarm=name_of(alarm), count="1").status_code == 303
    assert Acknowledgement.objects.get().alarm == name_of(alarm)


class TestWhatAnAcknowledgementIsOf:
    def test_an_alarm_that_is_not_there_cannot_be_acknowledged(self) -> None:
        kill = make_kill()
        assert not acknowledge(kill, Alarm.STUCK, count=1, actor=ANN, now=timezone.now())
        assert not Entry.objects.filter(kind=Kind.ALARM_ACKNOWLEDGED).exists()
        add(kill)
        assert asks(kill) == [Alarm.STUCK]

    def test_one_account_is_not_many(self) -> None:
        kill = make_kill(State.RUNNING, ended=None)
        kill.sweeps.update(error="the broker failed")
        acknowledge(kill, Alarm.ERRORS, count=1, actor=ANN, now=timezone.now())
        assert asks(kill) == []
        assert Entry.objects.latest("id").sentence.endswith("(1 account)")
        Sweep.objects.create(kill=kill, account_id=1002, state=State.RUNNING, error="the broker failed")
        assert asks(kill) == [Alarm.ERRORS]

    def test_what_comes_again_later_is_another_one(self) -> None:
        kill = make_kill(State.RUNNING, ended=None)
        kill.sweeps.update(lease_until=timezone.now() - timedelta(seconds=20))
        acknowledge(kill, Alarm.NOBODY, count=1, actor=ANN, now=timezone.now() - timedelta(minutes=11))
        assert asks(kill) == [Alarm.NOBODY]
        assert acknowledge(kill, Alarm.NOBODY, count=1, actor=ANN, now=timezone.now())
        assert asks(kill) == []

    def test_what_still_runs_is_not_pushed_off_by_what_has_ended_since(self) -> None:
        latched = make_kill(State.LATCHED, ended=None, latched=True, engaged_at=timezone.now() - timedelta(days=2))
        add(latched)
        for _ in range(20):
            add(make_kill())
        assert unacknowledged(timezone.now(), contradicted=never)[0][0] == latched

    def test_a_bad_day_does_not_cost_every_page_dear(self) -> None:
        for _ in range(20):
            add(make_kill())
        assert len(unacknowledged(timezone.now(), contradicted=never)) == 20
        with CaptureQueriesContext(connection) as queries:
            assert len(unacknowledged(timezone.now(), contradicted=never)) == 20
        assert len(queries) == 2
