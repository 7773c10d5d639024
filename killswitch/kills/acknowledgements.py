"""Acknowledge alarms, by name: what nobody has seen is said on every page until somebody says that they have."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.words import counted

from .alarms import raised
from .entries import DRY_RUN
from .meanings import Alarm
from .models import Acknowledgement, Kill, State

# Nothing is to be done about it, and it passes by itself.
NEEDS_NONE = (Alarm.THROTTLED,)
OF_ORDERS = (Alarm.STUCK, Alarm.LATE, Alarm.LOST)
# They may stream in: not each one asks again, twice as many do. Each order that is stuck does: it takes a call.
STREAMING = (Alarm.LATE, Alarm.LOST)
LOOK_BACK = timedelta(hours=24)
KILLS_AT_MOST = 20


def acknowledge(kill: Kill, alarm: Alarm, *, count: int, actor: Actor, now: datetime) -> bool:
    """Note that `actor` has seen an alarm when it was about `count` orders; more than there are count as all there are.

    Returns whether that was new: the same person who has seen as much before changes nothing.
    """
    count = max(1, min(count, raised(kill).get(alarm, 1))) if alarm in OF_ORDERS else 1
    with transaction.atomic():
        mine = {"kill": kill, "alarm": name_of(alarm), "by_name": actor.name}
        values = {"by_id": actor.id, "count": count, "at": now}
        _, is_new = Acknowledgement.objects.get_or_create(**mine, defaults=values)
        is_new = is_new or bool(Acknowledgement.objects.filter(**mine, count__lt=count).update(**values))
        if is_new:
            append([_entry(kill, alarm, count, actor, now)])
    return is_new


def _entry(kill: Kill, alarm: Alarm, count: int, actor: Actor, now: datetime) -> Draft:
    about = f" ({counted(count, 'order')})" if alarm in OF_ORDERS else ""
    dry = DRY_RUN if kill.dry_run else ""
    return Draft(
        kind=Kind.ALARM_ACKNOWLEDGED,
        at=now,
        actor=actor,
        kill_id=kill.id,
        sentence=f"{dry}{actor.name or 'Somebody'} acknowledged: {alarm.value.says.rstrip('.')}{about}",
        data={"alarm": name_of(alarm), "count": count, **({"dry_run": True} if kill.dry_run else {})},
    )


def name_of(alarm: Alarm) -> str:
    return alarm.name.lower()


def alarm_named(name: str) -> Alarm | None:
    """Return the alarm that a form names; None where there is none, or it needs no acknowledgement."""
    return next((alarm for alarm in Alarm if name_of(alarm) == name and alarm not in NEEDS_NONE), None)


@dataclass(frozen=True)
class Seen:
    """Who has acknowledged one alarm of a kill."""

    alarm: Alarm
    count: int  # how much of it there is now
    by: tuple[Acknowledgement, ...] = ()

    @property
    def asks(self) -> bool:
        """Say whether it asks for an acknowledgement: nobody gave one, or it has become worse since."""
        return self.alarm not in NEEDS_NONE and not any(self._covers(each.count) for each in self.by)

    @property
    def is_worse(self) -> bool:
        return self.asks and bool(self.by)

    def _covers(self, count: int) -> bool:
        """Say whether an acknowledgement of so many is one of what there is now."""
        if self.alarm in STREAMING:
            return self.count < 2 * count
        return self.alarm not in OF_ORDERS or self.count <= count


def seen(kill: Kill, alarms: Mapping[Alarm, int]) -> dict[Alarm, Seen]:
    """Say of each alarm who has acknowledged it, in the order in which they did."""
    given: dict[str, list[Acknowledgement]] = {}
    for each in Acknowledgement.objects.filter(kill=kill).order_by("at", "id"):
        given.setdefault(each.alarm, []).append(each)
    return {alarm: Seen(alarm, count, tuple(given.get(name_of(alarm), ()))) for alarm, count in alarms.items()}


def unacknowledged(now: datetime) -> list[tuple[Kill, list[Alarm]]]:
    """Return kills that run or lately ended badly, the newest first, each with the alarms that nobody acknowledged."""
    badly = Q(ended_at__gt=now - LOOK_BACK, state__in=(State.NOT_FLAT, State.UNKNOWN))
    kills = Kill.objects.filter(Q(ended_at=None) | badly, dry_run=False).order_by("-engaged_at")[:KILLS_AT_MOST]
    asked = ((kill, [each.alarm for each in seen(kill, raised(kill)).values() if each.asks]) for kill in kills)
    return [(kill, alarms) for kill, alarms in asked if alarms]
