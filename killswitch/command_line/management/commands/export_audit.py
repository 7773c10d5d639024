import os
import sys
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError
from django.utils import timezone

from killswitch.audit.exports import FORMS, begin
from killswitch.audit.names import kills_beginning
from killswitch.audit.person import actor
from killswitch.audit.search import WORDS, Search, moment

TEXTS = ("text", "actor_name", "symbol", "order_id", "client_order_id", "request_id", "kind", "outcome")
OPTIONS = {"text": "--find", "actor_name": "--person", "account_id": "--account", "order_id": "--order"}
OPTIONS |= {"client_order_id": "--client-order", "request_id": "--request", "kill_id": "--kill"}
OPTIONS |= {"attempt_id": "--attempt", "symbol": "--symbol", "kind": "--kind", "outcome": "--outcome"}


class Command(BaseCommand):
    help = (
        "Write a search of the audit trail to the standard output, as the page does; without a search all of it. "
        "That it was taken is an entry. Example: manage.py export_audit --format jsonl --since 2026-11-21 > trail.jsonl"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=list(FORMS), required=True)
        parser.add_argument("--since", help="a day or a time, UTC: 2026-11-21 or 2026-11-21T14:30:00")
        parser.add_argument("--until", help="the same; a day is the whole day")
        parser.add_argument("--account", type=int, dest="account_id")
        for name in TEXTS:
            parser.add_argument(OPTIONS[name], dest=name, default="", help=WORDS[name])
        parser.add_argument("--replacements", action="store_true", help="with --order: what replaced it, too")
        parser.add_argument("--kill", dest="kill_id", help="its id, or the first digits")
        parser.add_argument("--attempt", type=uuid.UUID, dest="attempt_id")
        parser.add_argument("--provable", action="store_true", help="JSON Lines: show the place of each in the chain")

    def handle(self, *args: Any, **options: Any) -> None:
        form = FORMS[options["format"]]
        if form.missing:
            raise CommandError(f"{form.words} is not installed here: pip install {form.missing}")
        if sys.stdout.isatty():
            raise CommandError("this is a terminal: write it to a file (> trail.jsonl)")
        search = self._search(options)
        try:
            export = begin(search, form, provable=options["provable"], actor=actor("export_audit"), now=timezone.now())
        except ValueError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"the database cannot be used: {str(error).splitlines()[0]}") from None
        self._write(export.pieces())
        self.stderr.write(f"Entries {export.first} to {export.last}" if export.last else "No entry matches")

    def _write(self, pieces: Any) -> None:
        try:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read it has gone; the interpreter must not try again at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise CommandError("the output was closed: what was written is not whole") from None

    def _search(self, options: dict[str, Any]) -> Search:
        given = {name: options[name] for name in (*TEXTS, "account_id", "attempt_id", "replacements")}
        since = self._moment("--since", options["since"], is_end=False)
        until = self._moment("--until", options["until"], is_end=True)
        return Search(since=since, until=until, kill_id=self._kill(options["kill_id"]), **given)

    def _moment(self, name: str, text: str | None, *, is_end: bool) -> Any:
        try:
            return None if text is None else moment(text, is_end=is_end)
        except ValueError:
            raise CommandError(f"{name}: write a day or a time: 2026-11-21 or 2026-11-21T14:30:00") from None

    def _kill(self, text: str | None) -> uuid.UUID | None:
        if text is None:
            return None
        try:
            return uuid.UUID(text)
        except ValueError:
            found = kills_beginning(text)
        if len(found) != 1:
            raise CommandError(f"--kill: {'several kills begin' if found else 'no kill begins'} with {text}")
        return found[0]
