import contextlib
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import Error as DatabaseError
from django.utils import timezone

from killswitch.audit.person import actor
from killswitch.command_line.exits import FLAT, REFUSED
from killswitch.kills.journal_import import Imported, NotImported, Part, opened, read, take_in
from killswitch.kills.models import State

DONE = FLAT


class Command(BaseCommand):
    help = (
        "Take journals of break-glass kills into the audit trail: each once, whole, however often it is called. "
        "A journal that stands in several files is named with all of them. Ends with 0: they are there, 3: refused."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", type=Path)

    def handle(self, *args: Any, files: list[Path], **options: Any) -> None:
        status = DONE
        with contextlib.ExitStack() as held:
            journals: defaultdict[str, dict[Path, Part]] = defaultdict(dict)
            for path in files:
                try:
                    part = held.enter_context(opened(path))
                except NotImported as error:
                    status = self._refuse([path], error)
                else:
                    journals[part.kill_id][path] = part
            for parts in journals.values():
                try:
                    self._tell(self._take_in(list(parts.values())))
                except NotImported as error:
                    status = self._refuse(list(parts), error)
        sys.exit(status)

    def _take_in(self, parts: list[Part]) -> Imported:
        me = actor("import_journal")
        journal = read(parts, source=me.source)
        try:
            return take_in(journal, actor=me, now=timezone.now())
        except DatabaseError as error:
            raise NotImported(f"the database cannot be used: {str(error).splitlines()[0]}") from None

    def _tell(self, imported: Imported) -> None:
        kill = imported.kill
        if imported.is_new:
            told = f"Imported: kill {kill.id}, {State(kill.state).label}: {kill.scope}"
        else:
            told = f"Already there: kill {kill.id}; nothing was changed"
        self.stdout.write(told)

    def _refuse(self, paths: list[Path], error: NotImported) -> int:
        self.stderr.write(f"NOT IMPORTED: {', '.join(map(str, paths))}: {error}")
        return REFUSED
