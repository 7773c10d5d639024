"""The call sheet as plain text, for a mail or a chat with the broker's desk."""

from collections.abc import Iterator
from datetime import datetime

from killswitch.kills.meanings import wire
from killswitch.kills.models import Outcome
from killswitch.words import counted, exact_time, figure, price

from .call_sheet import TOO_MANY, CallAccount, CallLine, CallSheet


def as_text(sheet: CallSheet, at: datetime) -> str:
    return "\n".join(_lines(sheet, at)) + "\n"


def _lines(sheet: CallSheet, at: datetime) -> Iterator[str]:
    kill = sheet.kill
    yield "CALL SHEET: what to read to the broker's desk"
    yield f"Kill {kill.id}, {sheet.incident.standing.upper()}"
    yield f"Cancel {_one_line(kill.scope)}"
    yield f"Engaged by {kill.engaged_by_name or 'somebody'} at {exact_time(kill.engaged_at)} UTC"
    if kill.broker:
        yield f"At {kill.broker}"
    if kill.ended_at:
        yield f"As the broker last told when the kill ended at {exact_time(kill.ended_at)} UTC: nobody has asked since."
        yield f"Read {exact_time(at)} UTC. Times are UTC, notional is in US dollars."
    else:
        yield f"As of {exact_time(at)} UTC. Times are UTC, notional is in US dollars."
    if sheet.is_empty:
        yield ""
        yield sheet.nothing
        return
    if kill.roster_error:
        yield ""
        yield f"ALL ACCOUNTS: {_one_line(kill.roster_error)}."
        yield f"Ask for a cancel of {_one_line(sheet.orders_meant)} on every account."
    for account in sheet.accounts:
        yield from _account(account)
    if sheet.is_cut:
        yield ""
        yield f"The first {sheet.line_count:,} of {counted(sheet.order_count, 'order')}. {TOO_MANY}"
    yield from _in_doubt(sheet)
    if sheet.pending_count:
        yield ""
        yield sheet.pending_words


def _account(account: CallAccount) -> Iterator[str]:
    yield ""
    yield f"ACCOUNT {account.account_id}: {counted(account.orders, 'order')}, {account.worth}"
    for line in account.lines:
        yield from _line(line)


def _line(line: CallLine) -> Iterator[str]:
    order = line.order
    mark = "   STOP: PROTECTS?" if order.is_stop else ""
    late = "   LATE" if order.is_late else ""
    yield ""
    what = _one_line(f"{wire(order.side)} {figure(order.leaves_quantity)} {line.instrument}")
    yield f"{line.number:>3}. {what}{mark}{late}"
    yield from _facts(
        ("quantity", figure(order.quantity)),
        ("type", f"{wire(order.order_type)}, {wire(order.time_in_force)}"),
        ("price", price(line.limit_price) if line.limit_price is not None else ""),
        ("stop price", price(order.stop_price) if order.stop_price is not None else ""),
        ("worth", line.worth_words),
        ("order id", order.order_id),
        ("in parts", " ".join(line.chunks)),
        ("client order id", order.client_order_id),
        ("outcome", f"{Outcome(order.outcome).label}{_since(order.pending_since)}"),
        ("request ids", ", ".join(line.request_ids)),
    )


def _facts(*facts: tuple[str, str]) -> Iterator[str]:
    for name, value in facts:
        if value:
            yield f"     {name:<16} {_one_line(value)}"


def _since(at: datetime | None) -> str:
    return f", pending since {exact_time(at)}" if at else ""


def _in_doubt(sheet: CallSheet) -> Iterator[str]:
    if not sheet.in_doubt:
        return
    yield ""
    yield "ACCOUNTS OF WHICH IT IS NOT KNOWN WHAT IS OPEN"
    yield f"Ask what is open on them, and for a cancel of {_one_line(sheet.orders_meant)}."
    for doubt in sheet.in_doubt:
        why = f": {_one_line(doubt.sweep.error)}" if doubt.sweep.error else ""
        ids = f" (request ids {', '.join(doubt.request_ids)})" if doubt.request_ids else ""
        yield f"  {doubt.sweep.account_id}{why}{ids}"
    if sheet.in_doubt_more:
        yield f"  and {sheet.in_doubt_more:,} more"


def _one_line(text: str) -> str:
    """What the broker or a client wrote must not look like a line of ours."""
    return " ".join(text.split())
