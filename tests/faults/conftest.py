import uuid
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import Celery
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from killswitch.access.roles import RISK_DESK, give_role
from killswitch.audit.operations import Actor
from killswitch.kills import operations
from killswitch.kills.decision import read_decision
from killswitch.kills.models import Kill
from killswitch.kills.operations import engage
from killswitch.simulator.process import Control, SimulatorProcess
from tests.conftest import database_url, unrecorded, wait_for
from tests.kills.agreement import Clock, deletes, open_orders, wall_clock

from .four import Trail, check_four
from .person import Person, kill_of
from .stack import Stack

LONGEST = "test_a_hundred_thousand_orders_go_with_one_mass_cancel_and_the_page_moves"
LogIn = Callable[[str, str], Person]


class World:
    """One fault test: what runs, what was pressed, and what must hold of it in the end."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.trail = Trail()
        self.pressed: list[uuid.UUID] = []
        self.clock: Clock = wall_clock
        self.people: list[Person] = []

    # --- the broker

    @property
    def simulator(self) -> SimulatorProcess:
        return self.stack.simulator

    @property
    def control(self) -> Control:
        return self.stack.control

    def account(self, orders: int = 5, **fields: Any) -> int:
        """Add an account with so many fresh orders, and return its number."""
        number: int = self.control.add_accounts(1)[0]["id"]
        for _ in range(orders):
            self.order(number, **fields)
        return number

    def order(self, account_id: int, **fields: Any) -> dict[str, Any]:
        return self.control.add_orders(account_id, order={"status": "NEW", "quantity": "100", **fields})[0]

    def open(self, account_id: int) -> list[dict[str, Any]]:
        return open_orders(self.simulator, account_id)

    def deletes(self) -> list[dict[str, Any]]:
        return deletes(self.simulator)

    def calls(self) -> list[str]:
        return [request["call"] for request in self.control.log()]

    # --- the product

    def press(self, *, known: list[int] | None = None, **values: Any) -> Kill:
        """Engage a kill as the page does."""
        lists = {
            name: [str(item) for item in value] if isinstance(value, list) else [str(value)]
            for name, value in values.items()
        }
        kill = engage(
            decision=read_decision(lists),
            known_account_ids=known or [],
            actor=Actor(id=1, name="desk", source="test"),
            now=timezone.now(),
        )
        self.pressed.append(kill.id)
        self.trail.read()
        return kill

    def click(self, person: Person, form: dict[str, str]) -> uuid.UUID:
        """Press the button of a form on the web; the kill is the one that the answer leads to."""
        kill_id = kill_of(person.send(form))
        self.pressed.append(kill_id)
        return kill_id

    def ended(self, kill: Kill | uuid.UUID, seconds: float = 20) -> Kill:
        """Wait until a kill is over and return it as it is then."""
        kill_id = kill.id if isinstance(kill, Kill) else kill

        def look() -> Kill | None:
            found = Kill.objects.get(id=kill_id)
            return found if found.is_over else None

        over: Kill = wait_for(look, "the kill to end", seconds)
        self.trail.read()
        return over

    def check(self) -> None:
        check_four(self.stack, self.pressed, self.trail, self.clock)


def outcomes(kill: Kill) -> dict[str, str]:
    """Return what became of each order of a kill."""
    return {row.order_id: row.outcome for sweep in kill.sweeps.all() for row in sweep.orders.all()}


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls from as many threads and return what each gave."""

    def make(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result(60) for future in [threads.submit(make, call) for call in calls]]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: where several run at a time it would otherwise come last, and alone."""
    items.sort(key=lambda item: item.name != LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Check the four things at the end of every fault test: none can forget them."""
    result = yield
    if item.get_closest_marker("fault"):
        item.funcargs["world"].check()  # type: ignore[attr-defined]
    return result


@pytest.fixture
def stack(transactional_db: None) -> Iterator[Stack]:
    """The product on the tests' database, with nothing started yet. A module may start one for all of its tests."""
    made = Stack(database_url())
    yield made
    made.end()


@pytest.fixture
def world(transactional_db: None, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(stack)
    if stack.has_broker:
        stack.control.clear_faults()
        stack.control.clear_log()
    bell = Celery("bell", broker=stack.environment["REDIS_URL"].replace("unix://", "redis+socket://", 1))
    bell.conf.update(broker_transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS, task_ignore_result=True)
    # A press in this process rings at the stack's own Redis.
    monkeypatch.setattr(operations, "app", bell)
    yield made
    bell.close()
    for person in made.people:
        person.close()


@pytest.fixture
def log_in(world: World) -> LogIn:
    """Log somebody of the risk desk in: `log_in(address, "desk")`."""

    def log_in(address: str, name: str) -> Person:
        world.people.append(Person(address, risk_desk(name)))
        return world.people[-1]

    return log_in


@pytest.fixture
def desk(transactional_db: None) -> Client:
    """Somebody of the risk desk at the pages as they are made in this process."""
    client = Client()
    client.force_login(risk_desk("desk"))
    return client


def risk_desk(name: str) -> User:
    with unrecorded():
        user, _ = User.objects.get_or_create(username=name)
        give_role(user, RISK_DESK)
    return user
