"""The standing process: looks at every part of the way from button to broker, and writes what it finds."""

import logging
import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connections

from . import alive, disk, reach, rows, trail
from .checker import Checker, Line
from .found import Found
from .queue import LIMIT as REDIS_LIMIT
from .queue import Queue
from .verdict import Fault, Part, Verdict

logger = logging.getLogger(__name__)

SOON = 0.2  # seconds, between two looks for the first answers
# A database that takes longer than this for what a look writes is slow.
WRITE_SLOW = 1.0
SLOW_IN_A_ROW = 2
GIVE_BACK_SECONDS = 2.0
# Where nothing is known, everything may just be starting: what is not well is believed after so long.
SETTLE = 8.0


class DatabaseTime:
    """The database's clock, as it was last read and counted on from there: it may be set, like any other."""

    def __init__(self) -> None:
        self._told = datetime.now(UTC)
        self._at = time.monotonic()

    def set(self, told: datetime) -> None:
        self._told, self._at = told, time.monotonic()

    def now(self) -> datetime:
        return self._told + timedelta(seconds=time.monotonic() - self._at)


class Lookout:
    """Holds the lease or waits for it; looks while it has it."""

    def __init__(self) -> None:
        self._is_stopping = False  # set by a signal's handler: no lock may be in it
        self._token = uuid.uuid4()
        self._source = f"lookout {socket.gethostname()} {os.getpid()}"
        self._time = DatabaseTime()
        self._looks_since: float | None = None
        self._settles_until = 0.0
        self._write_took: float | None = None
        self._slow_writes = 0
        self._failures = 0
        self._shows = ""
        self._checkers = [Checker(line) for line in self._lines()]

    def watch(self) -> None:
        """Look until `stop` is called. What hangs then, hangs in a thread that ends with the process."""
        for checker in self._checkers:
            checker.start()
        looking = threading.Thread(target=self._for_ever, name="lookout", daemon=True)
        looking.start()
        while not self._is_stopping:
            time.sleep(0.1)
        looking.join(GIVE_BACK_SECONDS)

    def stop(self) -> None:
        self._is_stopping = True

    # --- what is looked at

    def _lines(self) -> list[Line]:
        every = settings.LIGHT_EVERY_SECONDS
        broker = {Part.BROKER: Fault.BROKER_GONE, Part.ACCOUNTS: Fault.UNCHECKED, Part.CLOCK: Fault.UNCHECKED}
        redis = {Part.REDIS: Fault.REDIS_GONE}
        worker, watchdog = {Part.WORKER: Fault.UNCHECKED_VITAL}, {Part.WATCHDOG: Fault.UNCHECKED_VITAL}
        others = (Part.KILLS, Part.DISK, Part.BOOK, Part.TRAIL)
        kills, disks, book, record = ({part: Fault.UNCHECKED} for part in others)
        queue, reaching = Queue(self._time.now), reach.BrokerCheck()
        return [
            Line(
                "broker",
                reaching.check,
                broker,
                limit=reach.limit(),
                every=every,
                strikes=2,
                meanwhile=reaching.meanwhile,
            ),
            Line("queue", queue.check, redis, limit=REDIS_LIMIT, every=every, strikes=2),
            Line("workers", self._check_workers, worker, limit=10, every=1.0),
            Line("watchdogs", alive.check_watchdogs, watchdog, limit=10, every=every),
            Line("kills", alive.check_kills, kills, limit=10, every=every),
            Line("disk", disk.check, disks, limit=10, every=5 * every),
            Line("book", alive.check_book, book, limit=20, every=2 * every, strikes=2),
            Line("trail", trail.check, record, limit=60, every=5 * every),
        ]

    def _check_workers(self) -> list[Found]:
        return alive.check_workers(lambda: time.monotonic() - (self._looks_since or time.monotonic()))

    # --- looking

    def _for_ever(self) -> None:
        while not self._is_stopping:
            pause = self.once()
            until = time.monotonic() + pause
            while not self._is_stopping and time.monotonic() < until and not self._has_news():
                time.sleep(0.05)
        try:
            rows.give_back(self._token)
        except Exception as error:
            logger.warning("the lease could not be given back (%s)", type(error).__name__)

    def _has_news(self) -> bool:
        """Say whether there is something to tell that does not wait for the next look."""
        return self._looks_since is not None and any(checker.has_news() for checker in self._checkers)

    def once(self) -> float:
        """Look once, whatever goes wrong; return for how many seconds to wait then."""
        try:
            pause = self._look()
        except Exception as error:
            connections.close_all()
            self._failures += 1
            if self._failures == 1:
                logger.exception("NOT ARMED: what was found could not be written (%s)", type(error).__name__)
            return min(1.0, settings.LIGHT_EVERY_SECONDS)
        if self._failures:
            logger.warning("what was found can be written again, after %d tries", self._failures)
            self._failures = 0
        return pause

    def _look(self) -> float:
        if self._looks_since is None and not self._begin():
            return settings.LIGHT_EVERY_SECONDS
        told = [checker.told() for checker in self._checkers]
        ready = [each for each in told if each is not None]
        look = rows.Look([*((each, age) for some, age in ready for each in some), (self._database(), 0.0)])
        is_settling = time.monotonic() < self._settles_until and look.judgement.verdict != Verdict.ARMED
        if len(ready) < len(told) or is_settling:
            if rows.take(self._token) is None:
                self._lose()
            return SOON
        self._write(look)
        return settings.LIGHT_EVERY_SECONDS

    def _begin(self) -> bool:
        watch = rows.take(self._token)
        if watch is None:
            return False
        self._time.set(watch.now)
        self._looks_since = time.monotonic()
        self._settles_until = self._looks_since + (SETTLE if rows.was_left_alone(watch) else 0.0)
        logger.info("looking")
        for checker in self._checkers:
            checker.resume()
        return True

    def _lose(self) -> None:
        logger.warning("another lookout looks")
        self._looks_since = None
        for checker in self._checkers:
            checker.pause()

    def _write(self, look: rows.Look) -> None:
        began = time.monotonic()
        written = rows.write(self._token, look, source=self._source)
        self._write_took = time.monotonic() - began
        self._slow_writes = self._slow_writes + 1 if self._write_took > WRITE_SLOW else 0
        if written is None:
            self._lose()
            return
        self._time.set(written.now)
        self._settles_until = 0.0  # what was well once has started
        if written.verdict != self._shows:
            self._shows = written.verdict
            logger.warning("the light shows %s", written.get_verdict_display())

    def _database(self) -> Found:
        took = self._write_took
        says = "written" if took is None else f"takes in what the lookout writes within {took * 1000:,.0f} ms"
        slow = self._slow_writes >= SLOW_IN_A_ROW
        return Found(Part.DATABASE, Fault.DATABASE_SLOW if slow else None, says, took)
