"""Faults on demand: which requests to spoil, how, and how often."""

from __future__ import annotations

import os
from typing import Any, Literal

import msgspec

from killswitch.simulator.routes import CALLS
from killswitch.simulator.wire import Problem

CANCELS = {"cancel_all", "cancel_one"}
LISTS = {"accounts", "list_orders", "executions"}
MESSAGES = {
    400: "Invalid request",
    401: "The caller is not authenticated",
    403: "The caller does not have permission to execute the specified operation",
    404: "Some requested entity was not found",
    429: "Too many requests",
    500: "Internal server error",
    503: "The service is unavailable",
}


# What `--help` says of each field.
MATCH_WORDS = {
    "call": "the call, or several: " + ", ".join(CALLS),
    "method": "GET, DELETE, POST …",
    "account_id": "one account, or several",
    "order_id": "one order, or several",
    "page": "the n-th page of a list",
    "key": "requests with this key",
}
DO_WORDS = {
    "act": "whether the call takes effect; by itself it does, but for status, error_in_200 and silent",
    "delay_ms": "answer so much later",
    "status": "answer with this HTTP status",
    "message": "… and with this message",
    "retry_after": "… and with this Retry-After",
    "headers": "add headers to the answer",
    "drop": "cut the connection before the call takes effect, or after it",
    "silent": "never answer",
    "body": "answer with html, half of it, nothing (empty), not_json, or {raw: text}",
    "close_idle": "close the connection after the answer",
    "error_in_200": "answer 200 with an error inside: code, message",
    "cancel": "what becomes of an accepted cancel: stuck, refuse (also called revert), or fill: it trades on the way",
    "fill_quantity": "… by so much",
    "spare": "a mass cancel passes over these: ids of orders, or words like SELL, STOP, QUEUED",
    "kill_pid": "kill this process when the call arrives",
    "arrive": "let so many orders arrive in the account just after the call",
}


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Say which requests a fault is for; what is left out matches everything."""

    call: str | list[str] = "any"
    method: str | None = None
    account_id: int | list[int] | None = None
    order_id: str | list[str] | None = None
    page: int | None = None
    key: str | None = None


class ErrorInSuccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: int | str
    message: str


class RawBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    raw: str


class Do(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Say what is done to a request.

    Unless `act` says otherwise, the call takes effect, except with `status`, `error_in_200` and `silent`.
    """

    act: bool | None = None
    delay_ms: float = 0
    status: int | None = None
    message: str | None = None
    retry_after: int | str | None = None
    headers: dict[str, str] = {}
    drop: Literal["before", "after"] | None = None
    silent: bool = False
    body: Literal["html", "half", "empty", "not_json"] | RawBody | None = None
    close_idle: bool = False
    error_in_200: ErrorInSuccess | None = None
    cancel: Literal["stuck", "refuse", "revert", "fill"] | None = None
    fill_quantity: str | None = None
    spare: list[str] = []
    kill_pid: int | None = None
    arrive: int = 0

    @property
    def acts(self) -> bool:
        if self.act is not None:
            return self.act
        return self.status is None and self.error_in_200 is None and not self.silent

    @property
    def error_message(self) -> str:
        return self.message or MESSAGES.get(self.status or 0, "An error that a fault asked for")


NOTHING = Do()


class NewFault(msgspec.Struct, forbid_unknown_fields=True):
    """What a test sends to ask for a fault."""

    do: Do
    match: Match = Match()
    times: int | None = None
    skip: int = 0


class Fault(msgspec.Struct):
    """One fault; `times` counts down to 0, null stays until it is removed."""

    id: str
    match: Match
    do: Do
    times: int | None
    skip: int
    applied: int = 0


class Asked(msgspec.Struct, frozen=True):
    """What a request is, for a fault to match."""

    call: str
    method: str
    account_id: int | None
    order_id: str | None
    page: int | None
    key: str | None


class Faults:
    """Keep the faults in the order in which they were asked for; the first that matches is applied."""

    def __init__(self) -> None:
        self.all: dict[str, Fault] = {}
        self.made = 0

    def add(self, body: Any) -> Fault:
        """Take a fault up.

        Raises:
            Problem: 400, with what is wrong; a fault that does nothing is refused too.
        """
        try:
            new = msgspec.convert(body, NewFault)
        except msgspec.ValidationError as error:
            raise Problem(400, f"not a fault: {error}") from None
        check(new, body["do"])
        self.made += 1
        fault = Fault(f"fault-{self.made}", new.match, new.do, new.times, new.skip)
        self.all[fault.id] = fault
        return fault

    def remove(self, fault_id: str) -> None:
        """Remove a fault.

        Raises:
            Problem: 404, there is none of that name.
        """
        if self.all.pop(fault_id, None) is None:
            raise Problem(404, f"no fault {fault_id}")

    def take(self, asked: Asked) -> Fault | None:
        """Return the fault for this request and count it."""
        for fault in self.all.values():
            if fault.times == 0 or not matches(fault.match, asked):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.applied += 1
            fault.times = None if fault.times is None else fault.times - 1
            return fault
        return None


def matches(match: Match, asked: Asked) -> bool:
    return (
        (match.call == "any" or one_of(match.call, asked.call))
        and (match.method is None or match.method == asked.method)
        and (match.account_id is None or one_of(match.account_id, asked.account_id))
        and (match.order_id is None or one_of(match.order_id, asked.order_id))
        and (match.page is None or match.page == asked.page)
        and (match.key is None or match.key == asked.key)
    )


def one_of(wanted: object, given: object) -> bool:
    return given in wanted if isinstance(wanted, list) else given == wanted


def check(new: NewFault, given: dict[str, Any]) -> None:
    """Refuse what could never do what it says.

    Raises:
        Problem: 400, with what to do.
    """
    do, calls = new.do, [new.match.call] if isinstance(new.match.call, str) else new.match.call
    unknown = set(calls) - {*CALLS, "any"}
    if unknown:
        raise Problem(400, f"no such call: {', '.join(sorted(unknown))}; there are any, {', '.join(CALLS)}")
    if not given:
        raise Problem(400, "'do' is empty: say what the fault does")
    if new.skip < 0 or (new.times is not None and new.times < 1):
        raise Problem(400, "'times' must be 1 or more, or null; 'skip' 0 or more")
    if do.status is not None and not 200 <= do.status <= 599:
        raise Problem(400, "'status' must be from 200 to 599")
    if do.delay_ms < 0 or do.arrive < 0:
        raise Problem(400, "'delay_ms' and 'arrive' must be 0 or more")
    check_combination(do)
    check_calls(new, set(calls))
    if do.kill_pid is not None and (do.kill_pid <= 1 or do.kill_pid == os.getpid()):
        raise Problem(400, "'kill_pid' must be the process of a test, not the simulator's")


def check_calls(new: NewFault, calls: set[str]) -> None:
    """Refuse what none of the calls that are named would ever do."""
    needs = {
        "cancel": (new.do.cancel, CANCELS),
        "spare": (new.do.spare, {"cancel_all"}),
        "arrive": (new.do.arrive, set(CALLS) - {"version", "accounts", "unknown"}),
        "page": (new.match.page, LISTS),
    }
    for name, (given, able) in needs.items():
        if given and not calls & {*able, "any"}:
            raise Problem(400, f"'{name}' is for {', '.join(sorted(able))}, not for {', '.join(sorted(calls))}")


def check_combination(do: Do) -> None:
    """Refuse settings of which one would silently win over the other."""
    ends = [name for name in ("drop", "silent", "error_in_200", "status") if getattr(do, name)]
    if {"drop", "silent"} <= set(ends) or {"error_in_200", "status"} <= set(ends):
        raise Problem(400, f"these exclude each other: {', '.join(ends)}")
    unseen = [
        name for name in ("body", "status", "error_in_200", "close_idle", "retry_after", "headers") if getattr(do, name)
    ]
    if (do.drop or do.silent) and unseen:
        raise Problem(400, f"where no answer is sent, these do nothing: {', '.join(unseen)}")
    if do.fill_quantity is not None and do.cancel != "fill":
        raise Problem(400, "'fill_quantity' needs 'cancel': 'fill'")
    acting = [name for name in ("cancel", "spare", "arrive") if getattr(do, name)]
    if acting and (not do.acts or do.drop == "before"):
        raise Problem(400, f"these need the call to take effect ('act': true): {', '.join(acting)}")
    if do.drop == "before" and do.act:
        raise Problem(400, "'drop': 'before' means that the call takes no effect: use 'after', or leave 'act' out")
    if do.message is not None and do.status is None:
        raise Problem(400, "'message' needs 'status'")
