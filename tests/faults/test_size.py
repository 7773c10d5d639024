"""A kill of the largest size that it is built for."""

import time
from pathlib import Path

import pytest
from django.test import Client

from killswitch.kills.models import State
from killswitch.kills.queries import outcomes_of
from tests.conftest import wait_for

from .conftest import World

FIRST = 19816
ORDERS = 100_000
# The list alone, as text, is 60 MB; as decoded orders it is kept once.
MEMORY = 1024 * 1024 * 1024


def most_memory_of(pid: int) -> int | None:
    """Return the most memory that a process ever had, in bytes; None where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.fault(25, what="100,000 open orders", seen="mass cancel goes first; memory bounded; progress moves")
def test_a_hundred_thousand_orders_go_with_one_mass_cancel_and_the_page_moves(world: World, desk: Client) -> None:
    world.stack.broker("--accounts", "1", "--orders", str(ORDERS), "--ended", "0", "--cancel-ms", "3000")
    world.stack.redis()
    # Patient: a machine that is busy with other tests takes its time.
    seconds = {"CLEAR_STREET_TIMEOUT": "60", "KILL_PATIENCE": "60", "KILL_STUCK": "60", "KILL_LIMIT": "600"}
    worker = world.stack.worker(**{f"{name}_SECONDS": value for name, value in seconds.items()})
    kill = world.press(account=FIRST)
    progress: list[dict[str, int]] = []

    def is_over() -> bool:
        """Look at the numbers that the page shows, and keep those that are new."""
        time.sleep(0.5)  # counting 100,000 rows all the time would take a processor from the worker
        seen = outcomes_of(kill.id)
        if not progress or seen != progress[-1]:
            progress.append(seen)
        kill.refresh_from_db()
        return kill.is_over

    wait_for(is_over, "the kill to end", 500)
    assert kill.state == State.FLAT
    assert progress[-1] == {"canceled": ORDERS}
    assert len(progress) > 10, "it moves"
    assert [world.calls()[0], len(world.deletes())] == ["cancel_all", 1]
    memory = most_memory_of(worker.pid)
    assert memory is None or memory < MEMORY
    assert "100,000" in desk.get(f"/kills/{kill.id}/").content.decode()
