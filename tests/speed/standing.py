"""What it costs to stand by: nobody presses, and every process does what it does all day."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .firm import Broker, firm
from .row import Row

SECONDS = 60.0
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
TICKS = os.sysconf("SC_CLK_TCK")
# Of /proc/PID/stat, behind the name.
SESSION, USER, SYSTEM, RESIDENT = 3, 11, 12, 21


@dataclass(frozen=True)
class Use:
    cpu: float  # seconds
    memory: float  # MB, what processes share counted in each


def standing(database: str) -> Iterator[Row]:
    """Let the product stand by for a minute, with 20 accounts and nobody logged in."""
    with firm(database, Broker(accounts=20, orders=20)) as running:
        running.accounts()
        processes = {process.log.stem: process.pid for process in running.stack.processes}
        time.sleep(SECONDS)  # what a start costs is over by then
        before = {name: use_of(pid) for name, pid in processes.items()}
        running.control.clear_log()
        began = time.monotonic()
        time.sleep(SECONDS)
        took = time.monotonic() - began
        asked = len(running.control.log())
        after = {name: use_of(pid) for name, pid in processes.items()}
    for name, use in after.items():
        share = (use.cpu - before[name].cpu) / took
        yield Row(f"standing by, {name}: CPU", share * 1000, "", 0, "", True, "ms/s")
        yield Row(f"standing by, {name}: memory", use.memory, "", 0, "", True, "MB")
    yield Row("standing by: requests to the broker, 20 accounts", asked / took * 60, "", 0, "", True, "/min")


def use_of(session: int) -> Use:
    """Add up what all processes of a session have used. Reads /proc, so it needs Linux."""
    cpu = memory = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if int(told[SESSION]) == session:
            cpu += (int(told[USER]) + int(told[SYSTEM])) / TICKS
            memory += int(told[RESIDENT]) * PAGE_MB
    return Use(cpu, memory)
