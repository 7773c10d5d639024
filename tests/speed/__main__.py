"""`make bench`: measure the whole product beside what is possible at all, and print the table (Markdown)."""

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.speed", description=__doc__)
    parser.add_argument("races", nargs="*", help="which of them (default: all)")
    parser.add_argument("--database", help="an empty PostgreSQL database (default: a file of SQLite)", metavar="URL")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = given.database or f"sqlite:///{Path(folder)}/bench.sqlite3"
        set_up(database)
        from .races import RACES
        from .table import heading, line

        unknown = set(given.races) - set(RACES)
        if unknown:
            parser.error(f"no such race: {', '.join(sorted(unknown))}. There are: {', '.join(RACES)}")
        print(heading(), flush=True)
        is_reached = True
        for name in given.races or RACES:
            for row in RACES[name](database):
                is_reached &= row.is_reached
                print(line(row), flush=True)
    return 0 if is_reached else 1


def set_up(database: str) -> None:
    os.environ["TEST_DATABASE_URL"] = database
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
