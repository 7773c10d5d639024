"""Verify the chain in the database: asked for, carried out in the background or at once, resumed where it stood."""

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from killswitch.database_clock import is_free, lease
from killswitch.database_clock import now as database_now

from . import verify_export
from .ahead import Walk, follow
from .anchors import anchor_line, anchors_of
from .models import AnchorKey, Entry, Kind, Span, Verification
from .operations import Actor, Draft, append
from .verify_export import CannotCheck, Finding, PublicKey, Report

LEASE = timedelta(seconds=30)
SAVE_EVERY = 1.0  # seconds
DAILY = timedelta(hours=24)
TAKEN_UP_WITHIN = timedelta(seconds=30)
# Stretches of the trail whose times are looked at in one question.
SPANS_AT_ONCE = 50
# Entries that take longer to read than it takes to start processes that read.
WORTH_READERS = 50_000
# How many findings go into the record; all that were kept stand in the row.
FINDINGS_TOLD = 5

State = Verification.State
UNDER_WAY = (State.ASKED, State.RUNNING)

Progress = Callable[[Verification], None]


class LostLease(Exception):
    """Somebody else goes on with it."""


@dataclass(frozen=True)
class Evidence:
    """What the chain is held against, besides itself.

    Keys that only the database knows are as good as the database: whoever could write all of it anew could have put
    them there. `keys` come from elsewhere.
    """

    keys: Sequence[PublicKey] = ()
    anchors: Sequence[verify_export.Anchor | bytes] = ()  # from a file, beside those of the table

    @classmethod
    def of_keys(cls, pem: str) -> "Evidence":
        """Raises CannotCheck."""
        return cls(keys=verify_export.public_keys_of(pem) if pem else ())


# --- asking


def ask(*, actor: Actor, first: int = 1, last: int | None = None) -> Verification:
    """Ask for a verification in the background; return the one that is under way already where there is one."""
    with transaction.atomic():
        same = Verification.objects.filter(in_background=True, state__in=UNDER_WAY, first=first, last=last)
        return same.order_by("id").first() or _begin(actor, first, last)


def ask_daily(*, actor: Actor) -> Verification | None:
    """Ask for a verification of the whole trail, unless one was asked for within the last day, or there is none."""
    with transaction.atomic():
        recent = Verification.objects.filter(first=1, last_asked=None, asked_at__gt=database_now() - DAILY)
        return None if recent.exists() or not last_sequence() else _begin(actor, 1, None)


def _begin(actor: Actor, first: int, last: int | None, *, in_background: bool = True) -> Verification:
    return Verification.objects.create(
        asked_by_id=actor.id,
        asked_by_name=actor.name,
        source=actor.source,
        first=first,
        next=first,
        last_asked=last,
        in_background=in_background,
    )


# --- carrying out


def carry_out_next(
    *, public_keys: str = "", is_ending: Callable[[], bool] = lambda: False, progress: Progress = lambda _: None
) -> Verification | None:
    """Carry out the oldest verification that is asked for and that nobody holds. Return None where there is none.

    `public_keys` is PEM: the keys that may have signed anchors, as known from elsewhere than the database. When
    `is_ending` says so, how far it came is kept, and whoever calls next goes on from there.
    """
    waiting = Verification.objects.filter(is_free(), in_background=True, state__in=UNDER_WAY)
    for found in waiting.order_by("id"):
        token = _take(waiting.filter(id=found.id))
        if token is not None:
            return _carry_out(found.id, token, lambda: Evidence.of_keys(public_keys), is_ending, progress, State.ASKED)
    return None


def carry_out_now(
    *,
    actor: Actor,
    first: int = 1,
    last: int | None = None,
    evidence: Evidence,
    is_ending: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _: None,
    readers: int = 1,
) -> Verification:
    """Verify now, and read with so many processes. When `is_ending` says so it is stopped, and can be resumed."""
    begun = _begin(actor, first, last, in_background=False)
    return _at_once(begun, evidence, is_ending, progress, readers)


def resume(
    *,
    evidence: Evidence,
    is_ending: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _: None,
    readers: int = 1,
) -> Verification | None:
    """Go on with the last one that was stopped, or broke off. Return None where there is none."""
    stopped = Verification.objects.filter(is_free(), in_background=False, state__in=(State.STOPPED, *UNDER_WAY))
    found = stopped.order_by("-id").first()
    return None if found is None else _at_once(found, evidence, is_ending, progress, readers)


def _at_once(
    row: Verification, evidence: Evidence, is_ending: Callable[[], bool], progress: Progress, readers: int
) -> Verification:
    token = _take(Verification.objects.filter(is_free(), id=row.id))
    if token is None:
        raise LostLease
    return _carry_out(row.id, token, lambda: evidence, is_ending, progress, State.STOPPED, readers)


def _take(free: QuerySet[Verification]) -> uuid.UUID | None:
    token = uuid.uuid4()
    started = Coalesce("started_at", database_now())
    taken = free.update(state=State.RUNNING, lease_token=token, lease_until=lease(LEASE), started_at=started)
    return token if taken else None


def _carry_out(
    verification_id: int,
    token: uuid.UUID,
    evidence: Callable[[], Evidence],
    is_ending: Callable[[], bool],
    progress: Progress,
    when_ending: str,
    readers: int = 1,
) -> Verification:
    mine = Verification.objects.filter(id=verification_id, lease_token=token, state=State.RUNNING)
    try:
        told = _Run(mine, evidence(), is_ending, progress, readers).to_its_end()
    except (DatabaseError, LostLease):
        raise
    except CannotCheck as error:
        mine.update(state=State.FAILED, ended_at=database_now(), finding={"error": str(error)}, lease_until=None)
    except Exception as error:
        # The same would come again and again.
        why = f"It broke off by an error of the program: {type(error).__name__}"
        mine.update(state=State.FAILED, ended_at=database_now(), finding={"error": why}, lease_until=None)
        raise
    else:
        if told is None:
            mine.update(state=when_ending, lease_token=None, lease_until=None)
        else:
            _end(mine, told)
    return Verification.objects.get(id=verification_id)


class _Run:
    """One process's work on a verification."""

    def __init__(
        self,
        mine: QuerySet[Verification],
        evidence: Evidence,
        is_ending: Callable[[], bool],
        progress: Progress,
        readers: int,
    ) -> None:
        self._mine = mine
        self._evidence = evidence
        self._is_ending = is_ending
        self._progress = progress
        self._readers = readers
        # Anchors before the end of the chain: it only grows meanwhile.
        self._keys = _Keys.of(evidence)
        self._anchors, self._wrong = _anchors(evidence, self._keys.all)
        self._row = row = self._mine.get()
        end = last_sequence()
        if row.last is None:
            row.last = end if row.last_asked is None else min(end, row.last_asked)
            mine.update(last=row.last)
        within = [anchor for anchor in self._anchors if row.first <= anchor.sequence <= row.last]
        self._walk = Walk.taken_up(row.kept, within) if row.kept else Walk(within, expected=row.first)
        if not row.kept:
            self._walk.head = _hash_before(row.first)
        self._is_cut_off_at = end if self._anchors and self._anchors[-1].sequence > end else None

    def to_its_end(self) -> Report | None:
        """Return what it came to, or None when it has to stop before. Raises CannotCheck, LostLease."""
        walk = self._walk
        saved = time.monotonic()
        after, up_to = (walk.expected or 1) - 1, self._row.last or 0
        readers = self._readers if up_to - after >= WORTH_READERS else 1
        for _ in follow(walk, after=after, up_to=up_to, readers=readers):
            is_ending = self._is_ending()
            if is_ending or time.monotonic() - saved > SAVE_EVERY:
                self._save()
                saved = time.monotonic()
            if is_ending:
                return None
        self._save()
        return self._report()

    def _save(self) -> None:
        walk, row = self._walk, self._row
        row.next, row.checked, row.kept = walk.expected or 1, walk.checked, walk.kept()
        values = {"next": row.next, "checked": row.checked, "kept": row.kept, "lease_until": lease(LEASE)}
        if not self._mine.update(**values):
            raise LostLease
        self._progress(row)

    def _report(self) -> Report:
        row, walk = self._row, self._walk
        if not walk.checked and self._is_cut_off_at is None:
            raise CannotCheck("There is no entry in that range: nothing was checked.")
        told = verify_export.report(
            walk,
            anchors_given=len(self._anchors) + len(self._wrong),
            wrong_anchors=self._wrong,
            up_to=row.last_asked,
            must_reach_anchors=False,
        )
        if row.first == 1:
            told.findings[:0] = _before_the_first()
        if self._is_cut_off_at is not None:
            beyond = Finding("cut_off", self._is_cut_off_at + 1, self._anchors[-1].sequence)
            told.findings.insert(len(walk.findings()), beyond)
        told.findings += self._wrong_times()
        for finding in told.findings:
            finding.place = 0
        self._count_trusted_only(told)
        told.notes += self._keys.notes(self._anchors)
        return told

    def _wrong_times(self) -> list[Finding]:
        """Ask for some stretches at a time, and keep the lease: a long trail takes minutes.

        Also of one that is not whole: there is a note of it where the trail was cut off and has grown again.
        """
        size, last = Span.SIZE, self._row.last or 0
        found: list[Finding] = []
        for before in range((self._row.first - 1) // size * size, last, SPANS_AT_ONCE * size):
            found += _wrong_times(before + 1, min(last, before + SPANS_AT_ONCE * size))
            self._save()
        return found

    def _count_trusted_only(self, told: Report) -> None:
        """Let only anchors of keys that are known from elsewhere vouch, where there are such keys.

        The others still have to fit. But whoever wrote the chain anew could have signed it anew, and put the key here.
        """
        names = {key.name for key in self._keys.trusted}
        if not names:
            return
        first, last = told.first or 1, told.last or 0
        until = self._walk.differs[0] if self._walk.differs else last + 1
        held = [a for a in self._anchors if a.key in names and first <= a.sequence <= last and a.sequence < until]
        told.anchors_held, told.last_anchor = len(held), held[-1] if held else None
        told.proven = min(told.proven, held[-1].sequence - first + 1) if held else 0


@dataclass
class _Keys:
    trusted: Sequence[PublicKey] = ()
    stored: list[PublicKey] = field(default_factory=list)

    @classmethod
    def of(cls, evidence: Evidence) -> "_Keys":
        keys = cls(evidence.keys)
        names = {key.name for key in evidence.keys}
        for row in AnchorKey.objects.order_by("first_used_at", "id"):
            try:
                found = verify_export.public_keys_of(row.public)
            except CannotCheck:
                continue
            keys.stored += [key for key in found if key.name not in names]
        return keys

    @property
    def all(self) -> list[PublicKey]:
        return [*self.trusted, *self.stored]

    def notes(self, anchors: Sequence[verify_export.Anchor]) -> list[str]:
        untold = {anchor.key for anchor in anchors} - {key.name for key in self.trusted}
        if not untold:
            return []
        names = ", ".join(sorted(untold))
        return [
            f"Key {names} is known from this database only, where whoever wrote the chain anew could have put it"
            + (": its anchors vouch for nothing here. " if self.trusted else ". ")
            + "Check with the public keys, and with anchors, that were kept elsewhere (manage.py verify_audit)."
        ]


def _anchors(evidence: Evidence, keys: Sequence[PublicKey]) -> tuple[list[verify_export.Anchor], list[Finding]]:
    """Return the anchors of the table and of the file that a known key signed, and what is wrong with the others."""
    stored: list[verify_export.Anchor | bytes] = []
    wrong = []
    for row in anchors_of():
        anchor = verify_export.anchor_of(anchor_line(row))
        if anchor is None:
            wrong.append(Finding("anchor_edited", row.sequence, row.sequence))
        else:
            stored.append(anchor)
    good, not_signed = verify_export.check_anchors([*stored, *evidence.anchors], keys)
    return good, [*wrong, *not_signed]


def last_sequence() -> int:
    return Entry.objects.order_by("-id").values_list("id", flat=True).first() or 0


def _hash_before(first: int) -> bytes | None:
    if first == 1:
        return verify_export.GENESIS
    before = Entry.objects.filter(id=first - 1).values_list("hash", flat=True).first()
    return None if before is None else before.encode()


def _before_the_first() -> list[Finding]:
    """Find what somebody numbered below the first entry, where no walk comes by."""
    number = Entry.objects.filter(id__lt=1).order_by("id").values_list("id", flat=True).first()
    return [] if number is None else [Finding("inserted", number, number, detail="No entry has a number below 1.")]


def _wrong_times(first: int, last: int) -> list[Finding]:
    """Find stretches whose note of their times keeps a search from some of their entries."""
    size = Span.SIZE
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT span.id FROM {Span._meta.db_table} AS span JOIN ("  # noqa: S608
            f"SELECT (id - 1) / {size} + 1 AS stretch, min(at) AS first_at, max(at) AS last_at "
            f"FROM {Entry._meta.db_table} WHERE id >= %s AND id <= %s GROUP BY 1) AS told ON told.stretch = span.id "
            "WHERE span.first_at > told.first_at OR span.last_at < told.last_at ORDER BY 1",
            [first, last],
        )
        return [Finding("times", (number - 1) * size + 1, number * size) for (number,) in cursor.fetchall()]


def _end(mine: QuerySet[Verification], told: Report) -> None:
    """Write what it came to, and that as an entry."""
    finding = json.loads(json.dumps(told.as_json()))
    state = State.HOLDS if told.holds else State.BROKEN
    with transaction.atomic():
        values = {"state": state, "finding": finding, "kept": None, "lease_token": None, "lease_until": None}
        row = mine.get()
        if not mine.update(**values, ended_at=database_now()):
            raise LostLease
        append([_draft(row, told, finding)])


def _draft(row: Verification, told: Report, finding: dict[str, Any]) -> Draft:
    kept = ("verdict", "first", "last", "checked", "breaks", "proven_by_anchors", "anchors")
    findings = [
        {name: one[name] for name in ("kind", "first", "last", "found")} for one in finding["findings"][:FINDINGS_TOLD]
    ]
    how = "Verified the audit trail" if told.holds else "The audit trail"
    return Draft(
        kind=Kind.TRAIL_VERIFIED if told.holds else Kind.TRAIL_BROKEN,
        at=timezone.now(),
        sentence=f"{how}: {told.headline}" if told.holds else f"{how} {told.headline}",
        actor=Actor(id=row.asked_by_id, name=row.asked_by_name, source=row.source),
        data={**{name: finding[name] for name in kept}, "findings": findings, "verification": row.id},
    )


# --- how it stands


@dataclass(frozen=True)
class Standing:
    """What is known of the chain: the last whole verification, what was found broken since, what is under way."""

    last: Verification | None
    broken: Verification | None
    under_way: Verification | None
    is_waited_for: bool  # asked for, and nobody takes it up
    failed: Verification | None


def standing() -> Standing:
    rows = Verification.objects.order_by("-id")
    whole = rows.filter(first=1, last_asked=None)
    under_way = rows.filter(state__in=UNDER_WAY).last()
    late = rows.filter(is_free(), state__in=UNDER_WAY, asked_at__lt=database_now() - TAKEN_UP_WITHIN)
    newest = rows.first()
    return Standing(
        last=whole.filter(state__in=(State.HOLDS, State.BROKEN)).first(),
        broken=broken(),
        under_way=under_way,
        is_waited_for=under_way is not None and late.filter(id=under_way.id).exists(),
        failed=newest if newest is not None and newest.state == State.FAILED else None,
    )


def broken() -> Verification | None:
    """Return what was found broken last, unless a later verification of the whole trail holds."""
    ended = Verification.objects.filter(state__in=(State.HOLDS, State.BROKEN)).order_by("-id")
    found = ended.filter(state=State.BROKEN).first()
    if found is None or ended.filter(state=State.HOLDS, first=1, last_asked=None, id__gt=found.id).exists():
        return None
    return found
