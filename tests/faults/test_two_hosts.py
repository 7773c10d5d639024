"""A worker and a watchdog on each of two hosts; one of them is cut off from everything in the middle of a kill."""

import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import pytest

from killswitch.audit.models import Entry, Kind
from killswitch.demo import redis_server
from killswitch.health.models import Heartbeat
from killswitch.kills.models import Kill, State
from tests.conftest import ROOT, wait_for

from .conftest import World, outcomes
from .hosts import Host, Network, own_network
from .postgresql import PostgreSQL, as_the_database, free_port, own_server
from .stack import Process, Stack

ACCOUNTS, ORDERS = 50, 20
TAKEN_OVER_WITHIN = 25  # seconds: a lease lasts 10


@pytest.fixture
def network() -> Iterator[Network]:
    with own_network() as made:
        yield made


@pytest.fixture
def server(network: Network) -> Iterator[PostgreSQL]:
    with own_server(network.here) as made:
        yield made


@pytest.fixture
def stack(transactional_db: None, network: Network, server: PostgreSQL) -> Iterator[Stack]:
    redis_port = free_port(network.here)
    made = Stack(
        server.url_at(network.here),
        REDIS_URL=f"redis://:the-queue@{network.here}:{redis_port}/0",
        # Nobody may end it as not flat before the other host has it.
        KILL_PATIENCE_SECONDS="60",
        KILL_STUCK_SECONDS="60",
    )
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=ROOT, env=made.environment, check=True)
    options = ["--bind", network.here, "--port", str(redis_port), "--requirepass", "the-queue"]
    made.start("redis", [redis_server.find_server(), *options, "--dir", str(made.folder), "--appendonly", "yes"])
    wait_for(lambda: listens(network.here, redis_port), "Redis")
    with as_the_database(server.url):
        yield made
    made.end()


def listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


@pytest.fixture
def processes(network: Network, world: World) -> dict[str, list[Process]]:
    """A worker and a watchdog on each host, by its name."""
    world.stack.broker("--accounts", "0", "--cancel-ms", "50", host=network.here)
    started: dict[str, list[Process]] = {}
    for host in network.hosts:
        world.stack.enter = host.enter
        started[host.name] = [world.stack.worker(f"worker-{host.name}"), world.stack.watchdog(f"watchdog-{host.name}")]
    world.stack.enter = []
    return started


def who_sends(network: Network, kill: Kill) -> tuple[Host, Host]:
    """Return the host that carries the kill out, and the other one."""
    sources = Entry.objects.filter(kill_id=kill.id, kind=Kind.ATTEMPT_ANNOUNCED).values_list("source", flat=True)
    names = {source.split()[1] for source in sources}
    assert len(names) == 1, f"both sent: {names}"
    busy, idle = sorted(network.hosts, key=lambda host: host.name not in names)
    return busy, idle


def announced_by(kill: Kill, host: Host) -> list[Entry]:
    entries = Entry.objects.filter(kill_id=kill.id, kind=Kind.ATTEMPT_ANNOUNCED).order_by("id")
    return [entry for entry in entries if entry.source.split()[1] == host.name]


@pytest.mark.fault(
    35,
    what="a host with a worker and a watchdog is cut off in the middle of a kill, from PostgreSQL, Redis and broker",
    seen="the other host takes over when the leases run out; the first one sends nothing more, and is of use again "
    "when it is back",
)
def test_a_host_that_is_cut_off_is_replaced_and_does_no_harm_when_it_is_back(
    world: World, network: Network, processes: dict[str, list[Process]]
) -> None:
    accounts = [world.account(orders=ORDERS) for _ in range(ACCOUNTS)]
    # Order by order, and the broker takes its time: there is a middle to cut off in.
    world.control.add_fault(match={"call": "cancel_one"}, do={"delay_ms": 700})
    kill = world.press(account=accounts, status="NEW")
    wait_for(lambda: len(world.deletes()) >= 100, "the kill to be in its middle")
    busy, idle = who_sends(network, kill)
    busy.cut_off()
    cut_off = time.monotonic()
    before = len(world.deletes())
    assert 0 < before < ACCOUNTS * ORDERS, "it is not the middle"
    world.control.clear_faults()

    over = world.ended(kill, TAKEN_OVER_WITHIN)
    print(f"{before} of {ACCOUNTS * ORDERS} cancels had left; flat {time.monotonic() - cut_off:.1f} s after the cut")
    assert (over.state, Counter(outcomes(over).values())) == (State.FLAT, {"canceled": ACCOUNTS * ORDERS})
    taken_over = Entry.objects.filter(kill_id=kill.id, kind=Kind.SWEEP_TAKEN_OVER)
    assert taken_over.exists()
    assert {entry.source.split()[1] for entry in taken_over} == {idle.name}
    took = {entry.account_id: entry.at for entry in taken_over}
    assert all(entry.at < took[entry.account_id] for entry in announced_by(kill, busy)), "announced without the lease"

    last = Entry.objects.latest("id").id
    busy.mend()
    mended = datetime.now().astimezone()
    heard_of(busy)
    assert [process.exit_code for process in processes[busy.name]] == [None, None], "it outlived the cut"

    # It is of use again: with the other host cut off, it is the only one.
    idle.cut_off()
    account = world.account(orders=2)
    again = world.ended(world.press(account=account), TAKEN_OVER_WITHIN)
    assert again.state == State.FLAT
    assert {entry.source.split()[1] for entry in announced_by(again, busy)} == {busy.name}
    idle.mend()

    # All that it still had to say of the first kill is what became of its own requests.
    late = Entry.objects.filter(kill_id=kill.id, id__gt=last)
    assert {entry.kind for entry in late} <= {Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED}
    sent = [request for request in world.deletes() if datetime.fromisoformat(request["at"]) > mended]
    assert {(request["asked_from"], request["account_id"]) for request in sent} == {(busy.address, account)}
    verify = [sys.executable, "manage.py", "verify_audit"]
    verified = subprocess.run(verify, cwd=ROOT, env=world.stack.environment, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def heard_of(host: Host) -> None:
    """Wait until the watchdog of a host gives a sign of life again."""

    def signs() -> list[datetime]:
        seen = Heartbeat.objects.filter(who=Heartbeat.Who.WATCHDOG, where=host.name)
        return list(seen.values_list("seen_at", flat=True))

    before = signs()  # none, if it was cut off before its first
    wait_for(lambda: signs() not in ([], before), f"the watchdog of host {host.name}", 30)
