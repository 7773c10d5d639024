"""Kills that reach further than the accounts of whoever reads: how they stand on those, and no more."""

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils import timezone

from killswitch.kills.acknowledgements import LOOK_BACK
from killswitch.kills.alarms import is_unattended
from killswitch.kills.models import Kill, State, Sweep
from killswitch.kills.queries import touching, within


@dataclass(frozen=True)
class KillOnMine:
    """Such a kill in a line. `bad` counts the reader's accounts on which it ended, and not flat."""

    kill: Kill
    bad: int

    @property
    def words(self) -> str:
        if self.bad:
            return f"NOT FLAT, OR NOT KNOWN, ON {self.bad} ACCOUNT{'S' * (self.bad != 1)} OF YOURS"
        if self.kill.dry_run:
            return "DRY RUN"
        if is_unattended(self.kill):
            return "KILL: NOBODY WORKS ON IT"
        return "LATCHED" if self.kill.is_held else "KILL RUNNING"


def on_accounts(account_ids: Collection[int]) -> list[KillOnMine]:
    """Return what runs or is latched there, and what lately ended badly there: what is bad first, then the newest."""
    lately = Kill.objects.filter(Q(ended_at=None) | Q(ended_at__gt=timezone.now() - LOOK_BACK))
    kills = touching(lately, account_ids).exclude(pk__in=within(lately, account_ids).values("pk"))
    bad = dict(
        Sweep.objects.filter(kill__in=kills.filter(dry_run=False), account_id__in=account_ids)
        .filter(ended_at__isnull=False, state__in=(State.NOT_FLAT, State.UNKNOWN))
        .order_by()
        .values_list("kill_id")
        .annotate(Count("pk"))
    )
    found = [KillOnMine(kill, bad.get(kill.pk, 0)) for kill in kills.order_by("-engaged_at")]
    return sorted((each for each in found if each.bad or not each.kill.is_over), key=lambda each: not each.bad)
