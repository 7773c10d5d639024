"""A plain HTTP client for the tests: one connection per call unless told otherwise, no retries, nothing hidden."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from killswitch.simulator.process import SimulatorProcess

T = TypeVar("T")
ENDS = {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "REPLACED"}


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    raw: bytes
    body: Any = field(default=None)

    @property
    def data(self) -> Any:
        assert self.status == 200, self.raw[:500]
        return self.body["data"]

    @property
    def metadata(self) -> Any:
        return self.body["metadata"]

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


class Wire:
    """Call a simulator with its key."""

    def __init__(self, simulator: SimulatorProcess) -> None:
        parts = urlsplit(simulator.url)
        self.host, self.port = parts.hostname or "", parts.port
        self.headers = {"Authorization": f"Bearer {simulator.api_key}"}

    def connect(self, timeout: float = 20) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        on: http.client.HTTPConnection | None = None,
    ) -> Reply:
        target = f"{path}?{urlencode(query)}" if query else path
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = on or self.connect()
        try:
            connection.request(method, target, content, {**self.headers, **(headers or {})})
            response = connection.getresponse()
            raw = response.read()
        finally:
            if on is None:
                connection.close()
        try:
            value = json.loads(raw)
        except ValueError:
            value = None
        return Reply(response.status, dict(response.headers), raw, value)

    def get(self, path: str, **query: object) -> Reply:
        return self.call("GET", path, query)

    def delete(self, path: str, **query: object) -> Reply:
        return self.call("DELETE", path, query)

    def order(self, account_id: int, order_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/accounts/{account_id}/orders/{order_id}").data
        return found


def wait_for(condition: Callable[[], T], what: str, seconds: float = 30) -> T:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.01)
    return value
