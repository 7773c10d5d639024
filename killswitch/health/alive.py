"""Workers, watchdogs and the open book, by what they have written."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from killswitch.book.queries import Freshness, freshness
from killswitch.kills.claims import all_left_alone
from killswitch.kills.watchdog import GRACE
from killswitch.which_broker import broker_address

from .ages import AHEAD, is_fresh
from .found import Found
from .heartbeats import FORGOTTEN_AFTER
from .models import Heartbeat, Watch
from .verdict import Fault, Part

NAMED_AT_MOST = 5
WATCHDOG_LATE = timedelta(seconds=7)  # it beats every two seconds
# A list is old when it was not asked for again three times in a row.
BOOK_ROUNDS = 3
BOOK_OLD = timedelta(seconds=60)


def worker_late() -> timedelta:
    """Return how old the last round trip of a canary may be: three looks, for one may be lost."""
    return timedelta(seconds=max(8.0, 3 * settings.LIGHT_EVERY_SECONDS + 1))


def check_workers(sending_for: Callable[[], float]) -> list[Found]:
    """Return how the workers stand; nothing while the first canary may still be on its way."""
    beats, now = _beats(Heartbeat.Who.WORKER)
    alive = [beat for beat in beats if is_fresh(now - beat.seen_at, worker_late())]
    if not alive:
        if sending_for() < worker_late().total_seconds():
            return []
        return [Found(Part.WORKER, Fault.WORKER_GONE, _silent(beats, now, "no worker has answered"))]
    if elsewhere := _elsewhere(alive):
        return [Found(Part.WORKER, Fault.WORKER_ELSEWHERE, elsewhere)]
    if troubles := _troubles(alive):
        return [Found(Part.WORKER, Fault.WORKER_CUT_OFF, troubles)]
    if stuck := _troubles(alive, is_stuck=True):
        return [Found(Part.WORKER, Fault.WORKER_STUCK, stuck)]
    took = (alive[0].seen_at - (alive[0].sent_at or alive[0].seen_at)).total_seconds()
    fault = Fault.WORKER_SLOW if took > GRACE.total_seconds() else None
    return [Found(Part.WORKER, fault, f"{alive[0].where} took a task within {max(0.0, took) * 1000:,.0f} ms", took)]


def check_watchdogs() -> list[Found]:
    beats, now = _beats(Heartbeat.Who.WATCHDOG)
    alive = [beat for beat in beats if is_fresh(now - beat.seen_at, WATCHDOG_LATE)]
    if not alive:
        return [Found(Part.WATCHDOG, Fault.WATCHDOG_GONE, _silent(beats, now, "none was ever heard of"))]
    if elsewhere := _elsewhere(alive):
        return [Found(Part.WATCHDOG, Fault.WATCHDOG_ELSEWHERE, elsewhere)]
    if troubles := _troubles(alive):
        return [Found(Part.WATCHDOG, Fault.WATCHDOG_CUT_OFF, troubles)]
    if stuck := _troubles(alive, is_stuck=True):
        return [Found(Part.WATCHDOG, Fault.WATCHDOG_STUCK, stuck)]
    silent = [beat for beat in beats if beat not in alive]
    says = "looks: " + ", ".join(beat.where for beat in alive[:NAMED_AT_MOST])
    return [Found(Part.WATCHDOG, None, f"{says}; {_silent(silent, now, '')}" if silent else says)]


def check_kills() -> list[Found]:
    """Return whether a kill waits for somebody who asks the broker that it was pressed for."""
    left = all_left_alone()
    if not left:
        return [Found(Part.KILLS, None, "none was left alone")]
    told = "; ".join(f"kill {kill.id}, pressed for {kill.broker}, by {kill.left_by}" for kill in left[:NAMED_AT_MOST])
    return [Found(Part.KILLS, Fault.KILL_LEFT, f"left alone: {told}")]


def _elsewhere(alive: Sequence[Heartbeat]) -> str:
    """Say who asks another broker than this process; nothing where all ask the same."""
    here = broker_address()
    elsewhere = [beat for beat in alive if beat.broker != here][:NAMED_AT_MOST]
    told = "; ".join(f"{beat.where} asks another broker: {beat.broker}" for beat in elsewhere)
    return f"{told}; the lookout asks {here}" if told else ""


def _troubles(alive: Sequence[Heartbeat], *, is_stuck: bool = False) -> str:
    troubled = [beat for beat in alive if beat.trouble and beat.is_stuck == is_stuck]
    return "; ".join(f"{beat.where}: {beat.trouble}" for beat in troubled[:NAMED_AT_MOST])


def _beats(who: str) -> tuple[Sequence[Heartbeat], datetime]:
    """Return the latest signs of life, newest first, and what time it is by the same clock."""
    now = database_time()
    recent = Heartbeat.objects.filter(who=who, seen_at__gt=now - FORGOTTEN_AFTER)
    return list(recent.order_by("-seen_at")), now


def database_time() -> datetime:
    Watch.objects.get_or_create(id=1)
    return Watch.objects.with_time().get(id=1).now


def _silent(beats: Sequence[Heartbeat], now: datetime, never: str) -> str:
    if not beats:
        return never
    return ", ".join(f"{beat.where} was last heard of {_ago(now - beat.seen_at)}" for beat in beats[:NAMED_AT_MOST])


def _ago(age: timedelta) -> str:
    return "before the database’s clock was set back" if age < -AHEAD else f"{age.total_seconds():,.0f} s ago"


def check_book() -> list[Found]:
    """Return how fresh the open book is. The book's own times are of the machine that lists it."""
    now = timezone.now()
    book = freshness(old_before=now - BOOK_OLD)
    if book.accounts:
        a_round = timedelta(seconds=book.accounts / settings.BOOK_REQUESTS_PER_SECOND)
        book = freshness(old_before=now - max(BOOK_OLD, BOOK_ROUNDS * a_round))
    wrong = _wrong_with_the_book(book, now)
    if wrong:
        return [Found(Part.BOOK, Fault.BOOK_OLD, f"of {book.accounts:,} accounts: {', '.join(wrong)}")]
    oldest = (now - book.oldest_at).total_seconds() if book.oldest_at else 0.0
    return [Found(Part.BOOK, None, f"{book.accounts:,} lists, the oldest {max(0.0, oldest):,.0f} s old")]


def _wrong_with_the_book(book: Freshness, now: datetime) -> list[str]:
    counted = {
        "never listed": book.never,
        "old": book.old,
        "not whole": book.not_whole,
        "failed at the last try": book.failed,
    }
    wrong = [f"{count:,} {words}" for words, count in counted.items() if count]
    if book.accounts_error:
        wrong.insert(0, f"the list of accounts: {book.accounts_error}")
    if book.accounts_at is None:
        wrong.insert(0, "the accounts were never listed")
    elif now - book.accounts_at > 2 * BOOK_OLD:
        wrong.insert(0, "the accounts were not listed for a while")
    return wrong
