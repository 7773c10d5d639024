"""The figures of a soak, as a table for people and as JSON for programs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from .evidence import Evidence
from .judge import Verdict

SHOWN = 20  # of what is wrong; the file has it all

Figures = dict[str, Any]


def figures(evidence: Evidence) -> Figures:
    """Count what both sides have on record."""
    flat = [kill for kill in evidence.kills if kill["state"] == "flat" and not kill["latched"]]
    return {
        "decisions": {
            "pressed": len(evidence.presses),
            "pressed more than once": sum(len(press.answers) > 1 for press in evidence.presses),
            "answered": dict(Counter(answer for press in evidence.presses for answer in press.answers)),
            "by kind": dict(Counter(press.kind for press in evidence.presses)),
            "taken (303)": sum(bool(press.kill_ids) for press in evidence.presses),
            "kills committed": len(evidence.kills),
            "kills ended": sum(kill["ended_at"] is not None for kill in evidence.kills),
            "by state": dict(Counter(kill["state"] for kill in evidence.kills)),
            "latched and released": sum(kill["released_at"] is not None for kill in evidence.kills),
        },
        "accounts swept": dict(Counter(sweep["state"] for sweep in evidence.sweeps)),
        "outcomes": dict(Counter(row["outcome"] for row in evidence.orders)),
        "late arrivals": sum(row["is_late"] for row in evidence.orders),
        "DELETEs": {
            "mass": sum(request["call"] == "cancel_all" for request in evidence.deletes),
            "single": sum(request["call"] == "cancel_one" for request in evidence.deletes),
            "announced": len(evidence.announced),
            "without an answer": evidence.kinds["attempt.unanswered"],
            "answered by": dict(Counter(str(request["status"]) for request in evidence.deletes)),
        },
        "entries": {"all": sum(evidence.kinds.values()), **dict(sorted(evidence.kinds.items()))},
        "seconds": {
            "answer to a press": spread(second for press in evidence.presses for second in press.seconds),
            "press to first cancel": spread(_first_cancels(evidence)),
            "press to flat": spread(_seconds(kill["engaged_at"], kill["ended_at"]) for kill in flat),
        },
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return median, 95th percentile and maximum."""
    ordered = sorted(values)
    if not ordered:
        return {}
    last = len(ordered) - 1
    places = {"median": last // 2, "p95": round(last * 0.95), "max": last}
    return {name: round(ordered[place], 3) for name, place in places.items()}


def _first_cancels(evidence: Evidence) -> Iterator[float]:
    """Say how long the first announcement took of kills that need no list for it."""
    listed_first = {press.key for press in evidence.presses if press.prefix or press.dry_run}
    first: dict[str, datetime] = {}
    for entry in evidence.announced:
        first.setdefault(entry["kill_id"], entry["at"])
    for kill in evidence.kills:
        if kill["idempotency_key"] not in listed_first and kill["id"] in first:
            yield _seconds(kill["engaged_at"], first[kill["id"]])


def _seconds(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds()


def table(told: Mapping[str, Any], verdicts: Iterable[Verdict]) -> str:
    """Lay the figures out, one group after the other, and what is wrong at the end."""
    lines: list[str] = []
    for name, value in told.items():
        lines += [name.upper(), *_rows(value, "  "), ""]
    for verdict in verdicts:
        lines.append(f"{verdict.name:<24}{len(verdict.found):>8}")
        lines += [f"    {words}" for words in verdict.found[:SHOWN]]
        if len(verdict.found) > SHOWN:
            lines.append(f"    … and {len(verdict.found) - SHOWN} more")
    return "\n".join(lines)


def _rows(value: Any, indent: str) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{indent}{value}"]
    rows = []
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            parts = ", ".join(f"{key} {_figure(each)}" for key, each in inner.items())
            rows.append(f"{indent}{name:<28}{parts or 'none'}")
        else:
            rows.append(f"{indent}{name:<28}{_figure(inner):>10}")
    return rows


def _figure(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
