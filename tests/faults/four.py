"""The four things that hold after every fault: checked against the stand-in broker's own log and book.

1. No decision is lost.
2. Nothing is called canceled, or flat, without the broker's word.
3. Every DELETE at the broker has an earlier audit entry that announced it.
4. The audit trail is one chain without a gap, it only ever grew, and the database refuses to change it.
"""

import uuid
from collections.abc import Collection

import msgspec
import pytest
from django.db import Error, connection, transaction

from killswitch.audit import chain
from killswitch.audit.models import Entry
from killswitch.audit.rows import sealed
from killswitch.broker.types import Order
from killswitch.kills.models import Kill, Sweep
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import wait_for
from tests.kills.agreement import Clock, check_agreement, wall_clock

from .stack import Stack

NO_PRICES = {"limit_price": None, "stop_price": None}


class Trail:
    """What was read of the audit trail, held against each later reading."""

    def __init__(self) -> None:
        self._read: dict[int, int] = {}

    def read(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM audit_entry ORDER BY id")  # as it is stored, and 200,000 in a second
            rows = {row[0]: hash(repr(row)) for row in cursor.fetchall()}
        assert [number for number, row in self._read.items() if rows.get(number) != row] == [], "entries changed"
        new = rows.keys() - self._read.keys()
        # PostgreSQL gives numbers out before the commit: a lower one may come to light later.
        if connection.vendor == "sqlite" and new and self._read:
            assert min(new) > max(self._read), "an entry was put in between"
        self._read = rows


def check_four(stack: Stack, pressed: Collection[uuid.UUID], trail: Trail, clock: Clock = wall_clock) -> None:
    check_no_decision_is_lost(pressed)
    if stack.has_broker:
        check_flat_is_flat(stack.simulator)
        check_agreement(stack.simulator, clock=clock, may_be_lost=True)
    check_trail(trail)


def check_no_decision_is_lost(pressed: Collection[uuid.UUID]) -> None:
    """What was accepted stands in the table, and it has ended, or holds because it is latched."""
    assert set(pressed) <= set(Kill.objects.values_list("id", flat=True))
    wait_for(lambda: not [kill for kill in Kill.objects.filter(ended_at=None) if kill.state != "latched"], "every kill")
    for kill in Kill.objects.exclude(ended_at=None):
        assert not kill.sweeps.filter(ended_at=None).exists(), f"{kill} ended before its accounts did"


def check_flat_is_flat(simulator: SimulatorProcess) -> None:
    """An account that was called flat has no open order that the kill was about, unless it came after the end."""
    for sweep in Sweep.objects.filter(state="flat").select_related("kill"):
        # Without prices, which no filter asks for and a test may have spoiled.
        book = [order | NO_PRICES for order in simulator.control.book(sweep.account_id)]
        orders = msgspec.convert(book, list[Order], strict=False)
        matching = [order for order in orders if order.is_open and sweep.kill.filter.matches(order)]
        left = [order.id for order in matching if order.created is None or order.created <= sweep.flat_at]
        assert left == [], f"account {sweep.account_id} was called flat"


def check_trail(trail: Trail) -> None:
    trail.read()
    check_chain()
    newest = Entry.objects.order_by("-id").first()
    if newest is None:
        return
    for sql in ("UPDATE audit_entry SET sentence = 'x' WHERE id = %s", "DELETE FROM audit_entry WHERE id = %s"):
        with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, [newest.id])


def check_chain() -> None:
    sequence, previous_hash = 0, chain.GENESIS
    for entry in sealed(Entry.objects.all()):
        assert entry.sequence == sequence + 1, "a gap"
        assert entry.previous_hash == previous_hash, f"entry {entry.sequence} does not follow the one before"
        assert entry.hash == chain.link(chain.hash_of(entry.content), previous_hash), f"entry {entry.sequence} changed"
        sequence, previous_hash = entry.sequence, entry.hash
