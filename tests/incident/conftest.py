import io
import json
import uuid
import zipfile
from collections.abc import Callable
from csv import DictReader
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from killswitch.access.roles import COMPLIANCE, RISK_DESK
from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.kills.beginning import engaged
from killswitch.kills.entries import Subject, order_ended, sweep_ended
from killswitch.kills.models import Kill, KilledOrder, State
from tests.kills.conftest import kill, press
from tests.orders_ui.conftest import client_of

__all__ = ["kill", "press"]


@dataclass(frozen=True)
class Files:
    """What is in a pack, by name."""

    contents: dict[str, bytes]

    @classmethod
    def of(cls, response: Any) -> "Files":
        assert response.status_code == 200, response
        with zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content))) as archive:
            assert archive.testzip() is None
            return cls({name: archive.read(name) for name in archive.namelist()})

    def text(self, name: str) -> str:
        return " ".join(self.contents[name].decode().split())

    def table(self, name: str) -> list[dict[str, str]]:
        return list(DictReader(io.StringIO(self.contents[name].decode(), newline="")))

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.contents[name].splitlines()]


TakePack = Callable[[Kill], Files]


@pytest.fixture
def compliance(db: None) -> Client:
    return client_of("carla", COMPLIANCE)


@pytest.fixture
def desk(db: None) -> Client:
    return client_of("dan", RISK_DESK)


@pytest.fixture
def take_pack(compliance: Client) -> TakePack:
    return lambda kill: Files.of(compliance.get(f"/kills/{kill.id}/pack.zip"))


@pytest.fixture
def impatient(settings: Any) -> None:
    settings.KILL_PATIENCE_SECONDS = 1.0
    settings.KILL_LIMIT_SECONDS = 20.0
    settings.KILL_STUCK_SECONDS = 1.0


def make_kill(**fields: Any) -> Kill:
    """Make a kill that began ten seconds ago, with the entry that announces it."""
    values = {"engaged_by_name": "desk", "scope": "all orders on account 1001", "reason": "runaway"}
    at = timezone.now() - timedelta(seconds=10)
    made = Kill.objects.create(idempotency_key=uuid.uuid4(), engaged_at=at, source="web", **{**values, **fields})
    append([engaged(made, [1001], Actor(id=1, name=made.engaged_by_name, source="web"))])
    return made


def tell(kill: Kill, kind: Kind, sentence: str = "something happened", **fields: Any) -> None:
    append([Draft(**{"kind": kind, "at": timezone.now(), "sentence": sentence, "kill_id": kill.id, **fields})])


def end(kill: Kill, state: State) -> None:
    kill.state, kill.ended_at = state, timezone.now()
    kill.save()
    tell(kill, Kind.KILL_ENDED, f"ended: {state}", at=kill.ended_at, outcome=state)


def record(kill: Kill) -> None:
    """Write the entries that tell of its accounts and orders what its rows say."""
    for sweep in kill.sweeps.all():
        subject = Subject.of(kill, sweep.account_id, "test")
        append(order_ended(subject, row, kill.engaged_at) for row in sweep.orders.all())
        append([sweep_ended(subject, State(sweep.state), None, "", kill.engaged_at)])


def add(kill: Kill, order_id: str, account_id: int = 1001, **fields: Any) -> KilledOrder:
    sweep, _ = kill.sweeps.get_or_create(account_id=account_id)
    values = {"symbol": "AAPL", "side": "SELL", "order_type": "LIMIT", "time_in_force": "DAY", "outcome": "stuck"}
    numbers = {"quantity": Decimal(100), "leaves_quantity": Decimal(100), "filled_quantity": Decimal(0)}
    known = {**values, **numbers, "updated_at": timezone.now(), **fields}
    return KilledOrder.objects.create(sweep=sweep, order_id=order_id, **known)
