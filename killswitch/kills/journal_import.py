"""Take a break-glass journal into the audit trail: once, and whole, or nothing of it.

What a journal tells is read and checked line by line before the database is touched. What its kill left open, because
the process or the machine died, is closed as unknown.
"""

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.db import DatabaseError, IntegrityError, transaction

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append

from . import journal_lines
from .journal_lines import Unreadable
from .ledger import Ledger, Lines
from .models import Kill, KilledOrder, Roster, State

ROWS = 500


class NotImported(ValueError):
    """Nothing of the journal was taken; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a journal. `is_torn` where its last line has no end."""

    name: str
    sha256: str
    lines: dict[int, dict[str, Any]]
    is_torn: bool

    @property
    def kill_id(self) -> str:
        kill = self.lines[1].get("kill")
        return str(kill.get("id")) if isinstance(kill, dict) else ""

    def about(self) -> dict[str, Any]:
        return {"name": self.name, "sha256": self.sha256, "lines": len(self.lines), "torn": self.is_torn}


@dataclass(frozen=True, kw_only=True)
class Journal:
    """A journal as it was read: the rows of its kill, and the entries in their order."""

    ledger: Ledger
    entries: list[Draft]
    parts: list[Part]
    broker: str
    count: int
    is_finished: bool


@dataclass(frozen=True, kw_only=True)
class Imported:
    kill: Kill
    is_new: bool


# --- files


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Part]:
    """Read one file, and keep it from being written meanwhile. Raises NotImported."""
    try:
        with path.open("rb") as file:
            _lock(file)
            yield _part(path.name, file.read())
    except OSError as error:
        raise NotImported(f"cannot be read: {error.strerror or error}") from None


def _lock(file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise NotImported("is still being written: wait for the kill to end") from None
    except OSError:
        pass  # a file system that knows no locks


def _part(name: str, data: bytes) -> Part:
    *whole, rest = data.split(b"\n")
    lines: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(whole, 1):
        _add(lines, line, f"line {number}")
    is_torn = False
    if rest:
        try:
            _add(lines, rest, "the last line")
        except NotImported:
            is_torn = True
    if 1 not in lines:
        raise NotImported("is not a break-glass journal: it has no first line")
    return Part(name=name, sha256=hashlib.sha256(data).hexdigest(), lines=lines, is_torn=is_torn)


def _add(lines: dict[int, dict[str, Any]], line: bytes, where: str) -> None:
    try:
        number, value = journal_lines.decode(line)
    except Unreadable as error:
        raise NotImported(f"{where} {error}") from None
    if lines.setdefault(number, value) != value:
        raise NotImported(f"{where} says something else than another line with its number")


# --- reading


def read(parts: Sequence[Part], source: str) -> Journal:
    """Put the parts of one journal together and read it. Raises NotImported."""
    lines: dict[int, dict[str, Any]] = {}
    for part in parts:
        for number, value in part.lines.items():
            if lines.setdefault(number, value) != value:
                raise NotImported(f"{part.name}: line {number} is another one than in the other file")
    missing = set(range(1, max(lines) + 1)) - lines.keys()
    if missing:
        raise NotImported(f"line {min(missing)} is missing: name every file of this journal, all at once")
    return _replay(lines, list(parts), source)


def _replay(lines: dict[int, dict[str, Any]], parts: list[Part], source: str) -> Journal:
    entries: list[Draft] = []
    try:
        number = 1
        ledger = Ledger(journal_lines.read_header(lines[1]), source)
        for number in range(2, len(lines) + 1):
            told = _read_line(lines[number], ledger)
            ledger.apply(told)
            entries += told.entries
    except Unreadable as error:
        raise NotImported(f"line {number} {error}") from None
    return Journal(
        ledger=ledger,
        entries=entries,
        parts=parts,
        broker=str(lines[1].get("broker", "")),
        count=len(lines),
        is_finished=ledger.kill.is_over,
    )


def _read_line(value: dict[str, Any], ledger: Ledger) -> Lines:
    kind, given = journal_lines.read_object(value)
    if kind == "entry":
        return Lines(entries=[journal_lines.read_entry(dict(given), ledger.kill)])
    if kind == "kill":
        return Lines(kill=journal_lines.read_kill_fields(given))
    given = dict(given)
    account_id = journal_lines.read_account(given)
    if kind == "sweep":
        if account_id not in ledger.sweeps:
            ledger.add_sweep(account_id)
        return Lines(sweeps={account_id: journal_lines.read_sweep(given)})
    if kind != "order" or account_id not in ledger.sweeps:
        raise Unreadable("is of no known kind, or of an account that was not named before")
    return Lines(orders=[journal_lines.read_order(given, ledger.sweeps[account_id])])


# --- closing what was left open


def _close(journal: Journal, now: datetime) -> list[Draft]:
    """End what has no end, as unknown. Return the entries that say so."""
    ledger, told = journal.ledger, []
    for sweep in ledger.open_sweeps():
        lines = ledger.sweep_given_up(sweep, "the journal ends before that was known", now)
        ledger.apply(lines)
        told += lines.entries
    if not ledger.kill.is_over:
        lines = _kill_unfinished(ledger, now)
        ledger.apply(lines)
        told += lines.entries
    return told


def _kill_unfinished(ledger: Ledger, now: datetime) -> Lines:
    kill = ledger.kill
    if kill.roster == Roster.PENDING or not ledger.sweeps:
        kill.roster = Roster.FAILED
        kill.roster_error = kill.roster_error or "The journal ends before the broker had said which accounts there are"
    # Also where every sweep is flat: what came after the last line is not known.
    return ledger.kill_over(now, State.UNKNOWN)


# --- writing


def take_in(journal: Journal, *, actor: Actor, now: datetime) -> Imported:
    """Write a journal into the audit trail, in one transaction. Raises NotImported."""
    closing = _close(journal, now)
    kill = journal.ledger.kill
    try:
        with transaction.atomic():
            kill.save(force_insert=True)
            _write_rows(journal.ledger)
            append([*journal.entries, *closing, _imported(journal, actor, now)])
    except IntegrityError as error:
        return _already_there(journal, error)
    except (DatabaseError, OverflowError, ValueError) as error:
        raise NotImported(f"the database does not take it: {str(error).splitlines()[0][:200]}") from None
    return Imported(kill=kill, is_new=True)


def _write_rows(ledger: Ledger) -> None:
    rows = {sweep.id: ledger.orders_of(sweep) for sweep in ledger.sweeps.values()}
    for sweep in ledger.sweeps.values():
        orders, sweep.id = rows[sweep.id], None  # type: ignore[assignment]
        sweep.save(force_insert=True)
        for row in orders:
            row.sweep = sweep
        KilledOrder.objects.bulk_create(orders, batch_size=ROWS)


def _already_there(journal: Journal, error: IntegrityError) -> Imported:
    kill = Kill.objects.filter(id=journal.ledger.kill.id).first()
    if kill is None:
        raise NotImported(f"the database does not take it: {error}") from None
    entry = Entry.objects.filter(kind=Kind.JOURNAL_IMPORTED, kill_id=kill.id).first()
    if entry is None or journal.count > entry.data["lines"]:
        raise NotImported(f"kill {kill.id} is there already, from a journal that ends earlier: this one holds more")
    if not {part.sha256 for part in journal.parts} <= {file["sha256"] for file in entry.data["files"]}:
        raise NotImported(f"kill {kill.id} is there already, from another file: this one is not the same")
    return Imported(kill=kill, is_new=False)


def _imported(journal: Journal, actor: Actor, now: datetime) -> Draft:
    kill = journal.ledger.kill
    names = ", ".join(part.name for part in journal.parts)
    told = f"{actor.name} took a break-glass journal into the audit trail: {names}, {journal.count} lines"
    if not journal.is_finished:
        torn = " Its last line is torn and was left out." if any(part.is_torn for part in journal.parts) else ""
        told += f". It ends in the middle of the kill: what it left open counts as unknown.{torn}"
    return Draft(
        kind=Kind.JOURNAL_IMPORTED,
        at=now,
        actor=actor,
        kill_id=kill.id,
        sentence=told,
        data={
            "files": [part.about() for part in journal.parts],
            "lines": journal.count,
            "broker": journal.broker,
            "finished": journal.is_finished,
        },
    )
