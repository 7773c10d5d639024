import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.kills.models import Kill, KilledOrder, Outcome, State, Sweep
from killswitch.telling.places import Message
from tests.notary.servers import Http, Smtp, http_server, smtp_server

ANN = Actor(id=7, name="ann", source="web 10.0.0.1")


def engage(**values: Any) -> Kill:
    """Make a kill of the accounts 19816 and 19817, and the entry that announces it."""
    at = values.pop("at", timezone.now())
    kill = Kill.objects.create(
        **{
            "idempotency_key": uuid.uuid4(),
            "engaged_at": at,
            "engaged_by_name": "ann",
            "reason": "runaway algo",
            "scope": "all SELL LIMIT orders in TSLA on 2 accounts",
            **values,
        }
    )
    for account_id in (19816, 19817):
        Sweep.objects.create(kill=kill, account_id=account_id)
    write(Kind.KILL_ENGAGED, kill, at=at, sentence="ann engaged a kill")
    return kill


def write(kind: Kind, kill: Kill | None = None, *, at: datetime | None = None, **values: Any) -> Entry:
    """Append an entry as the product does."""
    if kill is not None:
        values = {"kill_id": kill.id, "data": {"dry_run": True} if kill.dry_run else {}, **values}
    append([Draft(**{"kind": kind, "at": at or timezone.now(), "sentence": "it happened", "actor": ANN, **values})])
    return Entry.objects.latest("id")


def touch(kill: Kill, outcome: Outcome, *, account_id: int = 19816, count: int = 1, **values: Any) -> None:
    """Make orders that a kill touched."""
    sweep = kill.sweeps.get(account_id=account_id)
    for _ in range(count):
        KilledOrder.objects.create(
            sweep=sweep, order_id=str(uuid.uuid4()), outcome=outcome, updated_at=timezone.now(), **values
        )


def end(kill: Kill, state: State, *, seconds: float = 2.3) -> Entry:
    """End a kill as its last sweep does."""
    kill.ended_at, kill.state = kill.engaged_at + timedelta(seconds=seconds), state
    kill.save()
    return write(Kind.KILL_ENDED, kill, at=kill.ended_at, outcome=state, sentence="The kill ended")


class Ear:
    """A place that keeps what it is told, and refuses as long as it is told to."""

    def __init__(self, name: str = "mail 1") -> None:
        self.key = self.name = name
        self.heard: list[Message] = []
        self.refuses: Exception | None = None

    def take(self, message: Message) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.heard.append(message)

    @property
    def subjects(self) -> list[str]:
        return [message.subject for message in self.heard]


@pytest.fixture
def ear(db: None) -> Ear:
    return Ear()


@pytest.fixture
def endpoint() -> Iterator[Http]:
    with http_server() as server:
        yield server


@pytest.fixture
def mail_server(settings: Any) -> Iterator[Smtp]:
    with smtp_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        yield server


@pytest.fixture
def production(settings: Any) -> None:
    settings.CLEAR_STREET_BASE_URL = "https://api.clearstreet.com"
