"""What a lookout would have written, and what it takes to be armed."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from killswitch.book.models import Account, AccountList
from killswitch.book.operations import refresh
from killswitch.health.entries import place
from killswitch.health.models import Finding, Watch
from killswitch.health.verdict import Fault, Part, Verdict
from killswitch.notary.models import Notary


def shine(verdict: Verdict = Verdict.ARMED, *, seconds_ago: float = 0, **faults: Fault) -> None:
    """Write what a lookout would have written."""
    at = timezone.now() - timedelta(seconds=seconds_ago)
    values = {"seen_at": at, "verdict": verdict, "since": at, "where": "host-a"}
    here = place(settings.CLEAR_STREET_BASE_URL)
    Watch.objects.update_or_create(id=1, defaults={**values, "broker": here})
    for part in Part:
        if part != Part.LOOKOUT:
            code = faults[part.value].code if part.value in faults else ""
            values = {"fault": code, "says": f"{part} says so", "checked_at": at, "since": at, "took_us": 1500}
            Finding.objects.update_or_create(part=part, defaults=values)


def keep_well(minutes: float = 10) -> None:
    """Let the book and the notary stay fresh, for a test that starts neither beat nor notary. There is a broker."""
    refresh(requests_per_second=50, now=timezone.now())
    later = timezone.now() + timedelta(minutes=minutes)
    Account.objects.update(listed_at=later)
    AccountList.objects.update(listed_at=later)
    Notary.objects.create(host="elsewhere", seen_at=later)
