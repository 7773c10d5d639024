"""The incident pack: everything about one kill in one ZIP, with the proof that it is what the audit trail says.

It is written to a temporary file row by row, so that a kill of 100,000 orders takes no more memory than one of ten.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from killswitch.audit.anchors import public_keys
from killswitch.audit.exports import VERIFIER
from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.kills.models import Kill
from killswitch.snapshot import one_moment

from . import tables
from .call_sheet_text import as_text
from .pdf import NoPdf, pdf_of
from .readme import readme
from .summary import Summary

READ_AT_ONCE = 1 << 20

# Draws the pages of a pack, by the names of their files: summary.html and call-sheet.html.
Draw = Callable[[Summary], Mapping[str, str]]


@dataclass(frozen=True)
class Pack:
    """A pack, ready to be sent. Whoever has sent it closes the file."""

    file: IO[bytes]
    name: str


def take(kill_id: UUID, *, draw: Draw, actor: Actor, now: datetime) -> Pack:
    """Make the pack of a kill and record that it was taken: before anybody has a byte of it. Raises DoesNotExist."""
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        summary = _write(file, kill_id, draw, now)
        file.seek(0)
        append([_taken(summary, _sha256(file), file.tell(), actor)])
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return Pack(file, f"{summary.name}.zip")


def _write(file: IO[bytes], kill_id: UUID, draw: Draw, now: datetime) -> Summary:
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        with one_moment():
            summary = Summary(Kill.objects.get(pk=kill_id), now)
            pages = {name: [text.encode()] for name, text in draw(summary).items()}
            for name, parts in [*pages.items(), *_tables(summary), *_record(summary)]:
                _add(archive, name, parts, now)
        no_pdf = ""
        try:
            # Outside of the moment: the database need not wait for a page to be drawn.
            _add(archive, "summary.pdf", [pdf_of(b"".join(pages["summary.html"]).decode())], now)
        except NoPdf as error:
            no_pdf = str(error)
        text = readme(summary, archive.namelist(), no_pdf)
        _add(archive, "README.txt", [text.encode()], now)
    return summary


def _tables(summary: Summary) -> Iterator[tuple[str, Iterable[bytes]]]:
    incident = summary.incident
    yield "timeline.csv", tables.timeline(incident)
    yield "orders.csv", tables.orders(incident)
    yield "late-arrivals.csv", tables.late_arrivals(incident)
    yield "lost-races.csv", tables.lost_races(incident)
    yield "accounts.csv", tables.accounts(incident)
    yield "people.csv", tables.people(incident)
    yield "call-sheet.txt", [as_text(summary.sheet, summary.at).encode("utf-8", "backslashreplace")]


def _record(summary: Summary) -> Iterator[tuple[str, Iterable[bytes]]]:
    yield "entries.jsonl", summary.excerpt.lines()
    if summary.excerpt.anchor is not None:
        yield "anchors.jsonl", summary.excerpt.anchors()
    if summary.late_reason is not None:
        yield "reason.jsonl", summary.late_reason.lines()
        if summary.late_reason.anchor is not None:
            yield "reason-anchors.jsonl", summary.late_reason.anchors()
    if keys := public_keys():
        yield "public-key.pem", [keys.encode()]
    yield "verify_export.py", [VERIFIER.read_bytes()]


def _add(archive: ZipFile, name: str, parts: Iterable[bytes], now: datetime) -> None:
    info = ZipInfo(name, now.timetuple()[:6])
    info.compress_type = ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    # How large it becomes is not known when it is begun.
    with archive.open(info, "w", force_zip64=name.endswith((".csv", ".jsonl"))) as member:
        for part in parts:
            member.write(part)


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while part := file.read(READ_AT_ONCE):
        digest.update(part)
    return digest.hexdigest()


def _taken(summary: Summary, sha256: str, size: int, actor: Actor) -> Draft:
    kill, excerpt = summary.kill, summary.excerpt
    return Draft(
        kind=Kind.PACK_TAKEN,
        at=summary.at,
        actor=actor,
        kill_id=kill.id,
        sentence=f"{actor.name} took the incident pack of the kill of {kill.engaged_by_name} ({kill.scope})",
        data={
            "name": f"{summary.name}.zip",
            "bytes": size,
            "sha256": sha256,
            "state": kill.state,
            "first": excerpt.first,
            "last": excerpt.up_to,
            "anchor": excerpt.anchor.sequence if excerpt.anchor else None,
        },
    )
