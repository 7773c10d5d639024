"""Append to the audit trail: the only way an entry comes into being."""

import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from .models import Entry

BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who did it and from where, as plain copies."""

    id: int | None = None
    name: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An entry that is not yet written. `at` is UTC."""

    kind: str
    at: datetime
    sentence: str
    actor: Actor = Actor()
    kill_id: uuid.UUID | None = None
    attempt_id: uuid.UUID | None = None
    account_id: int | None = None
    order_id: str = ""
    client_order_id: str = ""
    symbol: str = ""
    side: str = ""
    quantity: Decimal | None = None
    leaves_quantity: Decimal | None = None
    filled_quantity: Decimal | None = None
    broker_status: str = ""
    outcome: str = ""
    http_status: int | None = None
    latency_us: int | None = None
    request_id: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def append(drafts: Iterable[Draft]) -> None:
    """Write `drafts` in their order. Call it inside the transaction that changes what they tell of."""
    Entry.objects.bulk_create([_entry(draft) for draft in drafts], batch_size=BATCH)


def _entry(draft: Draft) -> Entry:
    values = {f.name: _storable(getattr(draft, f.name)) for f in fields(Draft) if f.name != "actor"}
    actor = asdict(draft.actor)
    return Entry(
        **values,
        actor_id=actor["id"],
        actor_name=_storable(actor["name"])[:150],
        source=_storable(actor["source"])[:200],
    )


def _storable(value: Any) -> Any:
    """PostgreSQL keeps no NUL and no lone surrogate in a text: write them visibly instead of losing the entry."""
    if isinstance(value, str):
        return value.replace("\x00", "␀").encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
