"""Figures for Prometheus, read from the database when they are asked for: they hold for all processes on all machines.

A handful of questions, each along an index or over a table of a few rows. None grows with the audit trail.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import product

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector

from killswitch.audit import verification
from killswitch.audit.models import Kind
from killswitch.audit.queries import head
from killswitch.book.models import Account
from killswitch.kills.models import Kill, KilledOrder, State, Sweep
from killswitch.kills.queries import ENDED_BADLY
from killswitch.notary import queries as notary
from killswitch.telling import queries as telling
from killswitch.version import VERSION

from .counted import ENDS, Counted, Histogram, counted
from .heartbeats import FORGOTTEN_AFTER
from .models import Heartbeat, Watch
from .queries import light
from .verdict import Verdict

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
# Of these kills the orders that did not go are counted: those that run, and so many of the last that ended.
LAST_KILLS = 20
LATELY = timedelta(hours=24)


def exposition() -> bytes:
    """Return every figure in Prometheus' text form. Raises django.db.Error."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures())
    return generate_latest(registry)


class _Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        # Signs of life are written by the database's time.
        watch = Watch.objects.with_time().filter(id=1).first()
        now = watch.now if watch is not None else timezone.now()
        yield _gauge("killswitch_build_info", "Which version answers.", [({"version": VERSION}, 1)])
        yield from _light(watch.seen_at if watch is not None else None, now)
        yield from _heartbeats(now)
        yield from _kills(now)
        yield from _book(now)
        yield from _trail(now)
        yield from _messages(now)
        yield from _counted(counted())


def _light(looked: datetime | None, now: datetime) -> Iterator[Metric]:
    shown = light()
    yield _one("killswitch_armed", "Whether a kill would go through, now.", shown.is_armed)
    verdicts = [({"verdict": verdict.value}, verdict == shown.verdict) for verdict in Verdict]
    yield _gauge("killswitch_light", "1 for what the armed light shows.", verdicts)
    parts = [({"part": each.part.value}, each.fault is None) for each in shown.parts]
    yield _gauge("killswitch_part_well", "Whether a part of the way from button to broker is well.", parts)
    yield _age("killswitch_lookout_age_seconds", "Since the lookout last looked.", looked, now)


def _heartbeats(now: datetime) -> Iterator[Metric]:
    rows = list(Heartbeat.objects.filter(seen_at__gt=now - FORGOTTEN_AFTER).order_by("who", "where"))
    names = [{"who": row.who, "where": row.where} for row in rows]
    ages = [(name, _seconds(now - row.seen_at)) for name, row in zip(names, rows, strict=True)]
    yield _gauge("killswitch_heartbeat_age_seconds", "Since a worker or watchdog last gave a sign of life.", ages)
    reach = [(name, not (row.trouble or row.is_stuck)) for name, row in zip(names, rows, strict=True)]
    yield _gauge(
        "killswitch_reaches_broker", "Whether a worker or watchdog reaches the broker from where it is.", reach
    )
    trips = [_seconds(row.seen_at - row.sent_at) for row in rows if row.sent_at is not None]
    words = "How long a task last took through the queue of the kills, at the slowest worker."
    yield _gauge("killswitch_queue_trip_seconds", words, [({}, trip) for trip in sorted(trips)[-1:]])


def _kills(now: datetime) -> Iterator[Metric]:
    open_kills = list(
        Kill.objects.filter(ended_at=None).only("engaged_at", "state", "latched", "released_at", "dry_run")
    )
    running = [kill for kill in open_kills if kill.state != State.LATCHED]
    yield _one("killswitch_kills_running", "Kills that have not ended and are not quiet.", len(running))
    yield _one(
        "killswitch_kills_latched", "Latched kills that nobody has released.", sum(k.is_held for k in open_kills)
    )
    oldest = min((kill.engaged_at for kill in running), default=None)
    yield _one("killswitch_oldest_running_kill_seconds", "Since the press of the oldest one.", _since(oldest, now))
    waiting = Sweep.objects.filter(ended_at=None, lease_until=None)
    first = waiting.aggregate(number=Count("id"), first=Min("kill__committed_at"))
    yield _one("killswitch_sweeps_waiting", "Accounts of kills that nobody has taken up yet.", first["number"])
    yield _one(
        "killswitch_queue_age_seconds", "For how long the first of them has waited.", _since(first["first"], now)
    )
    yield _gauge(
        "killswitch_orders_not_gone",
        f"Orders left by kills that run, and by the last {LAST_KILLS} that ended within a day.",
        [({"outcome": str(outcome)}, number) for outcome, number in _not_gone(now).items()],
    )


def _not_gone(now: datetime) -> dict[str, int]:
    ended = Kill.objects.filter(ended_at__gt=now - LATELY, dry_run=False).order_by("-ended_at")
    kills = [*Kill.objects.filter(ended_at=None, dry_run=False), *ended[:LAST_KILLS]]
    orders = KilledOrder.objects.filter(sweep__kill__in=[kill.id for kill in kills], outcome__in=ENDED_BADLY)
    counts = dict(orders.order_by().values_list("outcome").annotate(Count("id")))
    return {outcome: counts.get(outcome, 0) for outcome in ENDED_BADLY}


def _book(now: datetime) -> Iterator[Metric]:
    found = Account.objects.filter(is_listed=True).aggregate(number=Count("account_id"), oldest=Min("listed_at"))
    yield _one("killswitch_accounts", "Accounts that the broker names.", found["number"])
    yield _age("killswitch_book_age_seconds", "Age of the oldest list of open orders.", found["oldest"], now)


def _trail(now: datetime) -> Iterator[Metric]:
    entries = CounterMetricFamily("killswitch_audit_entries", "Number of the last entry of the audit trail.")
    entries.add_metric([], head())
    yield entries
    verified, anchors = verification.standing(), notary.standing(now)
    ended = verified.last.ended_at if verified.last is not None else None
    yield _age("killswitch_audit_verified_age_seconds", "Since the whole trail was last verified.", ended, now)
    is_broken = bool(verified.broken or anchors.contradictions)
    yield _one("killswitch_audit_broken", "Whether the trail was found not to hold.", is_broken)
    anchored = anchors.last.at if anchors.last is not None else None
    yield _age("killswitch_anchor_age_seconds", "Since the last anchor was made.", anchored, now)
    yield _one("killswitch_anchor_entries_after", "Entries after the last anchor.", anchors.entries_after)
    late = sum(place.is_late for place in anchors.places)
    yield _one("killswitch_anchor_places_late", "Places where anchors do not arrive.", late)
    yield _age("killswitch_notary_age_seconds", "Since a notary was last heard of.", anchors.seen_at, now)


def _messages(now: datetime) -> Iterator[Metric]:
    standing = telling.standing(now)
    yield _age("killswitch_teller_age_seconds", "Since a teller was last heard of.", standing.seen_at, now)
    # A place that took another's name a moment ago stands for both: a series must not be told twice.
    places = {place.delivery.name: place for place in sorted(standing.places, key=lambda each: each.delivery.seen_at)}
    for name, words, column in (
        ("killswitch_messages_told", "Messages that a place took.", "told_count"),
        ("killswitch_messages_failed", "Tries to bring a message that failed.", "failed_count"),
    ):
        counter = CounterMetricFamily(name, words, labels=["place"])
        for place, row in places.items():
            counter.add_metric([place], getattr(row.delivery, column) or 0)
        yield counter
    waits = [({"place": name}, _since(telling.waiting_since(row.delivery), now)) for name, row in places.items()]
    yield _gauge("killswitch_message_waiting_seconds", "Since the oldest news that a place was not told of.", waits)
    late = [({"place": name}, row.is_late) for name, row in places.items()]
    yield _gauge("killswitch_message_place_late", "Whether a place has kept failing for too long.", late)


def _counted(told: Counted) -> Iterator[Metric]:
    for kind, name, words in (
        (Kind.KILL_ENGAGED, "killswitch_kills_engaged", "Kills pressed, drills among them."),
        (Kind.KILL_REFUSED, "killswitch_kills_refused", "Presses that were refused."),
        (Kind.SWEEP_TAKEN_OVER, "killswitch_sweeps_taken_over", "Accounts that somebody else had to finish."),
        (Kind.JOURNAL_IMPORTED, "killswitch_break_glass_imported", "Break-glass kills taken into the record."),
        (Kind.LOGIN_FAILED, "killswitch_logins_refused", "Log-ins that were refused."),
        (Kind.DENIED, "killswitch_permissions_denied", "Things that somebody had no right to."),
    ):
        counter = CounterMetricFamily(name, words)
        counter.add_metric([], told.entries[kind])
        yield counter
    ended = CounterMetricFamily("killswitch_kills_ended", "Kills that ended.", labels=["outcome", "dry_run"])
    # Each of them from the beginning: a series that begins with 1 has not risen, for Prometheus.
    for outcome, dry_run in product(ENDS, (False, True)):
        ended.add_metric([str(outcome), str(dry_run).lower()], told.ended[str(outcome), dry_run])
    yield ended
    name, words = "killswitch_press_to_first_delete_seconds", "From the press to when the first cancel left."
    yield _histogram(name, words, told.first_delete)
    words = "From the press to when the last account was flat, of kills that ended flat."
    yield _histogram("killswitch_press_to_flat_seconds", words, told.flat)


# --- in Prometheus' words


def _gauge(name: str, words: str, values: Iterable[tuple[dict[str, str], float]]) -> Metric:
    told = list(values)
    family = GaugeMetricFamily(name, words, labels=list(told[0][0]) if told else [])
    for labels, value in told:
        family.add_metric(list(labels.values()), float(value))
    return family


def _one(name: str, words: str, value: float) -> Metric:
    return _gauge(name, words, [({}, value)])


def _age(name: str, words: str, at: datetime | None, now: datetime) -> Metric:
    """Leave out the age of what never was: an alert asks for its absence."""
    return _gauge(name, words, [] if at is None else [({}, _seconds(now - at))])


def _histogram(name: str, words: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, words, buckets=histogram.buckets, sum_value=histogram.total)


def _since(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else _seconds(now - at)


def _seconds(age: timedelta) -> float:
    return max(0.0, age.total_seconds())
