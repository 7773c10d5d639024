"""Follow a kill to its end, and carry it out where nobody else does."""

import concurrent.futures
import time
from datetime import timedelta

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from django.db.models import Q

from killswitch.kills.carry_out import begin, hand_over
from killswitch.kills.claims import is_taken, overdue
from killswitch.kills.models import Kill, State
from killswitch.kills.queries import orders_of, seconds_since
from killswitch.kills.standing import Standing, standing_of
from killswitch.kills.watchdog import GRACE
from killswitch.kills.watchdog import LOOK_EVERY as WATCHDOG_LOOKS_EVERY

from . import words
from .exits import UNKNOWN, exit_status
from .interrupts import Interrupts
from .screen import Screen

LOOK_EVERY = 0.25  # seconds
DATABASE_IS_GONE_AFTER = 5.0  # seconds
# A standing watchdog comes first: it outlives this terminal.
OWN_GRACE = GRACE + timedelta(seconds=WATCHDOG_LOOKS_EVERY)
TAKEN_UP_WITHIN = OWN_GRACE.total_seconds() + 1


class Follower:
    """Follows one kill on a screen. `hint` says how to stop without a database."""

    def __init__(self, kill: Kill, screen: Screen, interrupts: Interrupts, hint: str) -> None:
        self._kill = kill
        self._screen = screen
        self._interrupts = interrupts
        self._hint = hint
        self._own: list[concurrent.futures.Future[None]] = []
        self._silent = 0.0  # seconds for which the database has not answered
        self._has_told_that_it_stays = False

    def follow(self) -> int:
        """Follow until it is over, latched and quiet in other hands, or interrupted. Return the exit status."""
        while not self._interrupts.count:
            standing = self._look()
            if standing is not None and standing.is_over:
                hand_over()  # what this process still writes down
                return self._tell_end()
            if standing is not None and standing.state == State.LATCHED and self._holds():
                return exit_status(State.LATCHED)
            self._interrupts.wait(LOOK_EVERY, heard=0)
        return self._interrupted()

    # --- looking

    def _look(self) -> Standing | None:
        """Read, show, and take the kill up where nobody does. Returns None where the database does not answer."""
        try:
            self._kill.refresh_from_db()
            standing = standing_of(self._kill)
            self._silent = 0.0
            self._screen.progress(words.progress(standing), words.clock(standing.seconds))
            self._take_up()
        except DatabaseError:
            connections.close_all()
            self._database_is_silent()
            return None
        return standing

    def _database_is_silent(self) -> None:
        clock = words.clock(seconds_since(self._kill))
        self._screen.progress("the database does not answer: trying again", clock)
        before, self._silent = self._silent, self._silent + LOOK_EVERY
        if before < DATABASE_IS_GONE_AFTER <= self._silent and not self._is_ours:
            self._screen.say(f"Nobody can say whether the kill goes on. {self._hint}")

    def _take_up(self) -> None:
        if self._kill.id not in overdue(OWN_GRACE):
            return
        future = begin(self._kill.id, who="command line")
        if future is not None:
            self._own.append(future)
            self._screen.say("No worker has taken it up: this process carries it out")

    @property
    def _is_ours(self) -> bool:
        return any(not future.done() for future in self._own)

    # --- latched

    def _holds(self) -> bool:
        """Tell of a latched kill that is quiet. Return whether it goes on without this process."""
        if not self._is_ours:
            self._screen.say(self._latched_words())
            return True
        if not self._has_told_that_it_stays:
            self._has_told_that_it_stays = True
            self._screen.say(self._latched_words())
            self._screen.say("No worker sweeps it, this process does: it stays. Ctrl-C hands it over")
        return False

    def _latched_words(self) -> str:
        whoever = "anybody" if settings.RELEASE_BY_SAME_PERSON else f"another person than {self._kill.engaged_by_name}"
        return (
            f"LATCHED: {self._kill.scope}. Quiet, and swept on until {whoever} of the risk desk releases it, "
            f"with a reason, on {self._address}"
        )

    @property
    def _address(self) -> str:
        return f"/kills/{self._kill.id}/"

    # --- the end

    def _tell_end(self) -> int:
        orders, sweeps = orders_of(self._kill.id), self._kill.sweeps.order_by("account_id")
        told = orders.filter(Q(outcome__in=words.NOT_GONE) | Q(lost_quantity__isnull=False))
        try:
            for line in words.summary(self._kill, list(sweeps), told, touched=orders.exists()):
                self._screen.say(line)
        except DatabaseError:
            self._screen.say(f"{State(self._kill.state).label.upper()}; the database does not answer for the rest")
        return exit_status(self._kill.state)

    def _interrupted(self) -> int:
        if self._is_ours:
            self._screen.say("Handing over …")
            hand_over()
        try:
            goes_on = self._goes_on_with_others()
        except DatabaseError:
            goes_on = False
        if self._kill.is_over:
            return self._tell_end()
        if goes_on:
            self._screen.say(f"The kill goes on without this terminal: {self._address}")
            return exit_status(State.LATCHED) if self._kill.state == State.LATCHED else UNKNOWN
        self._screen.say(
            f"NOBODY WORKS ON THE KILL AT THIS MOMENT: {self._address}\n"
            "  A worker or watchdog takes it up as soon as one runs: python manage.py watchdog"
        )
        return UNKNOWN

    def _goes_on_with_others(self) -> bool:
        """Wait a moment for somebody to take up what was handed over, or never taken."""
        until = time.monotonic() + TAKEN_UP_WITHIN
        while True:
            self._kill.refresh_from_db()
            if self._kill.is_over or is_taken(self._kill.id):
                return True
            if time.monotonic() > until or self._interrupts.wait(LOOK_EVERY, heard=1):
                return False
