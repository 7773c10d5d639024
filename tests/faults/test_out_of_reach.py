"""The broker throttles, is gone, is silent or refuses: said as what it is, and asked on without a storm."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill, State, Sweep
from tests.conftest import ask_broker_at, wait_for

from .conftest import LogIn, World, outcomes

BROKER = ("--accounts", "0", "--cancel-ms", "50")


@pytest.fixture(autouse=True)
def _redis(world: World) -> Iterator[None]:
    world.stack.redis()
    yield


def page_of(kill: Kill, desk: Client) -> str:
    text: str = desk.get(f"/kills/{kill.id}/").content.decode()
    return " ".join(text.split())


def json_of(kill: Kill, desk: Client) -> dict[str, Any]:
    told: dict[str, Any] = desk.get(f"/kills/{kill.id}.json").json()
    return told


class TestThrottling:
    @pytest.mark.fault(10, what="429 for 30 s", seen="slower, never dropped; the page says why")
    def test_a_throttled_kill_gets_slower_and_goes_through(self, world: World, desk: Client) -> None:
        world.stack.broker(*BROKER)
        accounts = [world.account(orders=1) for _ in range(12)]
        # Throttled for longer than a kill has patience with a broker that fails: it is the proportion that matters.
        world.stack.worker(KILL_PATIENCE_SECONDS="2", KILL_REPEATS_PER_SECOND="30")
        world.control.add_fault(do={"status": 429, "message": "Too many requests"})
        kill = world.press(account=accounts)
        started = time.monotonic()
        wait_for(lambda: all(sweep["throttled"] for sweep in json_of(kill, desk)["sweeps"]), "every account to say why")
        page = page_of(kill, desk)
        assert "The broker makes us wait." in page
        assert "The broker throttles: Too many requests (12 accounts). Next try at " in page
        assert json_of(kill, desk)["sweeps"][0]["next_try_at"]
        wait_for(lambda: time.monotonic() - started > 6, "the broker to have had enough")
        kill.refresh_from_db()
        assert not kill.is_over
        sent = [request["at_monotonic_ns"] / 1e9 - started for request in world.control.log()]
        # Without a budget, 12 accounts would go on with a repeat a second each: 36.
        assert 1 <= len([at for at in sent if 3 < at < 6]) <= 24, "slower"
        world.control.clear_faults()
        over = world.ended(kill)
        assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
        assert [sweep["throttled"] for sweep in json_of(kill, desk)["sweeps"]] == [None] * 12

    @pytest.mark.fault(11, what="`Retry-After: 3600`", seen="capped, alarm")
    def test_an_hour_that_the_broker_asks_for_becomes_ten_seconds(self, world: World, desk: Client) -> None:
        world.stack.broker(*BROKER)
        account = world.account()
        world.stack.worker()
        world.control.add_fault(do={"status": 429, "retry_after": 3600}, times=2)
        kill = world.press(account=account)
        wait_for(lambda: json_of(kill, desk)["sweeps"][0]["next_try_at"], "the time of the next try")
        [sweep] = json_of(kill, desk)["sweeps"]
        assert "asks to wait 3,600 s" in sweep["throttled"]
        page = page_of(kill, desk)
        assert "The broker makes us wait." in page
        assert "asks to wait 3,600 s" in page
        wait = datetime.fromisoformat(sweep["next_try_at"]) - Entry.objects.order_by("-id")[0].at
        assert 5 < wait.total_seconds() < 15
        # A first attempt does not wait for what others were told.
        other = world.press(account=world.account())
        assert wait_for(lambda: "cancel_all" in world.calls()[2:], "the other kill's first attempt", 5)
        assert {world.ended(each, 40).state for each in (kill, other)} == {State.FLAT}
        first, *_, last = (r for r in world.deletes() if r["account_id"] == account)
        assert 9 < (last["at_monotonic_ns"] - first["at_monotonic_ns"]) / 1e9 < 25


class TestABrokerThatRefuses:
    @pytest.mark.fault(
        16,
        what="cancel refused, order goes back to `NEW`",
        seen='tried again a bounded number of times, then "still open"',
    )
    def test_a_cancel_that_is_refused_again_and_again_ends_as_still_open(self, world: World, desk: Client) -> None:
        world.stack.broker(*BROKER)
        # With all the patience in the world: it is the number of tries that ends it.
        world.stack.worker(KILL_PATIENCE_SECONDS="60")
        account = world.account(orders=1)
        order_id = world.open(account)[0]["id"]
        world.control.add_fault(match={"method": "DELETE"}, do={"cancel": "refuse"})
        over = world.ended(world.press(account=account), 40)
        assert (over.state, outcomes(over)) == (State.NOT_FLAT, {order_id: "still_open"})
        assert 3 <= len(world.deletes()) <= 7
        assert [order["status"] for order in world.open(account)] == ["NEW"]
        page = page_of(over, desk)
        assert "<h1>NOT FLAT" in page
        assert "still open" in page


class TestABrokerThatIsGone:
    @pytest.mark.parametrize("how", ["closed port", "silent"])
    @pytest.mark.fault(
        12,
        what="broker down; broker black-holed (accepts, never answers)",
        seen='never "canceled"; retries, alarm, words to call the broker',
    )
    def test_what_nobody_answers_is_tried_again_and_ends_as_unknown(
        self, world: World, desk: Client, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.stack.broker(*BROKER)
        whole, single = world.account(), world.account(orders=1)
        order_id = world.open(single)[0]["id"]
        nowhere = {"CLEAR_STREET_BASE_URL": "http://127.0.0.1:9"} if how == "closed port" else {}
        if nowhere:
            ask_broker_at(nowhere["CLEAR_STREET_BASE_URL"], monkeypatch)
        world.stack.worker(KILL_PATIENCE_SECONDS="2", **nowhere)
        world.control.add_fault(match={"method": "GET"}, do={"silent": True})
        world.control.add_fault(match={"method": "DELETE"}, do={"silent": True})
        kills = [world.press(account=whole), world.press(account=single, order_id=order_id)]
        for kill in kills:
            over = world.ended(kill)
            assert over.state == State.UNKNOWN
            assert set(outcomes(over).values()) <= {"unknown"}
            attempts = Entry.objects.filter(kill_id=kill.id, kind=Kind.ATTEMPT_ANSWERED)
            assert attempts.count() >= 2, "tried again"
            said = {"closed port": {"unreachable"}, "silent": {"outcome_unknown"}}[how]
            assert {entry.data["error"] for entry in attempts} == said
            page = page_of(over, desk)
            assert "<h1>UNKNOWN" in page
            assert "call the broker" in page
        assert len(world.open(whole)) == 5
        assert len(world.control.log()) < 40

    @pytest.mark.fault(12)
    def test_a_broker_that_comes_back_finds_the_kill_still_trying(self, world: World) -> None:
        world.stack.broker(*BROKER)
        account = world.account()
        world.stack.worker(KILL_PATIENCE_SECONDS="20")
        world.control.add_fault(do={"silent": True})
        kill = world.press(account=account)
        wait_for(lambda: len(world.calls()) >= 3, "some tries")
        assert set(outcomes(kill).values()) == set()
        world.control.clear_faults()
        over = world.ended(kill)
        assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})


class TestARefusedKey:
    KEY = "sk-live-4f9c2e7ab81d"

    @pytest.mark.parametrize("status", [401, 403])
    @pytest.mark.fault(18, what="401 / 403, key revoked", seen="loud, no storm, the key in no log")
    def test_a_key_that_is_refused_is_said_loudly_and_stands_nowhere(
        self, world: World, log_in: LogIn, status: int
    ) -> None:
        stack = world.stack
        stack.broker(*BROKER, api_key=self.KEY)
        account = world.account()
        worker, address = stack.worker(), stack.web()
        worker_and_watchdog = (worker, stack.watchdog())
        # The worst of brokers repeats what it was sent.
        world.control.add_fault(do={"status": status, "message": f"Bearer {self.KEY} was revoked"})
        desk = log_in(address, "desk")
        over = world.ended(world.click(desk, desk.open_form(account=account)))
        assert over.state == State.UNKNOWN
        assert "was revoked" in Sweep.objects.get().error
        # One look at each page, which asks the broker too.
        addresses = ("/", f"/accounts/{account}/", "/kills/", f"/kills/{over.id}/", f"/kills/{over.id}.json")
        pages = [desk.get(each).text for each in addresses]
        assert "<h1>UNKNOWN" in pages[3]
        assert "was revoked" in pages[3]
        assert len(world.control.log()) <= 12, "no storm"
        assert all(process.exit_code is None for process in worker_and_watchdog)
        self.stands_nowhere(world, pages)

    def stands_nowhere(self, world: World, pages: list[str]) -> None:
        entries = [str(row) for row in Entry.objects.values_list()]
        logs = world.stack.logs()
        assert {"worker", "watchdog", "web", "redis"} <= logs.keys()
        for where in (*pages, *entries, *logs.values()):
            assert self.KEY not in where
        for path in database_files(world):
            assert self.KEY.encode() not in path.read_bytes()


def database_files(world: World) -> list[Path]:
    """Return SQLite's file and those beside it; none on PostgreSQL, whose entries have been read."""
    scheme, _, name = world.stack.environment["DATABASE_URL"].partition(":///")
    if scheme != "sqlite":
        return []
    files = list(Path(name).parent.glob(f"{Path(name).name}*"))
    assert files
    return files
