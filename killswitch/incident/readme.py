"""The README.txt of an incident pack: what is in it, what is missing, how to check it."""

from collections.abc import Iterator
from textwrap import wrap

from killswitch.version import VERSION
from killswitch.words import exact_time

from .excerpt import Excerpt
from .summary import Summary

WIDTH = 110
FILES = {
    "summary.html": "one page: what happened, how fast, what became of the orders; print it from any browser",
    "summary.pdf": "the same page",
    "timeline.csv": "what happened when: press, first DELETE and first answer of each account, flat, late arrivals, "
    "take-overs, releases, end",
    "orders.csv": "every order that the kill touched, with its outcome; asked_at: its first cancel was announced, "
    "accepted_at: the broker first accepted one",
    "late-arrivals.csv": "those that arrived after the kill began",
    "lost-races.csv": "those that traded while their cancel was on its way, with quantity and notional",
    "accounts.csv": "every account: first DELETE, first answer, flat, how it stands",
    "people.csv": "what people did: engaged, released, were refused, took this pack before",
    "call-sheet.html": "what to read to the broker's desk on the telephone",
    "call-sheet.txt": "the same as plain text",
    "entries.jsonl": "the entries of the audit trail, as they stand in its chain",
    "anchors.jsonl": "the signed anchor after the last of them",
    "reason.jsonl": "the entry of the reason, which was given long after the end: it stands apart in the audit trail",
    "reason-anchors.jsonl": "the signed anchor after it",
    "public-key.pem": "the public key of that signature",
    "verify_export.py": "checks entries.jsonl against both; needs Python 3.9 or newer, and nothing else",
}


def readme(summary: Summary, names: list[str], no_pdf: str) -> str:
    """Say what is in a pack that holds the files `names`, and why it has no PDF where it has none."""
    return "\n".join(_lines(summary, names, no_pdf)) + "\n"


def _lines(summary: Summary, names: list[str], no_pdf: str) -> Iterator[str]:
    kill, incident = summary.kill, summary.incident
    yield f"INCIDENT PACK: {summary.name}"
    yield ""
    yield f"Kill {kill.id}: {'would cancel' if kill.dry_run else 'cancel'} {kill.scope}"
    yield f"Engaged by {kill.engaged_by_name or 'somebody'} at {exact_time(kill.engaged_at)} UTC"
    yield f"State: {incident.standing.upper()}"
    yield f"Broker: {summary.broker}"
    yield f"Made by Killswitch {VERSION}"
    yield f"As of {exact_time(summary.at)} UTC. All times are UTC, notional is in US dollars."
    if incident.is_running:
        yield ""
        yield "THIS KILL IS NOT OVER. The pack shows how it stood at that time: take another one when it has ended."
    yield ""
    yield from _agreement(summary)
    yield ""
    yield "FILES"
    yield ""
    for name, what in FILES.items():
        if name in names:
            yield from wrap(what, WIDTH, initial_indent=f"  {name:<18} ", subsequent_indent=" " * 21)
    if no_pdf:
        yield ""
        yield f"There is no summary.pdf: {no_pdf}. Print summary.html instead."
    yield ""
    yield "In the CSV files text that a spreadsheet would take for a formula has a ' in front. Empty is not known."
    yield ""
    yield from _proof(summary.excerpt, names)
    if summary.late_reason is not None:
        yield from _late_reason(summary.late_reason)


def _agreement(summary: Summary) -> Iterator[str]:
    """Say whether what the pages and tables show is what was recorded."""
    if summary.broken:
        yield f"THE AUDIT TRAIL WAS VERIFIED WHERE THIS PACK WAS MADE, AND DOES NOT HOLD: {summary.broken}"
        yield ""
    if summary.contradictions:
        yield "THE TABLES OF THIS PACK DO NOT FIT THE AUDIT TRAIL: what they show was changed after it was recorded."
        yield "Go by entries.jsonl. Where they differ:"
        yield from (f"  - {one}" for one in summary.contradictions)
    elif not summary.incident.is_running:
        yield from wrap(
            "Pages and tables are made of the product's working tables. When this pack was made they were held against "
            "the entries, and agree: who, when, what and why, how each account ended, and what became of each order. "
            "Prices, order types and times in force stand in the working tables only.",
            WIDTH,
        )


def _proof(excerpt: Excerpt, names: list[str]) -> Iterator[str]:
    yield "THE PROOF"
    yield ""
    if not excerpt.last:
        yield "The audit trail has no entry of this kill."
        return
    yield from wrap(
        f"entries.jsonl holds the entries {excerpt.first} to {excerpt.up_to} of the audit trail, one a line. Those of "
        "this kill are whole. Of what lies between them, which is about something else, only the hashes are there: "
        "enough to follow the chain past it. Each entry is bound to the one before it: none of them can be changed, "
        "left out, added or moved without every hash after it becoming another one.",
        WIDTH,
    )
    yield ""
    if excerpt.anchor is None:
        yield "THERE IS NO ANCHOR YET after the last of these entries. The chain can be followed from the first line to"
        yield "the last, but nothing signed shows that it was not written anew: take the pack again in a few minutes."
        yield ""
        yield f"  python verify_export.py entries.jsonl --from {excerpt.first} --up-to {excerpt.up_to}"
        return
    at = exact_time(excerpt.anchor.at)
    if excerpt.is_contradicted:
        yield "THE AUDIT TRAIL DOES NOT HOLD. The anchor after these entries was signed for another entry than the one"
        yield f"that stands there now: {excerpt.anchor.sequence}, at {at} UTC. The verifier says more:"
    else:
        yield f"The anchor of entry {excerpt.anchor.sequence}, signed at {at} UTC, fixes all of them. Check it with:"
    yield ""
    yield f"  python verify_export.py entries.jsonl --from {excerpt.first} --up-to {excerpt.up_to} \\"
    yield "    --anchors anchors.jsonl --public-key public-key.pem"
    yield ""
    yield "Compare the public key, and the anchor, with what was delivered to you elsewhere at the time (a file, a"
    yield "mail, a bucket): a pack cannot vouch for its own key."
    if "public-key.pem" not in names:
        yield ""
        yield "The public key is not in this pack: it is not known where the pack was made. Ask whoever keeps the keys."


def _late_reason(excerpt: Excerpt) -> Iterator[str]:
    yield ""
    yield f"The reason was given later: entry {excerpt.first}, in reason.jsonl. Check it in the same way:"
    yield ""
    vouched = " \\\n    --anchors reason-anchors.jsonl --public-key public-key.pem" if excerpt.anchor else ""
    yield f"  python verify_export.py reason.jsonl --from {excerpt.first} --up-to {excerpt.up_to}{vouched}"
