"""A judge that never finds anything is worth nothing: each way in which a soak can go wrong is put in and found."""

import copy
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from .evidence import Evidence, Row
from .judge import INVENTED, LOST, UNANNOUNCED, judge
from .presser import Press

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
ACCOUNT, OTHER = 19816, 19817
KILL, MASS, SINGLE = "kill-1", "attempt-1", "attempt-2"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def order(order_id: str, **fields: Any) -> Row:
    plain = {
        "account_id": ACCOUNT,
        "status": "CANCELED",
        "side": "SELL",
        "time_in_force": "DAY",
        "filled_quantity": "0",
    }
    times = {"created_at": at(-60).isoformat(), "updated_at": at(1.5).isoformat()}
    return {"id": order_id, "symbol": "TSLA", "client_order_id": "vwap-1", **plain, **times, **fields}


def delete(call: str, request_id: str, seconds: float, order_id: str | None, matched: list[str], **query: str) -> Row:
    path = f"/v1/accounts/{ACCOUNT}/orders" + (f"/{order_id}" if order_id else "")
    where = {"account_id": ACCOUNT, "order_id": order_id, "method": "DELETE", "path": path, "query": query}
    told = {"status": 200, "orders_matched": matched}
    return {"call": call, "request_id": request_id, "at": at(seconds).isoformat(), **where, **told}


def entry(number: int, kind: str, seconds: float, **fields: Any) -> Row:
    plain = {"attempt_id": None, "account_id": ACCOUNT, "order_id": "", "http_status": None, "request_id": ""}
    return {
        "id": number,
        "kind": kind,
        "at": at(seconds),
        "kill_id": KILL,
        "outcome": "",
        "data": {},
        **plain,
        **fields,
    }


def row(order_id: str, outcome: str = "canceled", filled: str = "0") -> Row:
    return {"sweep_id": 1, "order_id": order_id, "outcome": outcome, "filled_quantity": Decimal(filled)}


def all_is_well() -> Evidence:
    """One kill of the SELL orders of one account: a mass cancel reached two, one needed a cancel of its own."""
    press = Press("desk", [ACCOUNT], side="SELL", key="key-1", answers=["303", "303"], kill_ids={KILL})
    wanted = {"side": "SELL"}
    mass = {"call": "cancel_all_open_orders", "filter": wanted}
    single = {"call": "cancel_open_order", "filter": wanted}
    kill = {"id": KILL, "idempotency_key": "key-1", "state": "flat", "scope": "all SELL orders", "dry_run": False}
    sweep = {"id": 1, "kill_id": KILL, "account_id": ACCOUNT, "state": "flat", "flat_at": at(60), "ended_at": at(60)}
    answered = {"http_status": 200, "kind": "attempt.answered", "seconds": 1.2}
    return Evidence(
        presses=[press],
        account_ids={ACCOUNT, OTHER},
        deletes=[
            delete("cancel_all", "request-1", 1, None, ["a", "b"], side="SELL"),
            delete("cancel_one", "request-2", 2, "b", ["b"]),
        ],
        request_ids={"request-1", "request-2", "request-3"},
        book={"a": order("a"), "b": order("b"), "c": order("c", side="BUY", status="NEW")},
        kills=[{**kill, "engaged_at": at(0), "ended_at": at(60)}],
        sweeps=[sweep],
        orders=[row("a"), row("b")],
        announced=[
            entry(2, "attempt.announced", 0.9, attempt_id=MASS, data=mass),
            entry(5, "attempt.announced", 1.9, attempt_id=SINGLE, order_id="b", data=single),
        ],
        ends=[
            entry(3, attempt_id=MASS, request_id="request-1", **answered),
            entry(6, attempt_id=SINGLE, request_id="request-2", order_id="b", **answered),
        ],
        accepted=[entry(4, "order.accepted", 1.2, order_id="a", request_id="request-1")],
        told=[
            entry(7, "order.ended", 3, order_id="a", outcome="canceled", request_id="request-3"),
            entry(8, "order.ended", 3, order_id="b", outcome="canceled"),
        ],
        sweep_ends={(KILL, ACCOUNT): ["flat"]},
        mentioned={"request-1": 3, "request-2": 6, "request-3": 7},
        kinds_by_kill=Counter({(KILL, "kill.engaged"): 1, (KILL, "kill.ended"): 1}),
    )


def found_in(evidence: Evidence) -> dict[str, list[str]]:
    """Return the names of the checks that found something, by what must be zero."""
    return {
        verdict.name: sorted({words.partition(":")[0] for words in verdict.found})
        for verdict in judge(evidence)
        if verdict.found
    }


def test_finds_nothing_where_all_is_well() -> None:
    assert found_in(all_is_well()) == {}


Break = Callable[[Evidence], Any]

BREAKS: dict[str, Break] = {
    # lost
    "decisions_without_a_kill": lambda e: e.presses[0].kill_ids.add("kill-2"),
    "decisions_made_twice": lambda e: (
        e.presses[0].kill_ids.add("kill-2"),
        e.kills.append({**e.kills[0], "id": "kill-2"}),
    ),
    "decisions_not_announced": lambda e: e.kinds_by_kill.pop((KILL, "kill.engaged")),
    "kills_without_an_end": lambda e: e.kills[0].update(ended_at=None, state="running"),
    "accounts_left_out": lambda e: e.presses[0].account_ids.append(OTHER),
    "orders_left_out": lambda e: e.presses[0].order_ids.extend(["a", "b", "d"]),
    "touched_orders_without_an_outcome": lambda e: e.deletes[0]["orders_matched"].append("d"),
    "orders_without_an_outcome": lambda e: e.orders[0].update(outcome="pending"),
    "orders_given_up_untried": lambda e: (
        e.orders.append(row("d", "still_open")),
        e.book.update({"d": order("d", status="NEW", created_at=at(5).isoformat())}),
    ),
    # invented
    "kills_that_nobody_pressed": lambda e: e.presses.clear(),
    "accounts_that_nobody_named": lambda e: e.sweeps.append({**e.sweeps[0], "id": 2, "account_id": OTHER}),
    "outcomes_that_the_book_denies": lambda e: e.book["a"].update(status="FILLED"),
    "open_orders_that_had_ended": lambda e: (
        e.orders[0].update(outcome="still_open"),
        e.sweeps[0].update(state="not_flat"),
    ),
    "flat_with_its_own_orders_open": lambda e: e.orders[0].update(outcome="stuck"),
    "flat_with_open_orders": lambda e: e.book["c"].update(side="SELL"),
    "kills_better_than_their_sweeps": lambda e: e.sweeps[0].update(state="not_flat"),
    "request_ids_that_the_broker_never_gave": lambda e: e.mentioned.update({"request-9": 9}),
    "answers_that_the_broker_never_gave": lambda e: e.deletes[1].update(status=500),
    "cancels_that_the_broker_never_accepted": lambda e: e.accepted[0].update(order_id="c"),
    "ends_told_twice": lambda e: e.sweep_ends[KILL, ACCOUNT].append("not_flat"),
    "outcomes_told_otherwise": lambda e: e.told[0].update(outcome="filled"),
    # unannounced
    "deletes_that_nobody_announced": lambda e: e.announced.pop(),
    "announcements_that_came_to_nothing": lambda e: e.deletes.pop(),
    "attempts_without_one_end": lambda e: e.ends.pop(),
    "rehearsals_that_were_sent": lambda e: e.kills[0].update(dry_run=True),
    "announcements_of_no_kill": lambda e: e.announced[1].update(order_id="c"),
}


def test_every_check_is_broken_once() -> None:
    assert list(BREAKS) == [check.__name__ for check in (*LOST, *INVENTED, *UNANNOUNCED)]


@pytest.mark.parametrize("name", BREAKS)
def test_finds_what_is_wrong(name: str) -> None:
    evidence = copy.deepcopy(all_is_well())
    BREAKS[name](evidence)
    assert name in {check for checks in found_in(evidence).values() for check in checks}


@pytest.mark.parametrize(
    "query", [{}, {"side": "BUY"}, {"side": "SELL", "type": "LIMIT"}], ids=["wider", "other", "narrower"]
)
def test_finds_a_mass_cancel_of_other_orders_than_was_announced(query: dict[str, str]) -> None:
    evidence = all_is_well()
    evidence.deletes[0]["query"] = query
    assert "deletes_that_nobody_announced" in found_in(evidence)["unannounced"]


def test_finds_a_delete_that_arrived_before_it_was_announced() -> None:
    evidence = all_is_well()
    evidence.announced[1]["at"] = at(2.1)
    assert found_in(evidence) == {"unannounced": ["deletes_that_nobody_announced"]}


def test_takes_an_announcement_for_nothing_when_the_trail_says_that_it_was_not_answered() -> None:
    evidence = all_is_well()
    evidence.deletes.pop()
    evidence.ends[1].update(kind="attempt.unanswered", http_status=None, request_id="")
    assert found_in(evidence) == {}


def test_takes_a_late_answer_after_a_take_over() -> None:
    evidence = all_is_well()
    evidence.ends.insert(1, entry(5, "attempt.unanswered", 1.5, attempt_id=SINGLE, order_id="b"))
    assert found_in(evidence) == {}


def test_does_not_blame_a_kill_for_what_arrived_after_it() -> None:
    evidence = all_is_well()
    evidence.book["c"].update(side="SELL", created_at=at(31).isoformat())
    assert found_in(evidence) == {}
