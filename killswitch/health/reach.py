"""Does the broker answer, with our key, and how fast? Asked by the lookout, and by whoever has to send cancels."""

import asyncio
import logging
import time
from dataclasses import dataclass

from django.conf import settings

from killswitch import broker
from killswitch.book.queries import accounts_with_orders_that_are_missing
from killswitch.broker import Account, Answer, BrokerError, Listing, NoPermission, RefusedKey, Throttled

from .found import Found
from .verdict import Fault, Part

logger = logging.getLogger(__name__)

SLOW = 2.0  # seconds
CLOCK_OFF = 1.0
# Two requests at once, and neither answered for so long: that is no slow answer any more.
SILENT_AFTER = 2.5
# However much it has to do, the event loop comes round many times a second.
LOOP_SECONDS = 2.0
NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Reach:
    """How the broker answered. `accounts` is None where there was no usable answer."""

    fault: Fault | None
    says: str
    took: float
    accounts: Listing[Account] | None = None


class Silence:
    """Since when the broker has been asked and has not answered at all."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self) -> None:
        self._since = time.monotonic()

    def end(self) -> None:
        self._since = None

    @property
    def seconds(self) -> float:
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


def limit() -> float:
    """Return how long `reach` may take, in seconds."""
    return settings.CLEAR_STREET_TIMEOUT_SECONDS + 1 + 2 * LOOP_SECONDS


def reach(silence: Silence | None = None) -> Reach:
    """Ask the broker for its version and, at the same time, for the accounts of the key."""
    began, silence = time.monotonic(), silence or Silence()
    if not loop_answers():
        return Reach(Fault.UNCHECKED_VITAL, "its own event loop does not answer", time.monotonic() - began)
    silence.begin()
    try:
        version, listing = broker.run(_both(silence), timeout=settings.CLEAR_STREET_TIMEOUT_SECONDS + 1)
    except BrokerError as error:
        return _failed(error, time.monotonic() - began)
    except TimeoutError:
        # Each request has a limit of its own, and none has passed it: they waited here, or there were many.
        return Reach(Fault.BROKER_SLOW, "no whole answer in time", time.monotonic() - began)
    finally:
        silence.end()
    if listing.error is not None and not listing.items:
        return _failed(listing.error, time.monotonic() - began)
    took = max(version.latency, listing.latency / max(1, listing.requests))
    says = f"version {version.data or 'not said'}, answers within {took * 1000:,.0f} ms"
    return Reach(Fault.BROKER_SLOW if took > SLOW else None, says, took, listing)


def loop_answers() -> bool:
    """Say whether the event loop of this process, on which every kill is carried out, answers; it is asked twice."""
    return any(broker.loop_answers(LOOP_SECONDS) for _ in range(2))


def _failed(error: BrokerError, took: float) -> Reach:
    status = f"{error.http_status}: " if error.http_status else ""
    says = f"{status}{error.message}"
    if isinstance(error, RefusedKey | NoPermission):
        return Reach(Fault.KEY_REFUSED, f"the key is refused ({says})", took)
    if isinstance(error, Throttled):
        return Reach(Fault.BROKER_SLOW, f"the broker makes us wait ({says})", took)
    return Reach(Fault.BROKER_GONE, says, took)


async def _both(silence: Silence) -> tuple[Answer[str], Listing[Account]]:
    """Ask for both at once. Raises BrokerError."""
    asked = await asyncio.gather(_version(silence), _accounts(silence), return_exceptions=True)
    version, listing = asked
    if isinstance(version, BaseException):
        raise version
    if isinstance(listing, BaseException):
        raise listing
    return version, listing


async def _version(silence: Silence) -> Answer[str]:
    try:
        return await broker.client().version()
    finally:
        silence.end()


async def _accounts(silence: Silence) -> Listing[Account]:
    try:
        return await broker.client().accounts()
    finally:
        silence.end()


class BrokerCheck:
    """How broker, accounts and clock stand, and what can be said while the broker lets us wait."""

    def __init__(self) -> None:
        self._silence = Silence()
        self._took = 0.0

    def check(self) -> list[Found]:
        reached = reach(self._silence)
        if reached.accounts is not None:
            self._took = reached.took
        found = Found(Part.BROKER, reached.fault, reached.says, reached.took)
        return [found, _accounts_of(reached), _clock()]

    def meanwhile(self) -> list[Found]:
        """Tell that the broker is silent, for longer than it takes to answer at other times."""
        waited = self._silence.seconds
        if waited < max(SILENT_AFTER, 2 * self._took):
            return []
        return [Found(Part.BROKER, Fault.BROKER_SILENT, f"asked twice at once, and silent for {waited:.0f} s", waited)]


def _accounts_of(reached: Reach) -> Found:
    listing = reached.accounts
    if listing is None:
        return Found(Part.ACCOUNTS, Fault.UNCHECKED, "not known: the broker does not say")
    if listing.error is not None:
        says = f"{len(listing.items):,} named, and the list is not whole: {listing.error.message}"
        return Found(Part.ACCOUNTS, Fault.ACCOUNTS_UNSURE, says)
    if not listing.items:
        return Found(Part.ACCOUNTS, Fault.NO_ACCOUNTS, "the broker names none")
    missing = accounts_with_orders_that_are_missing({account.id for account in listing.items})
    if missing:
        names = ", ".join(map(str, missing[:NAMED_AT_MOST])) + (" and more" if len(missing) > NAMED_AT_MOST else "")
        says = f"{len(listing.items):,} named; missing, though orders were open there: {names}"
        return Found(Part.ACCOUNTS, Fault.ACCOUNTS_UNSURE, says)
    return Found(Part.ACCOUNTS, None, f"{len(listing.items):,} named", listing.latency)


def _clock() -> Found:
    bounds = broker.clock_bounds()
    if bounds is None:
        return Found(Part.CLOCK, Fault.UNCHECKED, "not known: the broker does not say what time it is")
    says = f"broker minus here: {bounds.offset:+.2f} s ± {bounds.uncertainty:.2f} s"
    is_off = bounds.least > CLOCK_OFF or bounds.most < -CLOCK_OFF
    return Found(Part.CLOCK, Fault.CLOCK_OFF if is_off else None, says)
