"""Hold what both sides have on record against each other: nothing lost, nothing invented, nothing unannounced.

Every check returns a sentence for each thing that is wrong. It reads plain rows, not the product: what the product
thinks of itself is what is on trial.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property

from .evidence import DELETES, Evidence, Row
from .presser import NOBODYS_ORDER, Press

# What the broker's last word must be for an outcome.
STATUS_OF = {
    "canceled": {"CANCELED"},
    "partly_filled": {"CANCELED"},
    "filled": {"FILLED"},
    "rejected": {"REJECTED"},
    "expired": {"EXPIRED", "DONE_FOR_DAY", "CALCULATED"},
    "replaced": {"REPLACED"},
}
OPEN_STILL = {"still_open", "stuck"}
ENDED = {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "REPLACED"}
ENDED_FOR_THE_DAY = {"DONE_FOR_DAY", "CALCULATED"}
COMES_BACK = {"GOOD_TILL_CANCEL", "GOOD_TILL_DATE"}
# Between the list that a sweep goes by and its end lies a commit. Its process may be frozen there, and then wait for
# the database that another one keeps locked while it is frozen itself.
SLACK = timedelta(seconds=30)
# The parameters of a mass cancel, by the names that the filter has for them.
PARAMETERS = {
    "side": "side",
    "order_type": "type",
    "instrument_type": "instrument_type",
    "instruments": "instrument_ids",
}

What = tuple[object, ...]
Check = Callable[["Case"], Iterable[str]]


@dataclass
class Verdict:
    """What was found of one of the things that must be zero."""

    name: str
    found: list[str]


class Case:
    """The evidence, indexed."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.kills = {kill["id"]: kill for kill in evidence.kills}
        self.sweeps = {sweep["id"]: sweep for sweep in evidence.sweeps}

    @cached_property
    def press_of(self) -> dict[str, Press]:
        """Return the press of each kill."""
        by_key = {press.key: press for press in self.evidence.presses}
        return {kill["id"]: by_key[kill["idempotency_key"]] for kill in self.kills.values() if self._is_known(kill)}

    def _is_known(self, kill: Row) -> bool:
        return kill["idempotency_key"] in {press.key for press in self.evidence.presses}

    @cached_property
    def sweeps_of(self) -> dict[str, list[Row]]:
        grouped = defaultdict(list)
        for sweep in self.evidence.sweeps:
            grouped[sweep["kill_id"]].append(sweep)
        return grouped

    @cached_property
    def orders_of(self) -> dict[int, list[Row]]:
        grouped = defaultdict(list)
        for row in self.evidence.orders:
            grouped[row["sweep_id"]].append(row)
        return grouped

    @cached_property
    def book_of(self) -> dict[int, list[Row]]:
        grouped = defaultdict(list)
        for order in self.evidence.book.values():
            grouped[order["account_id"]].append(order)
        return grouped

    @cached_property
    def ends_of(self) -> dict[str, list[Row]]:
        grouped = defaultdict(list)
        for end in self.evidence.ends:
            grouped[end["attempt_id"]].append(end)
        return grouped

    @cached_property
    def delete_by_id(self) -> dict[str, Row]:
        return {request["request_id"]: request for request in self.evidence.deletes}


# --- zero lost


def decisions_without_a_kill(case: Case) -> Iterator[str]:
    for press in case.evidence.presses:
        for kill_id in press.kill_ids - case.kills.keys():
            yield f"{press.by} pressed ({press.kind}), was led to kill {kill_id}, and there is no such kill"


def decisions_made_twice(case: Case) -> Iterator[str]:
    for press in case.evidence.presses:
        if len(press.kill_ids) > 1:
            yield f"one form, pressed {len(press.answers)} times, became kills {', '.join(sorted(press.kill_ids))}"


def decisions_not_announced(case: Case) -> Iterator[str]:
    for kill_id, kill in case.kills.items():
        for kind, expected in (("kill.engaged", 1), ("kill.ended", int(kill["ended_at"] is not None))):
            count = case.evidence.kinds_by_kill[kill_id, kind]
            if count != expected:
                yield f"kill {kill_id} has {count} entries {kind}"


def kills_without_an_end(case: Case) -> Iterator[str]:
    for kill in case.kills.values():
        if kill["ended_at"] is None:
            yield f"kill {kill['id']} ({kill['scope']}) has not ended: {kill['state']}"
    for sweep in case.sweeps.values():
        if sweep["ended_at"] is None or sweep["state"] not in ("flat", "not_flat", "unknown"):
            yield f"account {sweep['account_id']} of kill {sweep['kill_id']} has not ended: {sweep['state']}"


def accounts_left_out(case: Case) -> Iterator[str]:
    for kill_id, press in case.press_of.items():
        swept = {sweep["account_id"] for sweep in case.sweeps_of[kill_id]}
        # Where the broker did not say which accounts there are, the kill says that it does not know.
        is_admitted = not press.account_ids and case.kills[kill_id]["state"] == "unknown"
        wanted = set(press.account_ids) or (set() if is_admitted else case.evidence.account_ids)
        for account_id in sorted(wanted - swept):
            yield f"kill {kill_id} was to be on account {account_id} and never was"


def orders_left_out(case: Case) -> Iterator[str]:
    for kill_id, press in case.press_of.items():
        kept = {row["order_id"] for sweep in case.sweeps_of[kill_id] for row in case.orders_of[sweep["id"]]}
        is_admitted = press.dry_run and case.kills[kill_id]["state"] == "unknown"
        for order_id in set(press.order_ids) - kept:
            if not is_admitted and not press.dry_run:
                yield f"kill {kill_id} was to cancel order {order_id} and has no outcome for it"


def touched_orders_without_an_outcome(case: Case) -> Iterator[str]:
    """An order that a DELETE reached must stand in a kill, unless the sweep at work says that it does not know."""
    kept = {row["order_id"] for row in case.evidence.orders}
    for request in case.evidence.deletes:
        for order_id in request["orders_matched"] or ():
            if order_id not in kept and not _is_admittedly_unknown(case, request):
                yield f"{request['method']} {request['path']} reached order {order_id}, which has no outcome"


def _is_admittedly_unknown(case: Case, request: Row) -> bool:
    at = _time(request["at"])
    return any(
        sweep["state"] == "unknown" and case.kills[sweep["kill_id"]]["engaged_at"] <= at <= sweep["ended_at"]
        for sweep in case.evidence.sweeps
        if sweep["account_id"] == request["account_id"]
    )


def orders_without_an_outcome(case: Case) -> Iterator[str]:
    for row in case.evidence.orders:
        if row["outcome"] == "pending":
            yield f"order {row['order_id']} of {_where(case, row)} has no outcome"


def orders_given_up_untried(case: Case) -> Iterator[str]:
    """What a kill leaves open it has tried to cancel: by name, or by a mass cancel after the order was there."""
    named = {(entry["kill_id"], entry["order_id"]) for entry in case.evidence.announced}
    mass: dict[tuple[str, int], datetime] = {}
    for entry in case.evidence.announced:
        if entry["data"]["call"] == "cancel_all_open_orders":
            mass[entry["kill_id"], entry["account_id"]] = entry["at"]  # the last one
    for row in case.evidence.orders:
        sweep, order = case.sweeps[row["sweep_id"]], case.evidence.book.get(row["order_id"])
        if row["outcome"] != "still_open" or order is None or case.kills[sweep["kill_id"]]["dry_run"]:
            continue
        last = mass.get((sweep["kill_id"], sweep["account_id"]))
        is_tried = (sweep["kill_id"], row["order_id"]) in named or (last and _time(order["created_at"]) < last)
        if not is_tried:
            yield f"order {row['order_id']} of {_where(case, row)} is still open, and no cancel of it was ever sent"


# --- zero invented


def kills_that_nobody_pressed(case: Case) -> Iterator[str]:
    for kill_id in case.kills.keys() - case.press_of.keys():
        yield f"nobody pressed kill {kill_id} ({case.kills[kill_id]['scope']})"


def accounts_that_nobody_named(case: Case) -> Iterator[str]:
    for kill_id, press in case.press_of.items():
        swept = {sweep["account_id"] for sweep in case.sweeps_of[kill_id]}
        for account_id in swept - (set(press.account_ids) or case.evidence.account_ids):
            yield f"kill {kill_id} went to account {account_id}, which nobody named"


def outcomes_that_the_book_denies(case: Case) -> Iterator[str]:
    for row in case.evidence.orders:
        order, outcome = case.evidence.book.get(row["order_id"]), row["outcome"]
        expected = STATUS_OF.get(outcome)
        if order is None and not (row["order_id"] == NOBODYS_ORDER and outcome in ("not_found", "unknown")):
            yield f"order {row['order_id']} of {_where(case, row)} is {outcome}, and no such order exists"
        elif order is not None and expected and order["status"] not in expected:
            yield f"order {row['order_id']} of {_where(case, row)} is {outcome}, and at the broker {order['status']}"
        elif order is not None and expected and Decimal(order["filled_quantity"]) != row["filled_quantity"]:
            filled = f"{row['filled_quantity']} filled, and at the broker {order['filled_quantity']}"
            yield f"order {row['order_id']} of {_where(case, row)} has {filled}"
        elif order is not None and outcome == "not_found":
            yield f"order {row['order_id']} of {_where(case, row)} was not found, and is at the broker"


def open_orders_that_had_ended(case: Case) -> Iterator[str]:
    """What is called still open or stuck was so when its sweep ended, whatever became of it later."""
    for row in case.evidence.orders:
        order = case.evidence.book.get(row["order_id"])
        if row["outcome"] not in OPEN_STILL or order is None or _is_open(order):
            continue
        ended_at = case.sweeps[row["sweep_id"]]["ended_at"]
        if ended_at is not None and _time(order["updated_at"]) < ended_at - SLACK:
            what = f"is {row['outcome']}, and was {order['status']} before"
            yield f"order {row['order_id']} of {_where(case, row)} {what}"


def flat_with_its_own_orders_open(case: Case) -> Iterator[str]:
    for sweep in case.sweeps.values():
        if sweep["state"] != "flat":
            continue
        for row in case.orders_of[sweep["id"]]:
            order = case.evidence.book.get(row["order_id"])
            if row["outcome"] not in STATUS_OF or (order is not None and _is_open(order)):
                yield f"order {row['order_id']} of {_where(case, row)}, which was called flat, is {row['outcome']}"


def flat_with_open_orders(case: Case) -> Iterator[str]:
    """What was meant by the press and was there before the end must not be open on an account that was called flat."""
    for sweep in case.sweeps.values():
        press = case.press_of.get(sweep["kill_id"])
        if sweep["state"] != "flat" or press is None:
            continue
        for order in case.book_of[sweep["account_id"]]:
            was_there = _time(order["created_at"]) < sweep["flat_at"] - SLACK
            if was_there and press.is_about(order) and _is_open(order):
                where = f"account {sweep['account_id']} of kill {sweep['kill_id']}"
                yield f"{where} was called flat, with order {order['id']} open"


def kills_better_than_their_sweeps(case: Case) -> Iterator[str]:
    for kill in case.kills.values():
        states = {sweep["state"] for sweep in case.sweeps_of[kill["id"]]}
        if kill["state"] == "flat" and states != {"flat"}:
            yield f"kill {kill['id']} is flat, and its accounts are {', '.join(sorted(states)) or 'none'}"
        if kill["state"] == "not_flat" and "unknown" in states:
            yield f"kill {kill['id']} is not flat, and nobody knows of some of its accounts"


def request_ids_that_the_broker_never_gave(case: Case) -> Iterator[str]:
    for request_id in case.evidence.mentioned.keys() - case.evidence.request_ids:
        yield f"entry {case.evidence.mentioned[request_id]} names request {request_id}, which the broker never gave"


def answers_that_the_broker_never_gave(case: Case) -> Iterator[str]:
    """An answer in the trail is one that the broker sent: to that request, with that status, and to one attempt."""
    announced = {entry["attempt_id"]: entry for entry in case.evidence.announced}
    used: Counter[str] = Counter()
    for end in case.evidence.ends:
        request = case.delete_by_id.get(end["request_id"])
        if not end["request_id"]:
            continue
        used[end["request_id"]] += 1
        if request is None:
            yield f"entry {end['id']} is an answer to request {end['request_id']}, which was no DELETE"
        elif end["attempt_id"] not in announced:
            yield f"entry {end['id']} is an answer to an attempt that nobody announced"
        elif _asked(request)[:3] != _announced(announced[end["attempt_id"]])[:3]:
            yield f"entry {end['id']} is an answer to {request['method']} {request['path']}, which it did not ask"
        elif end["http_status"] != request["status"]:
            yield f"entry {end['id']} says {end['http_status']}, and the broker answered {request['status']}"
    yield from (f"request {request_id} answers {count} attempts" for request_id, count in used.items() if count > 1)


def cancels_that_the_broker_never_accepted(case: Case) -> Iterator[str]:
    for entry in case.evidence.accepted:
        request = case.delete_by_id.get(entry["request_id"])
        if request is None or entry["order_id"] not in (request["orders_matched"] or ()):
            yield f"entry {entry['id']} says that the cancel of order {entry['order_id']} was accepted, and it was not"


def ends_told_twice(case: Case) -> Iterator[str]:
    """One end of an account in the trail for each sweep: who has lost it must not tell another."""
    told = case.evidence.sweep_ends
    for sweep in case.sweeps.values():
        states = told.get((sweep["kill_id"], sweep["account_id"]), [])
        if states != ([sweep["state"]] if sweep["ended_at"] is not None else []):
            where = f"account {sweep['account_id']} of kill {sweep['kill_id']}"
            yield f"{where} is {sweep['state']}, and the trail says {', '.join(states) or 'nothing'}"


def outcomes_told_otherwise(case: Case) -> Iterator[str]:
    """The last entry about an order's end says what its row says."""
    last = {(told["kill_id"], told["account_id"], told["order_id"]): told["outcome"] for told in case.evidence.told}
    for row in case.evidence.orders:
        sweep = case.sweeps[row["sweep_id"]]
        told = last.get((sweep["kill_id"], sweep["account_id"], row["order_id"]))
        if told != row["outcome"]:
            yield f"order {row['order_id']} of {_where(case, row)} is {row['outcome']}, and the trail says {told}"


# --- zero unannounced


def deletes_that_nobody_announced(case: Case) -> Iterator[str]:
    """As many announcements as DELETEs have been made by the time of each: of that call, account, order and filter."""
    announced, arrived = _times(case)
    for what, requests in arrived.items():
        before = sorted(announced.get(what, ()))
        for number, (at, request) in enumerate(sorted(requests, key=lambda pair: pair[0])):
            if number >= len(before) or before[number] > at:
                yield f"{request['method']} {request['path']} {request['query'] or ''} arrived unannounced at {at}"


def announcements_that_came_to_nothing(case: Case) -> Iterator[str]:
    """What was announced arrived, or the trail says that it was not answered."""
    announced, arrived = _times(case)
    silent: Counter[What] = Counter()
    for entry in case.evidence.announced:
        ends = case.ends_of[entry["attempt_id"]]
        silent[_announced(entry)] += bool(ends) and all(end["http_status"] is None for end in ends)
    for what, times in announced.items():
        missing = len(times) - len(arrived.get(what, ())) - silent[what]
        if missing > 0:
            yield f"{missing} of {len(times)} announcements of {what} came to nothing, and the trail does not say so"


def attempts_without_one_end(case: Case) -> Iterator[str]:
    """An attempt is answered once or called unanswered once; a late answer may follow after a take-over, never lead."""
    for entry in case.evidence.announced:
        kinds = [end["kind"] for end in case.ends_of[entry["attempt_id"]]]
        if kinds not in (["attempt.answered"], ["attempt.unanswered"], ["attempt.unanswered", "attempt.answered"]):
            yield f"attempt {entry['attempt_id']} of entry {entry['id']} has the ends {kinds}"


def rehearsals_that_were_sent(case: Case) -> Iterator[str]:
    for entry in case.evidence.announced:
        if case.kills.get(entry["kill_id"], {}).get("dry_run"):
            yield f"entry {entry['id']} announces a cancel of a dry run"


def announcements_of_no_kill(case: Case) -> Iterator[str]:
    for entry in case.evidence.announced:
        press = case.press_of.get(entry["kill_id"])
        if press is None or (press.account_ids and entry["account_id"] not in press.account_ids):
            yield f"entry {entry['id']} announces a cancel on account {entry['account_id']} that nobody pressed"
        elif entry["data"]["call"] == "cancel_open_order" and not _is_about(case, press, entry["order_id"]):
            yield f"entry {entry['id']} announces a cancel of order {entry['order_id']}, which was not meant"


LOST: tuple[Check, ...] = (
    decisions_without_a_kill,
    decisions_made_twice,
    decisions_not_announced,
    kills_without_an_end,
    accounts_left_out,
    orders_left_out,
    touched_orders_without_an_outcome,
    orders_without_an_outcome,
    orders_given_up_untried,
)
INVENTED: tuple[Check, ...] = (
    kills_that_nobody_pressed,
    accounts_that_nobody_named,
    outcomes_that_the_book_denies,
    open_orders_that_had_ended,
    flat_with_its_own_orders_open,
    flat_with_open_orders,
    kills_better_than_their_sweeps,
    request_ids_that_the_broker_never_gave,
    answers_that_the_broker_never_gave,
    cancels_that_the_broker_never_accepted,
    ends_told_twice,
    outcomes_told_otherwise,
)
UNANNOUNCED: tuple[Check, ...] = (
    deletes_that_nobody_announced,
    announcements_that_came_to_nothing,
    attempts_without_one_end,
    rehearsals_that_were_sent,
    announcements_of_no_kill,
)


def judge(evidence: Evidence) -> list[Verdict]:
    """Return what must be zero, with what was found."""
    case = Case(evidence)
    groups = {"lost": LOST, "invented": INVENTED, "unannounced": UNANNOUNCED}
    return [
        Verdict(name, [f"{check.__name__}: {words}" for check in checks for words in check(case)])
        for name, checks in groups.items()
    ]


# --- helpers


def _times(case: Case) -> tuple[dict[What, list[datetime]], dict[What, list[tuple[datetime, Row]]]]:
    announced, arrived = defaultdict(list), defaultdict(list)
    for entry in case.evidence.announced:
        announced[_announced(entry)].append(entry["at"])
    for request in case.evidence.deletes:
        arrived[_asked(request)].append((_time(request["at"]), request))
    return announced, arrived


def _announced(entry: Row) -> What:
    """Say what an announcement announces, as `_asked` says what arrived: never more than was announced."""
    call, wanted = entry["data"]["call"], entry["data"]["filter"]
    if call == "cancel_open_order":
        return (call, entry["account_id"], entry["order_id"])
    given = {PARAMETERS[name]: value for name, value in wanted.items() if name in PARAMETERS}
    listed = {name: ",".join(value) if isinstance(value, list) else value for name, value in given.items()}
    return (call, entry["account_id"], "", tuple(sorted(listed.items())))


def _asked(request: Row) -> What:
    call = DELETES[request["call"]]
    if call == "cancel_open_order":
        return (call, request["account_id"], request["order_id"])
    return (call, request["account_id"], "", tuple(sorted(request["query"].items())))


def _is_about(case: Case, press: Press, order_id: str) -> bool:
    order = case.evidence.book.get(order_id)
    return order_id in press.order_ids if order is None else press.is_about(order)


def _is_open(order: Row) -> bool:
    if order["status"] in ENDED:
        return False
    return order["status"] not in ENDED_FOR_THE_DAY or order["time_in_force"] in COMES_BACK


def _where(case: Case, row: Row) -> str:
    sweep = case.sweeps[row["sweep_id"]]
    return f"kill {sweep['kill_id']}, account {sweep['account_id']}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
