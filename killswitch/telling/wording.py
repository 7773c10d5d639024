"""What a message says: one line that reads right on a locked phone at three in the morning, and the rest below it."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from django.conf import settings
from django.urls import reverse

from killswitch.audit.models import Entry, Kind
from killswitch.kills.meanings import Alarm, meaning_of
from killswitch.kills.models import Kill, KilledOrder, Outcome, State
from killswitch.kills.queries import ENDED_BADLY, outcomes_of
from killswitch.which_broker import broker_host, environment
from killswitch.words import counted, duration

from .news import Outstanding
from .places import Message, Tone

LONGEST_SUBJECT = 150
LONGEST_SCOPE = 70
LONGEST_TEXT = 600
BAD_WORDS = {
    Outcome.STUCK: "stuck",
    Outcome.STILL_OPEN: "still open",
    Outcome.NOT_FOUND: "not found",
    Outcome.UNKNOWN: "unknown",
}
CALL = "Open the call sheet, call the broker’s desk and read out the orders with their request ids."


def message_of(entry: Entry) -> Message:
    """Say what an entry tells."""
    kill = Kill.objects.filter(id=entry.kill_id).first() if entry.kill_id else None
    words, tone, do = _about(entry, kill)
    lines = [*_facts(entry, kill), ("Broker", f"{broker_host()} ({environment()})"), ("Record", f"entry {entry.id}")]
    return Message(subject=_subject(words, entry), body=_body(words, _says(entry, kill), do, lines), tone=tone)


def summary_of(found: Outstanding) -> Message:
    """Sum up what happened while nobody was told: the last of it says how things stand."""
    last = found.old[-1]
    told = [message_of(entry) for entry in found.old]
    when = _span(found.old_since or last.at, last.at)
    words = f"TOLD LATE, {when} UTC: {counted(found.old_count, 'message')}, the last: "
    listed = [f"{_exact(entry.at)}  {message.subject}" for entry, message in zip(found.old, told, strict=True)]
    left_out = found.old_count - len(listed)
    body = [
        "No message could be brought here while this happened. It is told as things stand now.",
        "",
        *([f"The {left_out:,} messages before these are left out; the audit trail has them all."] if left_out else []),
        *listed,
        "",
        *_link("desk"),
    ]
    tone = Tone.BAD if any(message.tone == Tone.BAD for message in told) else Tone.WARNING
    return Message(
        subject=_one_line(words + told[-1].subject, LONGEST_SUBJECT), body="\n".join(body).strip(), tone=tone
    )


# --- the line


def mark() -> str:
    """Say which place it is, unless it is the real one."""
    return "" if environment() == "PRODUCTION" else f"[{environment()}] "


def _subject(words: str, entry: Entry) -> str:
    if entry.data.get("dry_run"):
        # A drill says so before anything else.
        return _one_line(f"DRY RUN {mark()}{words}", LONGEST_SUBJECT)
    return _one_line(mark() + words, LONGEST_SUBJECT)


def _about(entry: Entry, kill: Kill | None) -> tuple[str, Tone, str]:
    """Return the line, how it is meant, and what to do."""
    if kill is not None and (about := _about_kill(entry, kill)):
        return about
    if entry.kind == Kind.LIGHT_CHANGED:
        return _about_light(entry)
    if entry.kind == Kind.TRAIL_BROKEN:
        do = "Keep the database and every anchor as they are, and tell compliance."
        return f"AUDIT TRAIL DOES NOT HOLD: {entry.sentence}", Tone.BAD, do
    if entry.kind == Kind.MESSAGE_TESTED:
        return f"TEST by {_who(entry.actor_name)} {_clock(entry.at)} UTC: messages arrive here", Tone.INFO, ""
    if entry.kind == Kind.MESSAGE_UNDELIVERED:
        return entry.sentence, Tone.WARNING, "Tell whoever has to hear of it by another way, and see to that place."
    return entry.sentence, Tone.INFO, ""


def _about_light(entry: Entry) -> tuple[str, Tone, str]:
    """Say how the light stands now; how it stood before is in the sentence below."""
    now = entry.sentence.rpartition("→ ")[2].removeprefix("Armed light: ")
    after = entry.data.get("after")
    if after == "armed":
        return "ARMED again", Tone.GOOD, ""
    tone = Tone.BAD if after in ("not_armed", "not_known") else Tone.WARNING
    return now, tone, "Open the desk: the light says what to do."


def _about_kill(entry: Entry, kill: Kill) -> tuple[str, Tone, str] | None:
    by = _by(kill)
    if entry.kind == Kind.KILL_ENDED:
        return _ended(entry, kill)
    if entry.kind == Kind.KILL_ENGAGED:
        words = f"{_kill(kill).upper()} by {by}: {_one_line(kill.scope, LONGEST_SCOPE)}"
        return words, Tone.WARNING, "Open the page of the kill and follow it to its end."
    if entry.kind == Kind.ORDER_ENDED:
        return f"STUCK: {_trouble(kill, [Outcome.STUCK])}, {_kill(kill)} by {by}", Tone.BAD, CALL
    if entry.kind == Kind.ORDER_ARRIVED:
        words = f"STILL SENDING: orders arrive on account {entry.account_id}, {_kill(kill)} by {by}"
        return words, Tone.BAD, Alarm.LATE.value.do
    if entry.kind == Kind.SWEEP_HOLDS:
        words = f"QUIET, still latched: {counted(kill.sweeps.count(), 'account')}, {_kill(kill)} by {by}"
        return words, Tone.GOOD, meaning_of(kill).do if kill.state == State.LATCHED else "Open the page of the kill."
    if entry.kind == Kind.KILL_RELEASED:
        words = f"RELEASED by {_who(entry.actor_name)} {_clock(entry.at)} UTC: {_kill(kill)} of {by}"
        return words, Tone.WARNING, "New orders are not canceled any more once it has ended."
    return None


def _ended(entry: Entry, kill: Kill) -> tuple[str, Tone, str]:
    by = f"{_kill(kill)} by {_by(kill)}"
    if kill.dry_run:
        return _drill_ended(entry, kill)
    if entry.outcome == State.FLAT:
        gone = outcomes_of(kill.id).get(Outcome.CANCELED, 0)
        took = duration((entry.at - kill.engaged_at).total_seconds())
        return f"FLAT after {took}: {counted(gone, 'order')} canceled, {by}", Tone.GOOD, "Nothing is left to do."
    if entry.outcome == State.NOT_FLAT:
        return f"NOT FLAT: {_trouble(kill, ENDED_BADLY)}, {by}", Tone.BAD, f"{CALL} Or kill again."
    return f"UNKNOWN, treat as NOT FLAT: {_in_doubt(kill)}, {by}", Tone.BAD, f"{CALL} Or kill again."


def _drill_ended(entry: Entry, kill: Kill) -> tuple[str, Tone, str]:
    would = counted(outcomes_of(kill.id).get(Outcome.WOULD_CANCEL, 0), "order")
    if entry.outcome == State.UNKNOWN:
        return f"did not come through: {_in_doubt(kill)}, by {_by(kill)}", Tone.WARNING, "Look why, and try another."
    return f"ended: {would} would have been canceled, nothing was sent, by {_by(kill)}", Tone.INFO, ""


def _trouble(kill: Kill, outcomes: Iterable[Outcome]) -> str:
    """Say which orders do not go away, and where."""
    rows = KilledOrder.objects.filter(sweep__kill=kill, outcome__in=list(outcomes)).order_by()
    bad = list(rows.values_list("outcome", "sweep__account_id"))
    if not bad:
        return _open_by_account(kill)
    counts = Counter(outcome for outcome, _ in bad)
    first, *others = ((BAD_WORDS[outcome], counts[outcome]) for outcome in BAD_WORDS if counts[outcome])
    parts = [f"{counted(first[1], 'order')} {first[0]}", *(f"{count:,} {word}" for word, count in others)]
    return f"{', '.join(parts)} on {_accounts({account for _, account in bad})}"


def _open_by_account(kill: Kill) -> str:
    found = dict(kill.sweeps.filter(state=State.NOT_FLAT).values_list("account_id", "open_orders"))
    count = sum(number or 0 for number in found.values())
    return f"{counted(count, 'order')} open on {_accounts(set(found))}" if count else "orders are open"


def _in_doubt(kill: Kill) -> str:
    if kill.roster_error:
        return "the broker did not say which accounts there are"
    doubtful = set(kill.sweeps.filter(state=State.UNKNOWN).values_list("account_id", flat=True))
    return f"nobody knows what is open on {_accounts(doubtful)}" if doubtful else "nobody knows what is open"


def _accounts(account_ids: set[int]) -> str:
    return f"account {min(account_ids)}" if len(account_ids) == 1 else counted(len(account_ids), "account")


def _kill(kill: Kill) -> str:
    return "latched kill" if kill.latched else "kill"


def _by(kill: Kill) -> str:
    return f"{_who(kill.engaged_by_name)} {_clock(kill.engaged_at)} UTC"


def _who(name: str) -> str:
    return name or "somebody"


# --- the rest


def _says(entry: Entry, kill: Kill | None) -> str:
    return meaning_of(kill).says if kill is not None and entry.kind == Kind.KILL_ENDED else entry.sentence


def _facts(entry: Entry, kill: Kill | None) -> Iterator[tuple[str, str]]:
    if kill is None:
        yield "At", f"{_exact(entry.at)} UTC"
        return
    yield "Would cancel" if kill.dry_run else "Cancel", kill.scope
    yield "By", _who(kill.engaged_by_name)
    yield "At", f"{_exact(kill.engaged_at)} UTC"
    yield "Reason", kill.reason or "none given"
    if kill.released_at:
        yield "Released", f"by {_who(kill.released_by_name)}, {_exact(kill.released_at)} UTC: {kill.release_reason}"
    counts = outcomes_of(kill.id)
    if counts:
        yield "Orders", ", ".join(f"{counts[outcome]:,} {outcome.label}" for outcome in Outcome if counts.get(outcome))
    yield from (("Page", link) for link in _link("kill", kill.id))
    if counts.keys() & set(ENDED_BADLY) or kill.state == State.UNKNOWN:
        yield from (("Call sheet", link) for link in _link("call_sheet", kill.id))


def _link(name: str, *arguments: object) -> list[str]:
    return [settings.PUBLIC_URL + reverse(name, args=arguments)] if settings.PUBLIC_URL else []


def _body(words: str, says: str, do: str, facts: Iterable[tuple[str, str]]) -> str:
    paragraphs = [
        _one_line(says, LONGEST_TEXT),
        do,
        "\n".join(f"{name}: {_one_line(text, LONGEST_TEXT)}" for name, text in facts),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _one_line(text: str, longest: int) -> str:
    return textwrap.shorten(text, longest, placeholder=" …")


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M}"


def _span(since: datetime, until: datetime) -> str:
    if since.astimezone(UTC).date() == until.astimezone(UTC).date():
        return f"{_clock(since)} to {_clock(until)}"
    return f"{_exact(since)[:-3]} to {_exact(until)[:-3]}"


def _exact(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
