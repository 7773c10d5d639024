"""Hold the simulator's own log and book against the audit trail: request for request, order for order."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from killswitch.audit.models import Entry, Kind
from killswitch.incident.contradictions import of_everything
from killswitch.kills.models import Kill, KilledOrder
from killswitch.simulator.process import SimulatorProcess

CALLS = {"cancel_all": "cancel_all_open_orders", "cancel_one": "cancel_open_order"}
# What the broker's last word must be for an outcome.
STATUS_OF = {
    "canceled": {"CANCELED"},
    "partly_filled": {"CANCELED"},
    "filled": {"FILLED"},
    "rejected": {"REJECTED"},
    "expired": {"EXPIRED", "DONE_FOR_DAY", "CALCULATED"},
    "replaced": {"REPLACED"},
    "stuck": {"PENDING_CANCEL"},
}


Clock = Callable[[Entry], datetime]
Request = tuple[str, int | None, str]  # the call, the account, the order


def deletes(simulator: SimulatorProcess) -> list[dict[str, Any]]:
    return [request for request in simulator.control.log() if request["call"] in CALLS]


def wall_clock(entry: Entry) -> datetime:
    return entry.at


def check_agreement(simulator: SimulatorProcess, *, clock: Clock = wall_clock, may_be_lost: bool = False) -> None:
    """Every DELETE was announced before it arrived and nothing else was; every outcome is the broker's own word.

    With `may_be_lost`, an announced request need not have arrived where the record says that nobody answered it.
    `clock` says when an entry was made, where the one who made it had a clock that is wrong.
    """
    announced = by_request(Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED))
    arrived = defaultdict(list)
    for request in deletes(simulator):
        arrived[CALLS[request["call"]], request["account_id"], request["order_id"] or ""].append(request)
    assert arrived.keys() <= announced.keys(), "a DELETE arrived that nobody announced"
    for what, entries in announced.items():
        before = sorted(clock(entry) for entry in entries)
        at = [datetime.fromisoformat(request["at"]) for request in arrived[what]]
        assert len(at) <= len(before), f"more DELETEs arrived than were announced: {what}"
        assert all(before[number] <= each for number, each in enumerate(at)), f"{what} arrived unannounced"
        lost = len(before) - len(at)
        assert lost <= (count_unanswered(entries) if may_be_lost else 0), f"announced and never sent: {what}"
    check_answers([request for requests in arrived.values() for request in requests])
    check_outcomes(simulator)
    check_tables()


def by_request(entries: Iterable[Entry]) -> dict[Request, list[Entry]]:
    grouped = defaultdict(list)
    for entry in entries:
        grouped[entry.data["call"], entry.account_id, entry.order_id].append(entry)
    return grouped


def count_unanswered(announced: list[Entry]) -> int:
    """Count the attempts to which the broker gave no answer, as the record itself says."""
    ends = Entry.objects.filter(kind__in=[Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED], http_status=None)
    return ends.filter(attempt_id__in=[entry.attempt_id for entry in announced]).count()


def check_answers(arrived: list[dict[str, Any]]) -> None:
    """Every announced attempt has one end, with the request id that the broker gave; one of its sender's own may follow
    the note of whoever took over."""
    ends = Entry.objects.filter(kind__in=[Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED]).order_by("id")
    of_attempt = defaultdict(list)
    for entry in ends:
        of_attempt[entry.attempt_id].append(entry)
    announced = Counter(Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED).values_list("attempt_id", flat=True))
    assert of_attempt.keys() == announced.keys()
    assert set(announced.values()) <= {1}
    for attempt_id, told in of_attempt.items():
        assert len(told) == 1 or is_told_late(told), f"attempt {attempt_id} has {len(told)} ends"
    given = {request["request_id"] for request in arrived}
    assert {entry.request_id for entry in ends if entry.request_id} <= given


def is_told_late(ends: list[Entry]) -> bool:
    """Say whether whoever was taken for gone told after all what came of its own request."""
    taken_over, late = ends if len(ends) == 2 else (ends[0], ends[0])
    return taken_over.kind == Kind.ATTEMPT_UNANSWERED and taken_over.source != late.source


def check_outcomes(simulator: SimulatorProcess) -> None:
    statuses = {order["id"]: order["status"] for order in simulator.control.book()}
    for kill in Kill.objects.exclude(ended_at=None):
        ends = Entry.objects.filter(kind=Kind.ORDER_ENDED, kill_id=kill.id).order_by("id")
        told = dict(ends.values_list("order_id", "outcome"))
        for order_id, outcome in KilledOrder.objects.filter(sweep__kill=kill).values_list("order_id", "outcome"):
            expected = STATUS_OF.get(outcome)
            assert expected is None or statuses[order_id] in expected, order_id
            assert told[order_id] == outcome


def check_tables() -> None:
    """The rows of every kill say what its entries say."""
    assert {kill.id: told for kill in Kill.objects.all() if (told := of_everything(kill))} == {}


def open_orders(simulator: SimulatorProcess, account_id: int) -> list[dict[str, Any]]:
    ends = {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "REPLACED"}
    return [order for order in simulator.control.book(account_id) if order["status"] not in ends]
