"""Many processes that append to one audit trail at once: `python -m tests.faults.appender 20 25 5`.

Takes how many processes, how many appends each, and how many of the processes die in the middle of their last one.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import sys
from multiprocessing.synchronize import Barrier

import django
from django.db import connections, transaction
from django.utils import timezone

LARGEST = 8  # entries in one append
TOGETHER = 5  # appends from one meeting to the next


def work(number: int, appends: int, dies: bool, together: Barrier) -> None:
    # Only now, in the child: Django's models may not be loaded before `django.setup`.
    from killswitch.audit.operations import Actor, Draft, append

    chance = random.Random(number)
    for turn in range(1, appends + 1):
        if turn % TOGETHER == 1:
            together.wait()  # SQLite would let one of them through to its end before the next
        size = chance.randint(1, LARGEST)
        drafts = [
            Draft(
                kind="access.denied",
                at=timezone.now(),
                sentence=f"{number}:{turn}:{part}",
                actor=Actor(name=f"writer {number}"),
                data={"of": size, "last": turn == appends},
            )
            for part in range(size)
        ]
        # Half of them as a log-in does, without a transaction of their own.
        with transaction.atomic() if number % 2 or dies else contextlib.nullcontext():
            append(drafts)
            if dies and turn == appends:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    processes, appends, dying = map(int, sys.argv[1:])
    django.setup()
    connections.close_all()
    context = multiprocessing.get_context("fork")
    together = context.Barrier(processes)
    children = [
        context.Process(target=work, args=(number, appends, number < dying, together)) for number in range(processes)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    codes = [child.exitcode for child in children]
    assert codes == [-signal.SIGKILL] * dying + [0] * (processes - dying), codes
    print("appended", flush=True)


if __name__ == "__main__":
    main()
