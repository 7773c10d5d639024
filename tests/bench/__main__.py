"""`python -m tests.bench make --database sqlite:////tmp/trail.sqlite3 --count 1000000`, and what is measured there."""

import argparse
import json
import os
import sys
import time


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "what",
        choices=["make", "reading", "figures", "table", "pages"],
        help="make a trail; time every search; measure one database (JSON); put several side by side; time the pages",
    )
    parser.add_argument(
        "--database", required=True, action="append", help="a scratch one: sqlite:////path or postgresql://…"
    )
    parser.add_argument("--count", type=int, default=1_000_000)
    return parser.parse_args()


def set_up(database: str, *, is_writing: bool) -> None:
    """Start the product on a scratch database. Nothing that is lost with the machine is missed there."""
    os.environ["TEST_DATABASE_URL"] = database
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", verbosity=0)
    if is_writing and connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=OFF")
            cursor.execute("PRAGMA cache_size=-3000000")  # KiB


def make(count: int) -> None:
    from .made_up import make

    began, shown = time.perf_counter(), 0
    for there in make(count):
        if there - shown >= 100_000 or there == count:
            shown = there
            print(f"{there:,} entries after {time.perf_counter() - began:,.0f} s", flush=True)


def main() -> None:
    given = arguments()
    if given.what == "table":
        from .beside import both

        both(given.database, given.count)
        return
    if given.what == "pages":
        set_up(given.database[0], is_writing=False)
        from . import pages

        pages.show(pages.measure())
        return
    set_up(given.database[0], is_writing=given.what == "make")
    from . import made_up, reading, table

    try:
        if given.what == "make":
            make(given.count)
        elif given.what == "reading":
            reading.show(reading.measure())
        else:
            print(json.dumps(table.figures(given.count)))
    except made_up.NotOurs as error:
        sys.exit(f"NOT MADE: {error}")


if __name__ == "__main__":
    main()
