from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError, connection, transaction

from killswitch.audit.grants import NotFit, check, check_rights, statements


class Command(BaseCommand):
    help = (
        "Print the SQL that gives a PostgreSQL role what the product needs, and on the audit tables no more than to "
        "add and to read. With --apply, run it: as the owner of the tables, after each migrate."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role")
        parser.add_argument("--apply", action="store_true", help="run it on DATABASE_URL instead of printing it")

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError(f"{connection.vendor} has no roles: this is for PostgreSQL")
        wanted = list(statements(connection, options["role"]))
        if not options["apply"]:
            self.stdout.write("".join(f"{statement};\n" for statement in wanted), ending="")
            return
        try:
            check(connection, options["role"])
            with transaction.atomic(), connection.cursor() as cursor:
                for statement in wanted:
                    cursor.execute(statement)
                # Who may not grant is told so in a warning only.
                check_rights(connection, options["role"])
        except (NotFit, ProgrammingError) as error:
            raise CommandError(str(error).strip()) from None
        self.stdout.write(f"{options['role']} has what it needs: {len(wanted)} statements")
