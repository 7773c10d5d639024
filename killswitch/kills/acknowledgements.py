"""Acknowledge alarms, by name: what nobody has seen is said on every page until somebody says that they have."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

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
OF_ACCOUNTS = (Alarm.NOBODY, Alarm.ERRORS)
# They may stream in: not each one asks again, twice as many do. Each order that is stuck does: it takes a call.
STREAMING = (Alarm.LATE, Alarm.LOST, *OF_ACCOUNTS)
# It comes and goes: an acknowledgement is of what was wrong then, not of the next time.
PASSING = (Alarm.ELSEWHERE, Alarm.NOBODY, Alarm.WAITING)
LAPSES_AFTER = timedelta(minutes=10)
LOOK_BACK = timedelta(hours=24)
KILLS_AT_MOST = 20


def acknowledge(kill: Kill, alarm: Alarm, *, count: int, actor: Actor, now: datetime) -> bool:
    """Note that `actor` has seen an alarm when it was about so many; more than there are count as all there are.

    Returns whether that was new: the same person who has seen as much before changes nothing, and of an alarm that is
    not there any more nothing is noted.
    """
    there = raised(kill)
    if alarm not in there and alarm is not Alarm.CONTRADICTED:
        return False
    count = max(1, min(count, there[alarm])) if alarm in (*OF_ORDERS, *OF_ACCOUNTS) else 1
    with transaction.atomic():
        mine = {"kill": kill, "alarm": name_of(alarm), "by_name": actor.name}
        values = {"by_id": actor.id, "count": count, "at": now}
        _, is_new = Acknowledgement.objects.get_or_create(**mine, defaults=values)
        less = Q(count__lt=count) | Q(at__lt=now - LAPSES_AFTER) if alarm in PASSING else Q(count__lt=count)
        is_new = is_new or bool(Acknowledgement.objects.filter(less, **mine).update(**values))
        if is_new:
            append([_entry(kill, alarm, count, actor, now)])
    return is_new


def _entry(kill: Kill, alarm: Alarm, count: int, actor: Actor, now: datetime) -> Draft:
    unit = "order" if alarm in OF_ORDERS else "account" if alarm in OF_ACCOUNTS else ""
    about = f" ({counted(count, unit)})" if unit else ""
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
        return self.alarm not in NEEDS_NONE and not any(map(self._covers, self.by))

    @property
    def is_worse(self) -> bool:
        return self.asks and bool(self.by)

    def _covers(self, given: Acknowledgement) -> bool:
        """Say whether an acknowledgement is one of what there is now."""
        if self.alarm in PASSING and timezone.now() - given.at > LAPSES_AFTER:
            return False
        if self.alarm in STREAMING:
            return self.count < 2 * given.count
        return self.alarm not in OF_ORDERS or self.count <= given.count


def seen(kill: Kill, alarms: Mapping[Alarm, int]) -> dict[Alarm, Seen]:
    """Say of each alarm who has acknowledged it, in the order in which they did."""
    return _seen(alarms, Acknowledgement.objects.filter(kill=kill).order_by("at", "id"))


def _seen(alarms: Mapping[Alarm, int], given: Iterable[Acknowledgement]) -> dict[Alarm, Seen]:
    by_name: dict[str, list[Acknowledgement]] = {}
    for each in given:
        by_name.setdefault(each.alarm, []).append(each)
    return {alarm: Seen(alarm, count, tuple(by_name.get(name_of(alarm), ()))) for alarm, count in alarms.items()}


def unacknowledged(
    now: datetime, *, contradicted: Callable[[Kill], bool], among: QuerySet[Kill] | None = None
) -> list[tuple[Kill, list[Alarm]]]:
    """Return kills that run or lately ended badly, the newest first, each with the alarms that nobody acknowledged.

    `contradicted` says whether what is shown of a kill is not what the audit trail recorded. Where `among` is given,
    only those kills are looked at.
    """
    badly = Q(ended_at__gt=now - LOOK_BACK, state__in=(State.NOT_FLAT, State.UNKNOWN))
    kills = (Kill.objects.all() if among is None else among).filter(Q(ended_at=None) | badly, dry_run=False)
    # What still runs first, a kill that has been latched for days among it.
    newest = list(kills.order_by(F("ended_at").desc(nulls_first=True), "-engaged_at")[:KILLS_AT_MOST])
    given: dict[uuid.UUID, list[Acknowledgement]] = {}
    for each in Acknowledgement.objects.filter(kill__in=newest).order_by("at", "id"):
        given.setdefault(each.kill_id, []).append(each)
    asked = ((kill, _asked(kill, given.get(kill.id, ()), contradicted(kill))) for kill in newest)
    return [(kill, alarms) for kill, alarms in asked if alarms]


def _asked(kill: Kill, given: Iterable[Acknowledgement], is_contradicted: bool) -> list[Alarm]:
    alarms = {Alarm.CONTRADICTED: 1} if is_contradicted else {}
    alarms |= _raised_at_the_end(kill.id) if kill.is_over else raised(kill)
    return [each.alarm for each in _seen(alarms, given).values() if each.asks]


@lru_cache(maxsize=200)
def _raised_at_the_end(kill_id: uuid.UUID) -> dict[Alarm, int]:
    """Return what `raised` says of a kill that has ended: nothing of it changes any more, and every page asks."""
    return raised(Kill.objects.get(id=kill_id))
