"""Hold the simulator's own log and book against the audit trail: request for request, order for order."""

from collections import Counter
from datetime import datetime
from typing import Any

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill
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


def deletes(simulator: SimulatorProcess) -> list[dict[str, Any]]:
    return [request for request in simulator.control.log() if request["call"] in CALLS]


def check_agreement(simulator: SimulatorProcess) -> None:
    """Every DELETE was announced before it arrived and nothing else was; every outcome is the broker's own word."""
    announced = Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED).order_by("id")
    arrived = deletes(simulator)
    assert Counter((CALLS[r["call"]], r["account_id"], r["order_id"] or "") for r in arrived) == Counter(
        (entry.data["call"], entry.account_id, entry.order_id) for entry in announced
    )
    for request in arrived:
        at = datetime.fromisoformat(request["at"])
        before = announced.filter(account_id=request["account_id"], order_id=request["order_id"] or "", at__lte=at)
        assert before.exists(), f"{request['method']} {request['path']} arrived unannounced"
    check_answers(arrived)
    check_outcomes(simulator)


def check_answers(arrived: list[dict[str, Any]]) -> None:
    """Every announced attempt has exactly one end, with the request id that the broker gave."""
    ends = Entry.objects.filter(kind__in=[Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED])
    announced = Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED)
    assert Counter(ends.values_list("attempt_id", flat=True)) == Counter(announced.values_list("attempt_id", flat=True))
    given = {request["request_id"] for request in arrived}
    assert {entry.request_id for entry in ends if entry.request_id} <= given


def check_outcomes(simulator: SimulatorProcess) -> None:
    book = {order["id"]: order for order in simulator.control.book()}
    for kill in Kill.objects.exclude(ended_at=None):
        for sweep in kill.sweeps.all():
            for row in sweep.orders.all():
                expected = STATUS_OF.get(row.outcome)
                assert expected is None or book[row.order_id]["status"] in expected, row.order_id
                told = Entry.objects.filter(kind=Kind.ORDER_ENDED, kill_id=kill.id, order_id=row.order_id)
                assert told.last().outcome == row.outcome  # type: ignore[union-attr]


def open_orders(simulator: SimulatorProcess, account_id: int) -> list[dict[str, Any]]:
    ends = {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "REPLACED"}
    return [order for order in simulator.control.book(account_id) if order["status"] not in ends]
