"""A kill in words for a terminal: the line of progress, and what is said at the end."""

from collections.abc import Iterable, Mapping, Sequence

from killswitch.kills.models import Kill, KilledOrder, Outcome, State, Sweep
from killswitch.kills.queries import ENDED_BADLY, seconds_since
from killswitch.kills.standing import QUIET, Standing

NOT_GONE = (Outcome.PENDING, *ENDED_BADLY, Outcome.WOULD_CANCEL)
NAMED_AT_MOST = 500
SCREENFUL = 20  # lines


def clock(seconds: float) -> str:
    return f"{seconds:6.1f} s"


def opening(kill: Kill) -> str:
    """Say what has begun."""
    return f"Kill {kill.id}: cancel {kill.scope}" if not kill.dry_run else f"DRY RUN {kill.id}: {kill.scope}"


def progress(standing: Standing) -> str:
    """Return one line: state, accounts, orders, what arrived late, and what it waits for."""
    parts = [
        State(standing.state).label.upper(),
        f"flat {standing.accounts_flat:,} of {_count(standing.accounts, 'account')}",
        outcomes(standing.outcomes) or "no order yet",
    ]
    if standing.late:
        parts.append(f"{standing.late:,} arrived late")
    if standing.error:
        parts.append(standing.error)
    if standing.throttled:
        parts.append(f"{standing.throttled}{_next_try(standing)}")
    return " | ".join(parts)


def _next_try(standing: Standing) -> str:
    if standing.next_try_at is None:
        return ""
    return f", next try at {standing.next_try_at:%H:%M:%S} UTC"


def outcomes(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{counted[name]:,} {name.label}" for name in Outcome if counted.get(name))


def summary(kill: Kill, sweeps: Sequence[Sweep], orders: Iterable[KilledOrder], *, touched: bool) -> list[str]:
    """Say how it ended. `orders` are at least those that are not gone and those that traded on the way.

    `touched` is whether the kill has found any order at all.
    """
    accounts = {sweep.id: sweep.account_id for sweep in sweeps}
    orders = list(orders)
    headline = f"{_headline(kill)} after {seconds_since(kill):,.1f} s: {kill.scope}"
    lines = [
        headline,
        *(["  Nothing matched: no order was canceled"] if kill.state == State.FLAT and not touched else []),
        *([f"  {kill.roster_error}"] if kill.roster_error else []),
        *(_sweep_line(sweep) for sweep in sweeps if sweep.state not in QUIET),
        *_named([_not_gone_line(row, accounts[row.sweep_id]) for row in orders if row.outcome in NOT_GONE]),
        *_named([_lost_line(row, accounts[row.sweep_id]) for row in orders if row.lost_quantity]),
    ]
    # The first line of a long list is out of sight.
    return [*lines, headline] if len(lines) > SCREENFUL else lines


def _headline(kill: Kill) -> str:
    state = State(kill.state).label.upper()
    return f"DRY RUN, nothing was sent: {state}" if kill.dry_run else state


def _sweep_line(sweep: Sweep) -> str:
    told = f"  account {sweep.account_id}: {State(sweep.state).label}"
    if sweep.open_orders:
        told += f", {_count(sweep.open_orders, 'matching order')} open"
        told += f" when listed at {sweep.listed_at:%H:%M:%S} UTC" if sweep.listed_at else ""
    return told + (f": {sweep.error}" if sweep.error else "")


def _not_gone_line(row: KilledOrder, account_id: int) -> str:
    leaves = "?" if row.leaves_quantity is None else format(row.leaves_quantity, "f")
    parts = [
        f"  {'would cancel' if row.outcome == Outcome.WOULD_CANCEL else 'not gone'}: account {account_id}",
        f"order {row.order_id}",
        row.instrument or "symbol not known",
        row.side or "side unknown",
        f"leaves {leaves}",
        row.status or "no status",
        *([] if row.outcome == Outcome.WOULD_CANCEL else [Outcome(row.outcome).label]),
        *([f"request id {row.request_id}"] if row.request_id else []),
    ]
    return ", ".join(parts)


def _lost_line(row: KilledOrder, account_id: int) -> str:
    worth = "" if row.lost_notional is None else f" worth {row.lost_notional:,.2f} US dollars"
    return (
        f"  got away: account {account_id}, order {row.order_id}, {row.instrument or 'symbol not known'}, {row.side}: "
        f"{row.lost_quantity:f}{worth} traded while the cancel was on its way ({Outcome(row.outcome).label})"
    )


def _named(lines: list[str]) -> list[str]:
    more = len(lines) - NAMED_AT_MOST
    return [*lines[:NAMED_AT_MOST], *([f"  … and {more:,} more: --json names them all"] if more > 0 else [])]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
