"""What the light shows over time: what is worse at once, what is better once it has held."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .verdict import Fault, Judgement, Verdict

HOLD = timedelta(seconds=10)


@dataclass(frozen=True)
class Shown:
    """What is shown, with the faults that were told of it, since when, and since when it has been better."""

    verdict: Verdict
    faults: frozenset[Fault]
    since: datetime
    better_since: datetime | None = None


def follow(before: Shown, judged: Judgement, now: datetime) -> Shown:
    """Return what is shown from now on. A new `since` says that it is a change that has to be told."""
    faults = frozenset(judged.faults)
    if before.verdict == Verdict.NOT_KNOWN and judged.verdict.is_armed:
        return Shown(judged.verdict, faults, now)  # nothing was known: there is nothing that has to hold
    if judged.verdict.badness < before.verdict.badness:
        since = before.better_since or now
        if now - since >= HOLD:
            return Shown(judged.verdict, faults, now)
        return replace(before, better_since=since)
    if judged.verdict != before.verdict:
        return Shown(judged.verdict, faults, now)
    if not faults <= before.faults:
        return Shown(judged.verdict, faults | before.faults, now)
    return replace(before, better_since=None)
