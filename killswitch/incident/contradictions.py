"""Where the tables of a kill say something else than its entries in the audit trail.

Only the trail is chained. The tables are what the pages are made of, and whoever can write to the database could change
them without breaking anything: what they say of a kill that is over is held against what was recorded.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from killswitch.audit.chain import canonical
from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill, KilledOrder
from killswitch.snapshot import read_once
from killswitch.words import exact_time

NAMED = 20
ROWS = 2000
SAID = [field.attname for field in Kill._meta.concrete_fields]


@read_once
def of_kill(kill: Kill) -> list[str]:
    """Say what its row contradicts: who, when, what, why, and how it ended."""
    entries = Entry.objects.filter(kill_id=kill.id)
    since = entries.order_by("id").values_list("id", flat=True).first() or 0
    return [*_engaged(kill, entries), *_released(kill, since), *(_ended(kill, entries) if kill.is_over else ())]


def is_contradicted(kill: Kill) -> bool:
    """Say whether its row contradicts the trail. Every page asks: of one that is over, once for each thing it says."""
    if not kill.is_over:
        return bool(of_kill(kill))
    return _is_contradicted(kill.id, repr({name: getattr(kill, name) for name in SAID}))


@lru_cache(maxsize=200)
def _is_contradicted(kill_id: UUID, said: str) -> bool:
    return bool(of_kill(Kill.objects.get(id=kill_id)))


def of_everything(kill: Kill) -> list[str]:
    """Say what any row of a kill contradicts; of one that runs, no more than its own. At most NAMED of them."""
    told: Iterable[str] = of_kill(kill)
    if kill.is_over:
        entries = Entry.objects.filter(kill_id=kill.id)
        told = [*told, *islice(_sweeps(kill, entries), NAMED), *islice(_orders(kill, entries), NAMED)]
    return list(told)[:NAMED]


def _engaged(kill: Kill, entries: QuerySet[Entry]) -> Iterator[str]:
    entry = entries.filter(kind=Kind.KILL_ENGAGED).order_by("id").first()
    if entry is None:
        yield "no entry announces this kill"
        return
    told = entry.data
    yield from _differ("who engaged it", kill.engaged_by_name, entry.actor_name, entry)
    yield from _differ("from where", kill.source, entry.source, entry)
    yield from _differ("when it was engaged", kill.engaged_at, entry.at, entry)
    yield from _reason(kill, entry)
    if kill.scope not in entry.sentence or canonical(kill.filter_data) != canonical(told.get("filter")):
        yield f"entry {entry.id} records another scope"
    for name, words in (("all_accounts", "all accounts"), ("latched", "latched"), ("dry_run", "a dry run")):
        if getattr(kill, name) != told.get(name):
            yield f"entry {entry.id} records {'' if told.get(name) else 'not '}{words}"


def _first(kill: Kill, kind: Kind, since: int) -> Entry | None:
    """Find its first entry of a kind that is rare: along the kind's index, for the kill may have 100,000 others."""
    rare = Entry.objects.filter(kind=kind, id__gte=since).order_by("id").values_list("id", "kill_id")
    found = next((pk for pk, kill_id in rare.iterator(ROWS) if kill_id == kill.id), None)
    return None if found is None else Entry.objects.get(id=found)


def _reason(kill: Kill, engaged: Entry) -> Iterator[str]:
    entry = _first(kill, Kind.REASON_GIVEN, engaged.id)
    if entry is None:
        if kill.reason_given_at is not None:
            yield "no entry records that its reason was given afterwards"
        yield from _differ("the reason", kill.reason, engaged.data.get("reason"), engaged)
        return
    yield from _differ("the reason", kill.reason, entry.data.get("reason"), entry)
    yield from _differ("who gave the reason", kill.reason_given_by_name, entry.actor_name, entry)
    yield from _differ("when the reason was given", kill.reason_given_at, entry.at, entry)


def _released(kill: Kill, since: int) -> Iterator[str]:
    entry = _first(kill, Kind.KILL_RELEASED, since)
    if entry is None:
        if kill.released_at is not None:
            yield "no entry records its release"
        return
    yield from _differ("who released it", kill.released_by_name, entry.actor_name, entry)
    yield from _differ("when it was released", kill.released_at, entry.at, entry)
    yield from _differ("why it was released", kill.release_reason, entry.data.get("reason"), entry)


def _ended(kill: Kill, entries: QuerySet[Entry]) -> Iterator[str]:
    entry = entries.filter(kind=Kind.KILL_ENDED).order_by("id").last()
    if entry is None:
        yield "no entry records its end"
        return
    yield from _differ("how it ended", kill.state, entry.outcome, entry)
    yield from _differ("when it ended", kill.ended_at, entry.at, entry)


def _sweeps(kill: Kill, entries: QuerySet[Entry]) -> Iterator[str]:
    ended = entries.filter(kind=Kind.SWEEP_ENDED).order_by("id").values_list("account_id", "outcome")
    recorded = dict(ended.iterator(ROWS))
    for account_id, state in kill.sweeps.order_by("account_id").values_list("account_id", "state").iterator(ROWS):
        if recorded.pop(account_id, None) != state:
            yield f"how account {account_id} ended is not what was recorded"
    yield from (f"account {account_id} was recorded and is gone" for account_id in recorded)


ORDER = ("outcome", "symbol", "side", "client_order_id", "quantity")


def _orders(kill: Kill, entries: QuerySet[Entry]) -> Iterator[str]:
    """Compare what became of each order. A hash of each is kept, not the order: there may be 100,000."""
    ended = entries.filter(kind=Kind.ORDER_ENDED).order_by("id").values_list("account_id", "order_id", "data", *ORDER)
    recorded = {}
    for account_id, order_id, data, *values in ended.iterator(ROWS):
        lost = (data.get("late"), data.get("lost_quantity"), data.get("lost_notional"))
        recorded[account_id, order_id] = hash((*values, *lost))
    rows = KilledOrder.objects.filter(sweep__kill=kill).order_by("sweep__account_id", "id")
    names = ("sweep__account_id", "order_id", "is_late", "lost_quantity", "lost_notional", *ORDER)
    for account_id, order_id, late, quantity, notional, *values in rows.values_list(*names).iterator(ROWS):
        told = hash((*values, late, _text(quantity), _text(notional)))
        if recorded.pop((account_id, order_id), None) != told:
            yield f"what became of order {order_id} of account {account_id} is not what was recorded"
    yield from (
        f"order {order_id} of account {account_id} was recorded and is gone" for account_id, order_id in recorded
    )


def _differ(what: str, shown: Any, recorded: Any, entry: Entry) -> Iterator[str]:
    if canonical(shown) != canonical(recorded):
        yield f"{what}: entry {entry.id} records {_words(recorded)}"


def _words(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{exact_time(value)} UTC"
    return f"“{str(value)[:200]}”"


def _text(value: Any) -> str | None:
    return None if value is None else format(value, "f")
