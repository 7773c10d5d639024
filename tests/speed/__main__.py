"""`make bench`: measure the whole product beside what is possible at all, and print the table (Markdown).

Ends with 0 where everything that is to be reached was, with 1 where something was not.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import ROOT

from .row import Row, heading, line

RACES = (
    "first",
    "50",
    "200",
    "500",
    "1000",
    "tls",
    "single1000",
    "single5000",
    "list",
    "seen",
    "pages",
    "redis",
    "watched",
    "standing",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.speed", description=__doc__)
    parser.add_argument("races", nargs="*", help=f"which of them: {', '.join(RACES)} (default: all)")
    parser.add_argument("--postgres", help="a PostgreSQL server and a user who may make databases", metavar="URL")
    given = parser.parse_args()
    unknown = set(given.races) - set(RACES)
    if unknown:
        parser.error(f"no such race: {', '.join(sorted(unknown))}. There are: {', '.join(RACES)}")
    print(heading(), flush=True)
    is_reached = True
    for name in given.races or RACES:
        with database(given.postgres) as url:
            for row in carried_out(name, url):
                is_reached &= row.is_reached
                print(line(row), flush=True)
    return 0 if is_reached else 1


def carried_out(name: str, database: str) -> Iterator[Row]:
    """Measure one race in a process of its own: it needs a database of its own."""
    command = [sys.executable, "-m", "tests.speed.races", name, database]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        for told in process.stdout or ():
            yield Row(**json.loads(told))
    if process.returncode:
        sys.exit(f"bench: {name} broke off")


@contextmanager
def database(server: str | None) -> Iterator[str]:
    """Yield the address of a new and empty one."""
    if server is None:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder)}/bench.sqlite3"
        return
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS killswitch_bench WITH (FORCE)")
        connection.execute("CREATE DATABASE killswitch_bench")
        try:
            yield server.rpartition("/")[0] + "/killswitch_bench"
        finally:
            connection.execute("DROP DATABASE IF EXISTS killswitch_bench WITH (FORCE)")


if __name__ == "__main__":
    sys.exit(main())
