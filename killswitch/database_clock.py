"""The one clock that all machines share. Leases are taken, kept and found by it: their own may be an hour apart."""

from datetime import timedelta

from django.db.models import Expression, Q
from django.db.models.functions import Now


def now() -> Expression:
    """Return the database's time, as part of a query."""
    return Now()


def lease(duration: timedelta) -> Expression:
    """Return until when a lease lasts that is taken, or lengthened, now."""
    return now() + duration


def is_free() -> Q:
    """Match what nobody holds: `lease_until` has passed, or there never was one."""
    return Q(lease_until=None) | Q(lease_until__lt=now())
