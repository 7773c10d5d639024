"""What both sides have on record: the simulator's log and book, and the product's tables and audit trail."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from killswitch.simulator.process import Control

from .presser import Press

Row = dict[str, Any]

DELETES = {"cancel_all": "cancel_all_open_orders", "cancel_one": "cancel_open_order"}
# What the simulator knows of a request is complete when it has been answered, or is never going to be.
SETTLED_AFTER = timedelta(seconds=12)


@dataclass
class Evidence:
    """Plain rows, so that a judge needs neither side any more."""

    presses: list[Press] = field(default_factory=list)
    # Of the simulator.
    account_ids: set[int] = field(default_factory=set)
    deletes: list[Row] = field(default_factory=list)
    request_ids: set[str] = field(default_factory=set)
    book: dict[str, Row] = field(default_factory=dict)
    # Of the product.
    kills: list[Row] = field(default_factory=list)
    sweeps: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    announced: list[Row] = field(default_factory=list)
    ends: list[Row] = field(default_factory=list)  # of attempts
    accepted: list[Row] = field(default_factory=list)  # orders that a mass cancel reached
    told: list[Row] = field(default_factory=list)  # outcomes of orders
    sweep_ends: dict[tuple[str, int], list[str]] = field(default_factory=dict)  # states, by kill and account
    mentioned: dict[str, int] = field(default_factory=dict)  # the broker's request ids, with the first entry's number
    kinds: Counter[str] = field(default_factory=Counter)
    kinds_by_kill: Counter[tuple[str, str]] = field(default_factory=Counter)


class LogReader:
    """Reads the simulator's log bit by bit: all of it at once would be too much."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._after = 0
        self.requests = 0
        self.deletes: list[Row] = []
        self.request_ids: set[str] = set()
        self.calls: Counter[str] = Counter()

    def read(self, *, rest: bool = False) -> None:
        """Take over what has settled; with `rest`, all there is."""
        settled = datetime.now(UTC) - SETTLED_AFTER
        for request in self._control.log(after=self._after):
            if not rest and datetime.fromisoformat(request["at"]) > settled:
                return
            self._take(request)

    def _take(self, request: Row) -> None:
        self._after = request["n"]
        self.requests += 1
        self.request_ids.add(request["request_id"])
        self.calls[request["call"]] += 1
        if request["call"] in DELETES:
            self.deletes.append(request)


def gather(presses: list[Press], account_ids: list[int], log: LogReader, control: Control) -> Evidence:
    """Read everything, when nothing moves any more."""
    log.read(rest=True)
    found = Evidence(presses=presses, account_ids=set(account_ids), deletes=log.deletes, request_ids=log.request_ids)
    found.book = {order["id"]: order for order in control.book()}
    _read_tables(found)
    for entry in _entries():
        _sort_in(found, entry)
    return found


def _read_tables(found: Evidence) -> None:
    # Here, because the models can only be imported when the settings are there.
    from killswitch.kills.models import Kill, KilledOrder, Sweep

    found.kills = [_plain(row) for row in Kill.objects.order_by("engaged_at").values()]
    found.sweeps = [_plain(row) for row in Sweep.objects.order_by("id").values()]
    wanted = ("sweep_id", "order_id", "outcome", "status", "filled_quantity", "is_late", "ended_at")
    found.orders = list(KilledOrder.objects.order_by("id").values(*wanted))


def _plain(row: Row) -> Row:
    """Write UUIDs as the form and the log have them."""
    return {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in row.items()}


def _entries() -> Iterator[Row]:
    from killswitch.audit.models import Entry

    wanted = ("id", "at", "kind", "kill_id", "attempt_id", "account_id", "order_id", "http_status", "request_id")
    rows = Entry.objects.order_by("id").values(*wanted, "outcome", "data", "source", "actor_name")
    for row in rows.iterator(chunk_size=2000):
        yield _plain(row)


def _sort_in(found: Evidence, entry: Row) -> None:
    kind = entry["kind"]
    found.kinds[kind] += 1
    found.kinds_by_kill[entry["kill_id"], kind] += 1
    if entry["request_id"]:
        found.mentioned.setdefault(entry["request_id"], entry["id"])
    if kind == "sweep.ended":
        found.sweep_ends.setdefault((entry["kill_id"], entry["account_id"]), []).append(entry["outcome"])
    drawer = {
        "attempt.announced": found.announced,
        "attempt.answered": found.ends,
        "attempt.unanswered": found.ends,
        "order.accepted": found.accepted,
        "order.ended": found.told,
    }.get(kind)
    if drawer is not None:
        drawer.append(entry)
