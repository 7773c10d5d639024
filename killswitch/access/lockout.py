"""Lock out a user name at one address, after too many failed log-ins there.

Never a name alone: whoever knows the desk's names would keep the desk out by failing under them. Never an address
alone: a whole desk may come from one. The count stands in the database, because there are several web processes.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils.crypto import salted_hmac

from .models import FailedLogIns

FAILURES = 10
WITHIN = timedelta(minutes=15)
LOCKED_FOR = timedelta(minutes=15)


def locked_until(*, name: str, address: str, now: datetime) -> datetime | None:
    """Return until when nobody logs in as `name` from `address`; None where anybody may try."""
    locked = FailedLogIns.objects.filter(name_mark=_mark(name), address=address, locked_until__gt=now)
    return locked.values_list("locked_until", flat=True).first()


def count_failure(*, name: str, address: str, now: datetime) -> datetime | None:
    """Count a refused log-in. Return until when the name is locked out there, if this is the one that did it."""
    with transaction.atomic():
        FailedLogIns.objects.filter(first_at__lt=now - max(WITHIN, LOCKED_FOR) - LOCKED_FOR).delete()
        found, is_new = FailedLogIns.objects.select_for_update().get_or_create(
            name_mark=_mark(name), address=address, defaults={"count": 1, "first_at": now}
        )
        if is_new:
            return None
        if found.first_at <= now - WITHIN or _is_over(found, now):
            found.count, found.first_at, found.locked_until = 0, now, None
        found.count += 1
        is_enough = found.count >= FAILURES and found.locked_until is None
        if is_enough:
            found.locked_until = now + LOCKED_FOR
        found.save()
    return found.locked_until if is_enough else None


def forget_failures(*, name: str, address: str) -> None:
    """Begin anew: somebody logged in as `name` from `address`."""
    FailedLogIns.objects.filter(name_mark=_mark(name), address=address).delete()


def _is_over(found: FailedLogIns, now: datetime) -> bool:
    return found.locked_until is not None and found.locked_until <= now


def _mark(name: str) -> str:
    return salted_hmac("killswitch.lockout", name.casefold(), algorithm="sha256").hexdigest()
