"""The rows that the lookout writes: who looks, what was found, what the light shows; and the entry when it changes."""

import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.database_clock import is_free, lease
from killswitch.which_broker import broker_address

from .ages import is_fresh
from .found import Found
from .models import Finding, Watch
from .shown import Shown, follow
from .verdict import Fault, Judgement, Part, Verdict, judge


def lease_of() -> timedelta:
    """Return for how long a lookout that is not heard of has the lease: another one takes over then."""
    return timedelta(seconds=max(8.0, 3 * settings.LIGHT_EVERY_SECONDS))


def old_after() -> timedelta:
    """Return how old the last look may be: long enough for another lookout to take over."""
    return timedelta(seconds=max(15.0, 6 * settings.LIGHT_EVERY_SECONDS))


def take(token: uuid.UUID) -> Watch | None:
    """Take or keep the lease; return the row, with the time as `now`. None where somebody else has the lease."""
    Watch.objects.get_or_create(id=1)
    mine_or_free = Watch.objects.filter(id=1, token=token) | Watch.objects.filter(is_free(), id=1)
    if not mine_or_free.update(token=token, lease_until=lease(lease_of())):
        return None
    return Watch.objects.with_time().get(id=1)


def was_left_alone(watch: Watch) -> bool:
    """Say whether nobody has looked for so long that nothing is known."""
    return watch.seen_at is None or not is_fresh(watch.now - watch.seen_at, old_after())


def give_back(token: uuid.UUID) -> None:
    """Let go of the lease, so that another lookout takes over at once."""
    Watch.objects.filter(token=token).update(token=None, lease_until=None)


@dataclass(frozen=True)
class Look:
    """One look: everything that was found, each with its age in seconds."""

    found: Sequence[tuple[Found, float]]

    @property
    def judgement(self) -> Judgement:
        return judge({found.part: found.fault for found, _ in self.found})


def write(token: uuid.UUID, look: Look, *, source: str) -> Watch | None:
    """Write what was found, and an entry where the light changes. Returns None where the lease is lost."""
    with transaction.atomic():
        mine = Watch.objects.filter(id=1, token=token)
        if not mine.update(lease_until=lease(lease_of())):
            return None
        watch = mine.with_time().get()
        now = watch.now
        gap = watch.seen_at if was_left_alone(watch) else None
        before = _shown(watch)
        after = follow(before, look.judgement, now)
        _write_findings(look, now)
        watch.where, watch.seen_at = socket.gethostname()[:255], now
        watch.broker = broker_address()
        watch.verdict, watch.since, watch.better_since = after.verdict, after.since, after.better_since
        watch.faults = sorted(fault.code for fault in after.faults)
        watch.save()
        if after.since != before.since:
            append([changed(before, after, look, gap=gap, source=source)])
    return watch


def _shown(watch: Watch) -> Shown:
    """Return what was shown until now: after nobody has looked for a while, that nothing was known."""
    if was_left_alone(watch):
        return Shown(Verdict.NOT_KNOWN, frozenset(), watch.since or watch.now - old_after())
    faults = frozenset(fault for code in watch.faults if (fault := Fault.of(code)))
    return Shown(Verdict.of(watch.verdict), faults, watch.since or watch.now, watch.better_since)


def _write_findings(look: Look, now: datetime) -> None:
    before = {row.part: row for row in Finding.objects.all()}
    rows = []
    for found, age in look.found:
        code = found.fault.code if found.fault else ""
        old = before.get(found.part)
        since = old.since if old is not None and old.fault == code else now
        took = None if found.took is None else round(found.took * 1_000_000)
        at = now - timedelta(seconds=age)
        rows.append(Finding(part=found.part, fault=code, says=found.says, took_us=took, checked_at=at, since=since))
    fields = ["fault", "says", "took_us", "checked_at", "since"]
    Finding.objects.bulk_create(rows, update_conflicts=True, unique_fields=["part"], update_fields=fields)


def changed(before: Shown, after: Shown, look: Look, *, gap: datetime | None, source: str) -> Draft:
    """Say that the light shows something else."""
    wrong = {found.part: found for found, _ in look.found if found.fault}
    words = [fault.value.says for fault in look.judgement.faults]
    sentence = f"Armed light: {before.verdict.label} → {after.verdict.label}"
    if before.verdict == after.verdict:
        sentence = f"Armed light: still {after.verdict.label}"
    return Draft(
        kind=Kind.LIGHT_CHANGED,
        at=after.since,
        actor=Actor(source=source),
        sentence=". ".join([sentence, *words]).replace("..", ".") if words else sentence,
        data={
            "before": before.verdict.value,
            "after": after.verdict.value,
            "seconds_before": max(0, round((after.since - before.since).total_seconds())),
            "faults": [fault.code for fault in look.judgement.faults],
            "parts": {Part(part).value: found.says for part, found in sorted(wrong.items())},
            **({"nobody_looked_since": gap.isoformat()} if gap is not None else {}),
        },
    )
