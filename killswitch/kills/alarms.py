"""What is wrong with a kill right now, as far as its own rows tell: each alarm with how much of it there is.

Asked for by every page while a kill runs: what is counted has an index of its own.
"""

from django.db.models import Q

from killswitch import database_clock
from killswitch.snapshot import read_once

from .claims import left_alone
from .meanings import Alarm
from .models import Kill, KilledOrder, Outcome
from .queries import abandoned, late_arrivals_of, seconds_since

TAKEN_UP_WITHIN_SECONDS = 1
# A worker takes a kill up at once; where there is none the watchdog does, within three seconds.
UNATTENDED_AFTER_SECONDS = 4


@read_once
def raised(kill: Kill) -> dict[Alarm, int]:
    """Return the alarms of a kill, the loudest first, each with the number of orders or accounts that it is about."""
    found = {
        Alarm.ELSEWHERE: int(left_alone(kill)),
        Alarm.WAITING: int(waits_for_a_worker(kill)),
        Alarm.NOBODY: unattended_accounts(kill),
        Alarm.ACCOUNTS: int(bool(kill.roster_error)),
        Alarm.ERRORS: kill.sweeps.exclude(error="").count(),
        Alarm.STUCK: KilledOrder.objects.filter(sweep__kill_id=kill.id, outcome=Outcome.STUCK).count(),
        Alarm.LATE: late_arrivals_of(kill.id),
        Alarm.LOST: lost_orders(kill),
    }
    return {alarm: count for alarm, count in found.items() if count}


@read_once
def is_unattended(kill: Kill) -> bool:
    """Say whether nobody works on any part of a kill that is not over."""
    if kill.is_over or seconds_since(kill) < UNATTENDED_AFTER_SECONDS:
        return False
    held = Q(ended_at=None, lease_until__gt=database_clock.now())
    return not (kill.sweeps.filter(held).exists() or Kill.objects.filter(held, id=kill.id).exists())


def unattended_accounts(kill: Kill) -> int:
    """Count the accounts that nobody works on any more; at least one where the kill itself was let go of."""
    if kill.is_over:
        return 0
    if count := abandoned(kill.id):
        return count
    if waits_for_a_worker(kill) or not is_unattended(kill):
        return 0
    return max(1, kill.sweeps.filter(ended_at=None).count())


def waits_for_a_worker(kill: Kill) -> bool:
    """Say whether nobody has begun with it."""
    if kill.is_over or seconds_since(kill) < TAKEN_UP_WITHIN_SECONDS or kill.lease_until is not None:
        return False
    begun = Q(lease_until__isnull=False) | Q(first_attempt_at__isnull=False) | Q(ended_at__isnull=False)
    return not kill.sweeps.filter(begun).exists()


def lost_orders(kill: Kill) -> int:
    """Count the orders that traded while their cancel was on its way."""
    traded = KilledOrder.objects.filter(sweep__kill_id=kill.id, lost_quantity__isnull=False)
    return sum(bool(quantity) for quantity in traded.values_list("lost_quantity", flat=True).iterator())
