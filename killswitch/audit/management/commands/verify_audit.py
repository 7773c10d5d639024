import argparse
import json
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from killswitch.audit import verification, verify_export
from killswitch.audit.ahead import useful_readers
from killswitch.audit.models import Verification
from killswitch.audit.operations import Actor
from killswitch.audit.verify_export import DOES_NOT_HOLD, HOLDS, NOT_CHECKED, CannotCheck

BAR = 30


class Command(BaseCommand):
    help = (
        "Verify the audit trail in the database, and write what came of it as an entry. "
        "Ends with 0: it holds, 1: it does not hold, 2: it could not be checked to the end."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from", dest="first", type=_number, help="begin with entry N, not with the first", metavar="N"
        )
        parser.add_argument("--to", dest="last", type=_number, help="end with entry N, not with the last", metavar="N")
        parser.add_argument("--anchors", metavar="FILE", help="anchors that were kept elsewhere, one a line")
        parser.add_argument(
            "--public-key", metavar="FILE", action="append", default=[], help="key of the anchors, kept elsewhere (PEM)"
        )
        parser.add_argument("--resume", action="store_true", help="go on with the last one that was stopped")
        parser.add_argument(
            "--readers",
            type=_number,
            default=useful_readers(),
            help="processes that read (default: %(default)s, as many as this machine has a use for)",
            metavar="N",
        )
        parser.add_argument("--json", action="store_true", help="answer in JSON, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = self._verify(**options)
        except CannotCheck as error:
            self._refuse(str(error))
        except DatabaseError as error:
            self._refuse(f"the database does not answer, or is not this product's: {str(error).splitlines()[0][:200]}")
        if done.state == Verification.State.STOPPED:
            self._refuse(f"stopped before entry {done.next:,}. Go on from there with: manage.py verify_audit --resume")
        finding = done.finding or {}
        if done.state == Verification.State.FAILED:
            self._refuse(finding["error"])
        self.stdout.write(json.dumps(finding, indent=2) if options["json"] else verify_export.text_of_json(finding))
        sys.exit(HOLDS if done.state == Verification.State.HOLDS else DOES_NOT_HOLD)

    def _verify(
        self,
        *,
        first: int | None,
        last: int | None,
        resume: bool,
        anchors: str | None,
        readers: int,
        **options: Any,
    ) -> Verification:
        """Raises CannotCheck."""
        evidence = verification.Evidence(
            keys=[key for name in options["public_key"] for key in verify_export.public_keys_of_file(name)],
            anchors=verify_export.anchors_of_file(anchors) if anchors else (),
        )
        if resume and (first or last):
            raise CannotCheck("--resume goes on with the range that was asked for: leave out --from and --to.")
        with _interruptible() as is_ending, _Bar(sys.stderr) as bar:
            if not resume:
                return verification.carry_out_now(
                    actor=_actor(),
                    first=first or 1,
                    last=last,
                    evidence=evidence,
                    is_ending=is_ending,
                    progress=bar.show,
                    readers=readers,
                )
            done = verification.resume(evidence=evidence, is_ending=is_ending, progress=bar.show, readers=readers)
        if done is None:
            raise CannotCheck("There is none that was stopped and could go on.")
        return done

    def _refuse(self, why: str) -> None:
        self.stderr.write(f"COULD NOT BE CHECKED: {why}")
        sys.exit(NOT_CHECKED)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1 on")
    return int(text)


def _actor() -> Actor:
    """Name the operating system's user, not from the environment, where everybody may write what they like."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    return Actor(name=name, source=f"verify_audit {socket.gethostname()} {os.getpid()}")


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yield whether Ctrl-C was pressed, or the process was told to end: what was checked must not be lost."""
    told: list[int] = []
    before = {number: signal.signal(number, lambda number, _: told.append(number)) for number in _SIGNALS}
    try:
        yield lambda: bool(told)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Bar:
    """How far it is, on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun: tuple[float, int] | None = None

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._begun:
            self._stream.write("\n")

    def show(self, row: Verification) -> None:
        if not self._stream.isatty():
            return
        now, whole = time.monotonic(), max(1, (row.last or 0) - row.first + 1)
        begun, had = self._begun = self._begun or (now, row.checked)
        rate = (row.checked - had) / (now - begun) if now > begun else 0.0
        part = min(1.0, row.checked / whole)
        left = f"{(whole - row.checked) / rate:,.0f} s left" if rate else ""
        bar = "#" * int(part * BAR)
        self._stream.write(
            f"\r[{bar:<{BAR}}] {part:4.0%}  {row.checked:,} of {whole:,} entries  {rate:,.0f}/s  {left:<12}"
        )
        self._stream.flush()
