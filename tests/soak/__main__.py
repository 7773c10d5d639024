"""Soak the whole product: `python -m tests.soak`, or `make soak`. Nothing of it is part of `make test`.

Accounts full of orders, kills every few seconds, faults at the broker, and workers, watchdogs and Redis that are
killed, frozen and ended at random. At the end everything must be accounted for: nothing lost, nothing invented,
nothing unannounced. Exit code 0 when all is well, 1 with the evidence when not, 2 when the soak itself failed.
"""

import argparse
import os
import random
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from .stack import SoakFailed


def main() -> int:
    asked = read_arguments()
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    folder = asked.folder or Path(".run") / f"soak-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    print(f"seed {asked.seed}, {asked.accounts} accounts of {asked.orders} orders, logs in {folder}", flush=True)
    # Here, so that wrong arguments are told before anything is imported.
    from .run import Soak

    soak = Soak(asked, folder.resolve())
    try:
        return soak.run()
    except KeyboardInterrupt:
        print("\nsoak: interrupted, nothing was judged", file=sys.stderr)
        return 130
    except SoakFailed as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except Exception:
        # Not 1, which says that the product was found wanting.
        traceback.print_exc()
        return 2
    finally:
        # Whoever is impatient must not leave half of the processes behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        soak.end()


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--minutes", type=float, default=5.0, help="of chaos; the end takes a minute or two more")
    add("--accounts", type=int, default=200)
    add("--orders", type=int, default=20, help="open orders of each account at the start")
    add("--seed", type=int, default=int(time.time()), help="what is random; processes add their own chance")
    add("--postgres", metavar="URL", help="an empty PostgreSQL database, instead of a file of SQLite")
    add("--folder", type=Path, help="a new folder for logs and figures (default: one in .run)")
    add("--keep", action="store_true", help="keep the database, too, when all is well")
    asked = parser.parse_args()
    asked.random = random.Random(asked.seed)
    return asked


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
