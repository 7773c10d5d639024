"""What reached the broker, in the order in which it arrived. No header is kept, so no key is either."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections import deque
from collections.abc import Collection

import msgspec

KEPT = 1_000_000


class Entry(msgspec.Struct):
    """One request and what became of it; `status` is null where no answer was sent."""

    n: int
    at: str
    at_monotonic_ns: int
    method: str
    path: str
    query: dict[str, str]
    request_id: str
    asked_from: str
    asked_from_port: int = 0  # tells connections apart
    call: str = "unknown"
    account_id: int | None = None
    order_id: str | None = None
    status: int | None = None
    authorized: bool = False
    fault: str | None = None
    orders_matched: list[str] | None = None
    answered_at: str | None = None


class RequestLog:
    """Number the requests and keep them."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self.last = 0

    def arrive(self, method: str, path: str, query: dict[str, str], request_id: str, asked_from: str) -> Entry:
        self.last += 1
        entry = Entry(self.last, now_text(), time.monotonic_ns(), method, path, query, request_id, asked_from)
        self.entries.append(entry)
        return entry

    def after(self, n: int, calls: Collection[str]) -> list[Entry]:
        """Return what arrived after number `n`, of the calls named or of all."""
        known = max(0, n - self.entries[0].n + 1) if self.entries else 0
        found = itertools.islice(self.entries, known, None)
        return [entry for entry in found if not calls or entry.call in calls]


def now_text() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
