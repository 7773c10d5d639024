"""Does the broker answer, with our key, and how fast? Asked by the lookout, and by whoever has to send cancels."""

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


def limit() -> float:
    """Return how long `reach` may take, in seconds."""
    return 2 * settings.CLEAR_STREET_TIMEOUT_SECONDS + 2


def reach() -> Reach:
    """Ask the broker for its version, and for the accounts of the key."""
    began = time.monotonic()
    if not loop_answers():
        return Reach(Fault.UNCHECKED_VITAL, "its own event loop does not answer", time.monotonic() - began)
    try:
        version = broker.run(_version(), timeout=settings.CLEAR_STREET_TIMEOUT_SECONDS + 1)
        listing = broker.run(_accounts(), timeout=settings.CLEAR_STREET_TIMEOUT_SECONDS + 1)
    except BrokerError as error:
        return _failed(error, time.monotonic() - began)
    except TimeoutError:
        # Each request has a limit of its own, and none has passed it: they waited here, or there were many.
        return Reach(Fault.BROKER_SLOW, "no whole answer in time", time.monotonic() - began)
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


async def _version() -> Answer[str]:
    return await broker.client().version()


async def _accounts() -> Listing[Account]:
    return await broker.client().accounts()


def check() -> list[Found]:
    """Return how broker, accounts and clock stand."""
    reached = reach()
    found = Found(Part.BROKER, reached.fault, reached.says, reached.took)
    return [found, _accounts_of(reached), _clock()]


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
