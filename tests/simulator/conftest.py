"""One simulator for the whole folder; each test gets an account of its own in it."""

from collections.abc import Callable, Iterator

import pytest

from killswitch.simulator.process import Control, SimulatorProcess

from .document import Document
from .wire import Wire

CANCEL_MS = 150
FIRST = 19816


@pytest.fixture(scope="session")
def shared() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--accounts", "4", "--orders", "24", "--cancel-ms", str(CANCEL_MS)) as process:
        yield process


@pytest.fixture
def simulator(shared: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The shared simulator, without faults and with an empty log."""
    shared.control.clear_log()
    yield shared
    shared.control.clear_faults()
    shared.control.flow()


@pytest.fixture
def control(simulator: SimulatorProcess) -> Control:
    return simulator.control


@pytest.fixture
def wire(simulator: SimulatorProcess) -> Wire:
    return Wire(simulator)


@pytest.fixture
def account(control: Control) -> int:
    """An account without orders."""
    [made] = control.add_accounts(1)
    return int(made["id"])


@pytest.fixture
def start() -> Iterator[Callable[..., SimulatorProcess]]:
    """Start a simulator of one's own."""
    started: list[SimulatorProcess] = []

    def start(*arguments: str) -> SimulatorProcess:
        process = SimulatorProcess(*arguments)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def document() -> Document:
    return Document.load()
