"""Whoever carries a kill out may die, be stopped or be two: somebody finishes it, and never two at once."""

import time
from collections.abc import Iterator

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill, State
from tests.conftest import wait_for

from .conftest import World, outcomes
from .stack import Process


@pytest.fixture(autouse=True)
def _broker(world: World) -> Iterator[None]:
    world.stack.broker("--accounts", "0", "--cancel-ms", "50")
    world.stack.redis()
    yield


def killed_at_the_delete(world: World, worker: Process, account: int) -> None:
    """Have the broker kill the worker once the DELETE has taken effect, before any answer."""
    do = {"kill_pid": worker.pid, "drop": "after"}
    world.control.add_fault(match={"method": "DELETE", "account_id": account}, do=do, times=1)


@pytest.mark.fault(
    5,
    what="worker SIGKILLed after the DELETE, before the record of its answer",
    seen="order is looked up, one recovered outcome",
)
def test_a_cancel_whose_sender_died_is_looked_up_and_not_sent_again(world: World) -> None:
    whole, single = world.account(orders=3), world.account(orders=1)
    order_id = world.open(single)[0]["id"]
    worker = world.stack.worker()
    killed_at_the_delete(world, worker, single)
    world.stack.watchdog()
    kills = [world.press(account=single, order_id=order_id)]
    wait_for(lambda: worker.exit_code is not None, "the worker to die")
    died = time.monotonic()
    # Another one in the meantime, which the watchdog runs from its beginning.
    kills.append(world.press(account=whole))
    recovered, other = (world.ended(kill, 30) for kill in kills)
    assert time.monotonic() - died < 25
    assert (recovered.state, outcomes(recovered)) == (State.FLAT, {order_id: "canceled"})
    assert other.state == State.FLAT
    calls = [r["call"] for r in world.control.log() if r["account_id"] == single]
    assert calls[:2] == ["cancel_one", "list_orders"]
    assert calls.count("cancel_one") == 1
    ends = Entry.objects.filter(kill_id=recovered.id, kind=Kind.ORDER_ENDED, order_id=order_id)
    assert ends.count() == 1
    assert Entry.objects.filter(kill_id=recovered.id, kind=Kind.ATTEMPT_UNANSWERED).count() == 1


@pytest.mark.fault(6, what="whole worker SIGKILLed", seen="recovery by lease, in seconds, not by visibility timeout")
def test_a_worker_that_is_killed_with_a_message_in_its_hands_is_replaced_within_seconds(world: World) -> None:
    accounts = [world.account(orders=2) for _ in range(10)]
    worker = world.stack.worker()
    world.control.add_fault(match={"call": "list_orders"}, do={"delay_ms": 600})
    kill = world.press(account=accounts)
    wait_for(lambda: len(world.deletes()) == 10, "the DELETEs")
    worker.kill()
    died = time.monotonic()
    world.control.clear_faults()
    world.stack.watchdog()
    over = world.ended(kill, 30)
    # The queue gives the message back after an hour; a lease lasts 10 s.
    assert time.monotonic() - died < 25
    assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
    taken_over = Entry.objects.filter(kind=Kind.SWEEP_TAKEN_OVER)
    assert taken_over.count() == 10
    assert all(entry.source.startswith("watchdog ") for entry in taken_over), "the record says who it was"
    assert all(world.open(account) == [] for account in accounts)


@pytest.mark.fault(4)
def test_a_worker_that_was_frozen_in_the_middle_sends_nothing_once_it_has_lost_its_lease(world: World) -> None:
    account = world.account(orders=2)
    world.order(account, side="SELL")
    # What the mass cancel passes over is in the list, which the worker gets when it is too late.
    world.control.add_fault(match={"call": "cancel_all"}, do={"spare": ["SELL"]})
    world.control.add_fault(match={"call": "list_orders"}, do={"delay_ms": 500}, times=1)
    worker = world.stack.worker(CLEAR_STREET_TIMEOUT_SECONDS="60")
    kill = world.press(account=account)
    wait_for(lambda: "list_orders" in world.calls(), "the list")
    worker.freeze()
    world.stack.watchdog()
    assert world.ended(kill, 30).state == State.FLAT
    sent = len(world.deletes())
    worker.thaw()
    wait_for(lambda: f"the lease of account {account} is lost" in worker.said, "the worker to notice")
    assert len(world.deletes()) == sent
    assert Entry.objects.filter(kind=Kind.SWEEP_TAKEN_OVER).count() == 1


@pytest.mark.fault(27, what="two watchdogs", seen="one owner per sweep")
def test_two_watchdogs_share_a_kill_and_send_nothing_twice(world: World) -> None:
    accounts = [world.account(orders=2) for _ in range(10)]
    for name in ("one", "two"):
        world.stack.watchdog(name)
    kills = [world.press(account=accounts), world.press(account=accounts[:5]), world.press(account=accounts[5:])]
    for kill in kills:
        assert world.ended(kill).state == State.FLAT
        announced = Entry.objects.filter(kill_id=kill.id, kind=Kind.ATTEMPT_ANNOUNCED)
        assert announced.count() == kill.sweeps.count(), "one announcement per account"
    assert len(world.deletes()) == 20
    assert not Entry.objects.filter(kind=Kind.SWEEP_TAKEN_OVER).exists()


class TestADeploy:
    """SIGTERM in the middle of a kill. The order stays pending until the test lets it go, so nobody can just finish."""

    @pytest.fixture
    def patient(self) -> dict[str, str]:
        return {"KILL_PATIENCE_SECONDS": "60", "KILL_STUCK_SECONDS": "60"}

    def let_go(self, world: World, account: int) -> None:
        for order in world.open(account):
            world.control.set_order(order["id"], status="CANCELED", leaves_quantity="0")

    def under_way(self, world: World) -> tuple[Kill, int]:
        account = world.account(orders=2)
        world.control.add_fault(match={"method": "DELETE"}, do={"cancel": "stuck"})
        kill = world.press(account=account)
        wait_for(lambda: world.calls().count("list_orders") >= 2, "the kill to be under way")
        return kill, account

    @pytest.mark.parametrize(("first", "then"), [("worker", "worker"), ("worker", "watchdog"), ("watchdog", "worker")])
    @pytest.mark.fault(
        31, what="SIGTERM in the middle of a kill (a deploy)", seen="drained or taken up again, within seconds"
    )
    def test_whoever_is_ended_hands_the_kill_over(
        self, world: World, patient: dict[str, str], first: str, then: str
    ) -> None:
        start = {"worker": world.stack.worker, "watchdog": world.stack.watchdog}
        ended = start[first](f"old-{first}", **patient)
        kill, account = self.under_way(world)
        start[then](f"new-{then}", **patient)
        asked = time.monotonic()
        ended.terminate()
        wait_for(lambda: ended.exit_code is not None, "the process to end", 10)
        listed = world.calls().count("list_orders")
        wait_for(lambda: world.calls().count("list_orders") > listed, "somebody to go on", 10)
        assert time.monotonic() - asked < 8, "sooner than the lease would have run out"
        self.let_go(world, account)
        over = world.ended(kill)
        assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
        assert len(world.deletes()) == 1, "a cancel that is pending is not sent again"
        assert Entry.objects.filter(kind="sweep.handed_over").count() == 1
