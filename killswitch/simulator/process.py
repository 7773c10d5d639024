"""For tests: a simulator in a process of its own, and a way to steer it."""

from __future__ import annotations

import http.client
import json
import os
import select
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 10.0
LISTENING = "listening on "


class NotStarted(Exception):
    """The simulator ended, or did not listen in time; the message has its own words."""


class Refused(Exception):
    """The simulator refused what a test asked of it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Control:
    """Steer a running simulator. A connection for each call, so that threads may share one Control."""

    def __init__(self, url: str, certificate: str = "") -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.tls = ssl.create_default_context(cafile=certificate) if certificate else None

    def call(self, method: str, path: str, body: object = None, **query: object) -> dict[str, Any]:
        """Make one call under /_sim/.

        Raises:
            Refused: the simulator did not accept it.
        """
        given = {name: value for name, value in query.items() if value is not None}
        connection = self.connection()
        try:
            target = f"/_sim/{path}?{urlencode(given)}" if given else f"/_sim/{path}"
            connection.request(method, target, None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise Refused(response.status, answer["error"])
        return answer

    def connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=60)
        return http.client.HTTPSConnection(self.host, self.port, timeout=60, context=self.tls)

    def log(self, after: int = 0, call: str | None = None) -> list[dict[str, Any]]:
        """Return the requests that arrived after number `after`, of one call or of all."""
        requests: list[dict[str, Any]] = self.call("GET", "log", after=after, call=call)["requests"]
        return requests

    def clear_log(self) -> None:
        self.call("DELETE", "log")

    def book(self, account_id: int | None = None, *, open: bool = False) -> list[dict[str, Any]]:
        """Return the orders of one account or of all, ended ones too unless `open`."""
        answer = self.call("GET", "book", account_id=account_id, open=int(open))
        orders: list[dict[str, Any]] = answer["orders"]
        return orders

    def summary(self) -> dict[str, Any]:
        return self.call("GET", "summary")

    def add_orders(
        self, account_id: int, count: int | None = None, order: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Add `count` random orders, or one: a plain one with the fields of `order`."""
        what = {"count": 1 if count is None else count} if order is None else {"order": order}
        orders: list[dict[str, Any]] = self.call("POST", "orders", {"account_id": account_id, **what})["orders"]
        return orders

    def set_order(self, order_id: str, **fields: Any) -> dict[str, Any]:
        """Set wire fields by hand; `omit=[…]` leaves fields out, `extra={…}` adds unheard-of ones."""
        order: dict[str, Any] = self.call("PATCH", f"orders/{quote(order_id, safe='')}", fields)["order"]
        return order

    def fill(self, order_id: str, quantity: str | None = None) -> dict[str, Any]:
        """Fill an order, wholly or by a quantity."""
        body = {} if quantity is None else {"quantity": quantity}
        order: dict[str, Any] = self.call("POST", f"orders/{quote(order_id, safe='')}/fill", body)["order"]
        return order

    def flow(self, arrivals_per_second: float = 0, fills_per_second: float = 0) -> None:
        self.call("POST", "flow", {"arrivals_per_second": arrivals_per_second, "fills_per_second": fills_per_second})

    def add_accounts(self, count: int) -> list[dict[str, Any]]:
        accounts: list[dict[str, Any]] = self.call("POST", "accounts", {"count": count})["accounts"]
        return accounts

    def set_account(self, account_id: int, **fields: Any) -> dict[str, Any]:
        account: dict[str, Any] = self.call("PATCH", f"accounts/{account_id}", fields)["account"]
        return account

    def add_fault(
        self,
        *,
        do: dict[str, Any],
        match: dict[str, Any] | None = None,
        times: int | None = None,
        skip: int = 0,
    ) -> str:
        """Ask for a fault and return its id; without `times` it stays until it is removed."""
        fault = {"match": match or {}, "do": do, "times": times, "skip": skip}
        identifier: str = self.call("POST", "faults", fault)["id"]
        return identifier

    def faults(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "faults")["faults"]
        return found

    def remove_fault(self, fault_id: str) -> None:
        self.call("DELETE", f"faults/{quote(fault_id, safe='')}")

    def clear_faults(self) -> None:
        self.call("DELETE", "faults")


class SimulatorProcess:
    """A simulator that lives as long as a `with` block: `SimulatorProcess("--accounts", "2", "--orders", "5")`."""

    def __init__(self, *arguments: str, api_key: str = "") -> None:
        self.arguments = arguments
        # By the same rule as on its command line.
        self.api_key = api_key or os.environ.get("CLEAR_STREET_API_KEY") or "simulator-key"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise NotStarted("the simulator does not run")
        return self.process.pid

    @property
    def control(self) -> Control:
        named = dict(zip(self.arguments, self.arguments[1:], strict=False))
        return Control(self.url, named.get("--certificate", ""))

    def __enter__(self) -> SimulatorProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it listens.

        Raises:
            NotStarted: it ended, or took too long.
        """
        # A file, not a pipe: nobody reads it, and a full pipe would stop the simulator.
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "killswitch.simulator", "--port", "0", *self.arguments],
            cwd=ROOT,
            env={**os.environ, "CLEAR_STREET_API_KEY": self.api_key},
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        try:
            self.url = self.listening_line(self.process).removeprefix(LISTENING)
        except BaseException:
            self.stop()
            raise

    def listening_line(self, process: subprocess.Popen[bytes]) -> str:
        output = process.stdout.fileno() if process.stdout else -1
        deadline, text = time.monotonic() + START_SECONDS, b""
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(output, 1000) if ready else b""
            if not part:
                raise NotStarted(f"the simulator did not listen: {self.said() or 'it took too long'}")
            text += part
        return text.decode().strip()

    def said(self) -> str:
        """Return what the simulator wrote to its standard error."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()

    def stop(self) -> int | None:
        """End the process and return its exit status; a second call does nothing."""
        process = self.process
        if process is None:
            return None
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self.errors.close()
        self.process = None
        return process.returncode
