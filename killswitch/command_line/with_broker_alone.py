"""`manage.py kill --break-glass`: carried out here, with the broker and a journal and nothing else."""

import concurrent.futures
import json
import os
import shlex
import sys
from functools import partial

from django.conf import settings
from django.utils import timezone

from killswitch import broker
from killswitch.audit.person import actor
from killswitch.kills import journal_lines
from killswitch.kills.break_glass import BreakGlass, new_kill
from killswitch.kills.decision import Decision
from killswitch.kills.journal import File, Journal, NoRecord, Stream, paths
from killswitch.kills.models import Kill
from killswitch.kills.queries import rows_as_json
from killswitch.kills.standing import standing_of_rows

from . import words
from .exits import UNKNOWN, exit_status
from .interrupts import Interrupts
from .refusal import Refused
from .screen import Screen, leave_quietly

LOOK_EVERY = 0.2  # seconds


def kill(decision: Decision, *, journal: str | None, as_json_too: bool) -> int:
    """Carry a kill out and follow it. Raises Refused where nothing takes a record, and so nothing was sent."""
    screen = Screen(sys.stderr if as_json_too else sys.stdout)
    screen.take_the_log()
    me, now = actor("break-glass"), timezone.now()
    new = new_kill(decision, me, now)
    with Interrupts().caught() as interrupts:
        written = _journal(new, journal, screen)
        _open(written)
        glass = BreakGlass(new, list(decision.account_ids), me, written)
        screen.say(words.opening(new))
        status = Process(glass, screen, interrupts).follow()
        _tell_journal(written, screen)
        if as_json_too:
            Screen(sys.stdout).say(json.dumps(_as_json(glass), indent=2))
        broker.close()
        if written.hangs:
            _leave_at_once(status)
    return status


def _journal(new: Kill, chosen: str | None, screen: Screen) -> Journal:
    header = journal_lines.header(new, broker=settings.CLEAR_STREET_BASE_URL)
    files = [partial(File, path) for path in paths(new.id, new.engaged_at, chosen)]
    last_resort = Screen(sys.stderr) if screen.stream is not sys.stderr else screen
    return Journal(header, [*files, partial(Stream, last_resort.record)], screen.say)


def _open(written: Journal) -> None:
    try:
        broker.run(written.open())
    except NoRecord:
        raise Refused(
            "there is no place for a record: neither a file nor standard error can be written",
            what_to_do="Make room, or call the broker's desk",
        ) from None


def _tell_journal(written: Journal, screen: Screen) -> None:
    files = [name for name in written.names if name != Stream.name]
    if Stream.name in written.names:
        screen.say('A PART OF THE RECORD STANDS IN NO FILE: keep the lines that begin with {"n": from standard error')
    if files:
        screen.say(
            f"Journal: {', '.join(files)}\n  Into the audit trail: python manage.py import_journal {shlex.join(files)}"
        )


def _as_json(glass: BreakGlass) -> dict[str, object]:
    ledger = glass.ledger
    sweeps = sorted(ledger.sweeps.values(), key=lambda sweep: sweep.account_id)
    return rows_as_json(ledger.kill, sweeps, ledger.orders())


def _leave_at_once(status: int) -> None:
    """Do not wait for a thread that hangs on a disk."""
    leave_quietly(sys.stdout, sys.stderr)
    os._exit(status)


class Process:
    """Shows one break-glass kill, and hears Ctrl-C."""

    def __init__(self, glass: BreakGlass, screen: Screen, interrupts: Interrupts) -> None:
        self._glass = glass
        self._kill = glass.ledger.kill
        self._screen = screen
        self._interrupts = interrupts
        self._heard = 0

    def follow(self) -> int:
        """Carry it out, show it, and return the exit status. Raises Refused where not even its beginning is kept."""
        future = broker.start(self._glass.run())
        while not concurrent.futures.wait([future], timeout=0).done:
            self._show()
            if self._interrupts.wait(LOOK_EVERY, self._heard):
                self._hear()
        return self._tell_end(future.exception())

    def _show(self) -> None:
        ledger = self._glass.ledger
        standing = standing_of_rows(self._kill, list(ledger.sweeps.values()), ledger.orders())
        self._screen.progress(words.progress(standing), words.clock(standing.seconds))

    def _tell_end(self, error: BaseException | None) -> int:
        if isinstance(error, NoRecord):
            raise Refused(str(error)) from None
        self._show()
        if error is not None:
            self._screen.say(f"UNKNOWN: an unexpected error ended it: {type(error).__name__}: {error}")
            return UNKNOWN
        ledger = self._glass.ledger
        sweeps = sorted(ledger.sweeps.values(), key=lambda sweep: sweep.account_id)
        for line in words.summary(self._kill, sweeps, ledger.orders(), touched=bool(ledger.orders())):
            self._screen.say(line)
        return exit_status(self._kill.state)

    # --- Ctrl-C

    def _hear(self) -> None:
        """Let a latched kill go at the first ask; end at the second; do not even wait at the third."""
        while self._heard < self._interrupts.count:
            self._heard += 1
            if self._heard == 1:
                self._first()
            elif self._heard == 2:
                self._screen.say("Ending: what is on its way is written down, nothing more is sent")
                broker.start(self._glass.stop())
            else:
                leave_quietly(sys.stdout, sys.stderr)
                os._exit(UNKNOWN)

    def _first(self) -> None:
        if self._kill.is_held:
            self._screen.say("Released: it ends as soon as every account is quiet. Once more ends it at once")
            broker.start(self._glass.release(self._interrupts.name))
        else:
            self._screen.say("The kill goes on: nobody else would finish it. Once more ends it at once")
