"""Who carries out which sweeps: a claim is a lease that expires, and every later write must still hold its token."""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Draft
from killswitch.audit.queries import unanswered
from killswitch.database_clock import is_free, lease
from killswitch.database_clock import now as database_now
from killswitch.which_broker import broker_host, in_words, is_here

from .ends import settle
from .entries import Subject, announce_mass_cancel, kill_left, never_answered, order_ended, sweep_ended
from .models import Kill, KilledOrder, Outcome, Roster, State, Sweep
from .record import LEASE
from .told import append

BREAK_OFFS = 3


@dataclass(frozen=True)
class ClaimedSweep:
    """A sweep that is ours until the lease ends."""

    sweep: Sweep
    mass_cancel_id: uuid.UUID | None  # announced and not yet sent
    orders: list[KilledOrder]  # touched by whoever had it before
    is_new: bool


@dataclass(frozen=True)
class Claim:
    kill: Kill
    token: uuid.UUID
    source: str
    sweeps: list[ClaimedSweep]
    has_roster: bool


def claim(kill_id: uuid.UUID, source: str) -> Claim | None:
    """Take every sweep of a kill that nobody holds, and announce the mass cancels of those that are new.

    All in one transaction, so that the first DELETEs leave as soon as it is committed. Returns None where nothing is
    left to take, or where the kill was pressed for another broker than this process asks.
    """
    now, token = timezone.now(), uuid.uuid4()
    with transaction.atomic():
        kill = Kill.objects.filter(id=kill_id, ended_at=None).first()
        if kill is None:
            return None
        if not is_here(kill.broker):
            append(_leave(kill, source, now))
            return None
        # Sweeps before the kill, as every other transaction locks them; the end of the chain last.
        claimed, drafts = _take_sweeps(kill, token, now, source)
        has_roster = _take_roster(kill, token)
        append(drafts)
    if not claimed and not has_roster:
        return None
    return Claim(kill, token, source, claimed, has_roster)


def _leave(kill: Kill, source: str, now: datetime) -> list[Draft]:
    """Note that a kill of another broker is left alone here: carried out, it would end as flat and cancel nothing.

    Returns what to append: something the first time only.
    """
    here = in_words()
    if not Kill.objects.filter(id=kill.id, left_by="").update(left_by=f"{source}, which asks {here}"):
        return []
    return [kill_left(kill, source, here, now)]


def _roster_is_open() -> Q:
    """Match kills that (still) ask the broker which accounts there are; a latched one asks until it is released."""
    held = Q(latched=True, released_at=None) & ~Q(roster=Roster.GIVEN)
    return Q(roster=Roster.PENDING) | held


def _my_roster(claim: Claim) -> QuerySet[Kill]:
    return Kill.objects.filter(_roster_is_open(), id=claim.kill.id, lease_token=claim.token)


def _take_roster(kill: Kill, token: uuid.UUID) -> bool:
    if kill.roster == Roster.GIVEN:  # for good, and a DELETE waits for each statement
        return False
    pending = Kill.objects.filter(is_free(), _roster_is_open(), id=kill.id)
    return pending.update(lease_token=token, lease_until=lease(LEASE)) == 1


def _take_sweeps(kill: Kill, token: uuid.UUID, now: datetime, source: str) -> tuple[list[ClaimedSweep], list[Draft]]:
    """Take what is due of a kill's sweeps. Return them with what is to be told."""
    due = Sweep.objects.filter(is_free(), kill=kill, ended_at=None)
    # One statement, for a DELETE waits for each: what a sweep that is taken over has noted stays.
    noted = {name: Coalesce(F(name), now) for name in ("claimed_at", *first_attempt(kill, now))}
    if not due.update(lease_token=token, lease_until=lease(LEASE), **noted):
        return [], []
    sweeps = list(Sweep.objects.filter(kill=kill, lease_token=token).order_by("account_id"))
    drafts, claimed = announce(kill, [sweep for sweep in sweeps if sweep.claimed_at == now], source, now)
    orphaned = [sweep for sweep in sweeps if sweep.claimed_at != now]
    drafts += _take_over(kill, orphaned, source, now)
    touched = _orders_of(kill, token) if orphaned else {}
    return claimed + [ClaimedSweep(sweep, None, touched.get(sweep.id, []), False) for sweep in orphaned], drafts


def _orders_of(kill: Kill, token: uuid.UUID) -> dict[int, list[KilledOrder]]:
    """Return the orders of all sweeps of one claim in one question: nobody else can write while it is asked."""
    grouped = defaultdict(list)
    for row in KilledOrder.objects.filter(sweep__kill=kill, sweep__lease_token=token).order_by("id"):
        grouped[row.sweep_id].append(row)
    return grouped


def _goes_out_at_once(kill: Kill) -> bool:
    """Say whether the first thing that leaves is a mass cancel, blind."""
    return kill.filter.is_for_the_broker and not kill.dry_run


def first_attempt(kill: Kill, now: datetime) -> dict[str, datetime]:
    """Return what a new sweep notes of its first attempt when that leaves at once."""
    return {"first_attempt_at": now} if _goes_out_at_once(kill) else {}


def announce(kill: Kill, sweeps: Iterable[Sweep], source: str, now: datetime) -> tuple[list[Draft], list[ClaimedSweep]]:
    """Say what goes out first on sweeps that are new, and return them with the numbers of those attempts."""
    drafts, claimed = [], []
    for sweep in sweeps:
        attempt_id = uuid.uuid4() if _goes_out_at_once(kill) else None
        if attempt_id:
            subject = Subject.of(kill, sweep.account_id, source)
            drafts.append(announce_mass_cancel(subject, attempt_id, now))
        claimed.append(ClaimedSweep(sweep, attempt_id, [], True))
    return drafts, claimed


def _take_over(kill: Kill, sweeps: list[Sweep], source: str, now: datetime) -> list[Draft]:
    """Say of every attempt without an answer that there is none: it is looked up before anything is sent again."""
    if not sweeps:
        return []
    drafts = [
        Subject.of(kill, sweep.account_id, source).draft(
            Kind.SWEEP_TAKEN_OVER,
            f"Took over account {sweep.account_id}: whoever worked on it before has not been heard of",
            now,
        )
        for sweep in sweeps
    ]
    for entry in unanswered(kill.id, [sweep.account_id for sweep in sweeps]):
        subject = Subject.of(kill, entry.account_id or 0, source)
        drafts.append(never_answered(subject, entry.attempt_id or uuid.uuid4(), entry.order_id, now))
    return drafts


def add_accounts(claim: Claim, account_ids: list[int], is_whole: bool) -> list[ClaimedSweep]:
    """Add sweeps for accounts that the broker named and nobody knew, and take them; `is_whole` ends the question.

    Returns nothing where somebody else has taken the question over.
    """
    now = timezone.now()
    with transaction.atomic():
        answer = {"roster": Roster.CONFIRMED, "roster_error": ""} if is_whole else {}
        if not _my_roster(claim).update(lease_until=lease(LEASE), **answer):
            return []
        known = set(Sweep.objects.filter(kill=claim.kill).values_list("account_id", flat=True))
        new = sorted(set(account_ids) - known)
        sweeps = [
            Sweep(
                kill=claim.kill,
                account_id=account_id,
                lease_token=claim.token,
                lease_until=lease(LEASE),
                claimed_at=now,
                **first_attempt(claim.kill, now),
            )
            for account_id in new
        ]
        Sweep.objects.bulk_create(sweeps)
        added = list(Sweep.objects.filter(kill=claim.kill, account_id__in=new).order_by("account_id"))
        drafts, claimed = announce(claim.kill, added, claim.source, now)
        append([*widened(claim, new, now), *drafts, *settle(claim.kill.id, claim.source)])
    return claimed


def widened(claim: Claim, new: list[int], now: datetime) -> list[Draft]:
    if not new:
        return []
    subject = Subject.of(claim.kill, new[0], claim.source)
    words = f"The broker named {len(new)} accounts that were not known here: they are swept as well"
    return [subject.draft(Kind.KILL_WIDENED, words, now, account_id=None, data={"accounts": new})]


def break_off(claim: Claim, sweep: Sweep, why: str) -> None:
    """Give a sweep back after an unexpected error, so that somebody takes it up again at once.

    After the third time it ends as unknown: the same error would come for ever, and each time more is sent.
    """
    now = timezone.now()
    with transaction.atomic():
        mine = Sweep.objects.filter(id=sweep.id, lease_token=claim.token, ended_at=None)
        if not mine.update(break_offs=F("break_offs") + 1, lease_token=None, lease_until=database_now()):
            return
        worn_out = Sweep.objects.filter(id=sweep.id, break_offs__gte=BREAK_OFFS)
        if worn_out.update(state=State.UNKNOWN, ended_at=now, error=why):
            subject = Subject.of(claim.kill, sweep.account_id, claim.source)
            told = [*_left_behind(claim, sweep, now), sweep_ended(subject, State.UNKNOWN, None, why, now)]
            append([*told, *settle(claim.kill.id, claim.source)])


def _left_behind(claim: Claim, sweep: Sweep, now: datetime) -> list[Draft]:
    """Give every order of a sweep that nobody finishes an outcome, and every attempt of it an end."""
    subject = Subject.of(claim.kill, sweep.account_id, claim.source)
    attempts = unanswered(claim.kill.id, [sweep.account_id])
    told = [never_answered(subject, entry.attempt_id or uuid.uuid4(), entry.order_id, now) for entry in attempts]
    rows = list(KilledOrder.objects.filter(sweep=sweep, outcome=Outcome.PENDING))
    for row in rows:
        row.outcome, row.ended_at, row.updated_at = Outcome.UNKNOWN, now, now
    KilledOrder.objects.bulk_update(rows, ["outcome", "ended_at", "updated_at"], batch_size=500)
    return [*told, *(order_ended(subject, row, now) for row in rows)]


def note_roster_error(claim: Claim, why: str) -> None:
    """Show on the kill why the accounts are not known yet; the question stays open."""
    _my_roster(claim).update(roster_error=f"The accounts could not be listed: {why}")


def give_up_roster(claim: Claim, why: str) -> None:
    """Write that the broker did not say which accounts there are: the kill cannot be called flat."""
    with transaction.atomic():
        if _my_roster(claim).update(roster=Roster.FAILED, roster_error=f"The accounts could not be listed: {why}"):
            append(settle(claim.kill.id, claim.source))


def renew_roster(claim: Claim) -> None:
    _my_roster(claim).update(lease_until=lease(LEASE))


def is_held(kill_id: uuid.UUID) -> bool:
    """Say whether a kill is latched and not released, as the database has it now."""
    return Kill.objects.filter(id=kill_id, latched=True, released_at=None).exists()


def let_go(claim: Claim, sweep: Sweep) -> None:
    """Give a sweep back that is no longer worked on, unless somebody else has it: its lease would be renewed."""
    mine = Sweep.objects.filter(id=sweep.id, lease_token=claim.token, ended_at=None)
    mine.update(lease_token=None, lease_until=database_now())


def is_taken(kill_id: uuid.UUID) -> bool:
    """Say whether somebody holds a part of a kill at this moment."""
    held = Q(ended_at=None, lease_token__isnull=False, lease_until__gt=database_now())
    return Sweep.objects.filter(held, kill_id=kill_id).exists() or Kill.objects.filter(held, id=kill_id).exists()


def hand_over(claim: Claim, sweep: Sweep) -> None:
    """Give a sweep back before this process ends, so that somebody else takes it up at once."""
    now = timezone.now()
    with transaction.atomic():
        mine = Sweep.objects.filter(id=sweep.id, lease_token=claim.token, ended_at=None)
        if mine.update(lease_token=None, lease_until=database_now()):
            subject = Subject.of(claim.kill, sweep.account_id, claim.source)
            words = f"Handed account {sweep.account_id} over: this process is about to end"
            append([subject.draft(Kind.SWEEP_HANDED_OVER, words, now)])


def hand_over_roster(claim: Claim) -> None:
    _my_roster(claim).update(lease_token=None, lease_until=database_now())


def overdue(grace: timedelta) -> list[uuid.UUID]:
    """Return the kills that nobody works on: not taken for so long after they were committed, or let go of.

    One of another broker comes until it is noted that it is left alone.
    """
    let_go_of, unclaimed_before = Q(lease_until__lt=database_now()), database_now() - grace
    never_taken = Q(lease_until=None, kill__committed_at__lt=unclaimed_before)
    sweeps = Sweep.objects.filter(never_taken | let_go_of, _ours_or_news("kill__"), ended_at=None)
    never_asked = Q(lease_until=None, committed_at__lt=unclaimed_before)
    rosters = Kill.objects.filter(never_asked | let_go_of, _roster_is_open(), _ours_or_news(), ended_at=None)
    return list(dict.fromkeys([*sweeps.values_list("kill_id", flat=True), *rosters.values_list("id", flat=True)]))


def _ours_or_news(to_the_kill: str = "") -> Q:
    """Match kills of the broker that this process asks, and those of another that nobody has left alone yet."""
    told = {"broker": "", "broker__startswith": f"{broker_host()} (", "left_by": ""}
    return Q(*((f"{to_the_kill}{name}", value) for name, value in told.items()), _connector=Q.OR)


def left_alone(kill: Kill) -> bool:
    """Say whether a kill waits for somebody who asks the broker that it was pressed for."""
    return bool(kill.left_by) and not kill.is_over and not is_taken(kill.id)


def all_left_alone() -> list[Kill]:
    """Return the kills, but for dry runs, that wait for somebody who asks the broker that they were pressed for."""
    left = Kill.objects.filter(ended_at=None, dry_run=False).exclude(left_by="")
    return [kill for kill in left if left_alone(kill)]
