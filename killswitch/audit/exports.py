"""Take entries out of the trail: as CSV for people, as JSON Lines for the verifier, as Parquet for analysis.

An export is a snapshot: what is appended after its beginning is not in it. It is an entry itself, committed before its
first byte leaves. Its name says its first and its last entry, so that a file that broke off can be told from a whole
one; a Parquet file that broke off cannot be read at all.
"""

import csv
import importlib.util
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from .chain import Content
from .csv_safe import FORMULA, safe
from .models import Entry, Kind
from .operations import Actor, Draft, append
from .queries import head
from .rows import Sealed, sealed
from .search import Search
from .walk import Walk

VERIFIER = Path(__file__).with_name("verify_export.py")
AT_ONCE = 1000  # entries in one piece of what is sent
ROW_GROUP = 10_000  # entries that a Parquet file keeps together, and this process in memory
NUMBERS = ("sequence", "actor_id", "account_id", "http_status", "latency_us")
FIGURES = ("quantity", "leaves_quantity", "filled_quantity")
COLUMNS = (
    *("sequence", "at", "kind", "sentence", "actor_name", "actor_id", "source", "account_id", "symbol", "side"),
    *("quantity", "leaves_quantity", "filled_quantity", "order_id", "client_order_id", "broker_status", "outcome"),
    *("request_id", "http_status", "latency_us", "kill_id", "attempt_id", "data"),
)
HASHES = ("previous_hash", "hash")

_told = attrgetter(*COLUMNS)
_DATA = COLUMNS.index("data")
_FIGURES = tuple(COLUMNS.index(name) for name in FIGURES)
_FORMULA = frozenset(FORMULA)
_decode = msgspec.json.Decoder(Content).decode
_is_figure = re.compile(r"-?[0-9]+(\.[0-9]+)?").fullmatch


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to write entries."""

    name: str
    words: str
    media_type: str
    write: Callable[[Iterable[Sealed]], Iterator[bytes]]
    package: str = ""

    @property
    def missing(self) -> str:
        """Say what has to be installed for it; nothing where it is."""
        return "" if not self.package or importlib.util.find_spec(self.package) else self.package


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export, as it was fixed when it was asked for."""

    form: Form
    walk: Walk
    provable: bool
    is_everything: bool  # nothing but times was searched for
    first: int  # the first and the last entry that match; 0 where none does
    last: int

    @property
    def file_name(self) -> str:
        part = "provable-" if self.provable else "" if self.is_everything else "excerpt-"
        return f"audit-trail-{part}{self.first}-to-{self.last}.{self.form.name}"

    def pieces(self) -> Iterator[bytes]:
        """Yield the file, piece by piece."""
        if self.provable:
            return _joined(self._with_skeletons())
        return self.form.write(self.walk.sealed())

    def _with_skeletons(self) -> Iterator[bytes]:
        """Let each entry between the first and the last that does not match be followed past, but not read."""
        wanted = self.walk.each_number()
        number = next(wanted, 0)
        for entry in sealed(Entry.objects.all(), after=self.first - 1, up_to=self.last):
            is_wanted = entry.sequence == number
            yield (entry.line if is_wanted else entry.skeleton) + b"\n"
            number = next(wanted, 0) if is_wanted else number


def begin(search: Search, form: Form, *, provable: bool = False, actor: Actor, now: datetime) -> Export:
    """Fix what an export holds, and commit that it was asked for. Raises ValueError for a form that proves nothing."""
    if provable and form is not JSON_LINES:
        raise ValueError("only JSON Lines can hold what proves an excerpt")
    up_to = head()
    walk = Walk(search, up_to=up_to)
    first, last = walk.first_and_last() or (0, 0)
    is_everything = replace(search, since=None, until=None) == Search()
    export = Export(form=form, walk=walk, provable=provable, is_everything=is_everything, first=first, last=last)
    append([_draft(search, export, up_to, actor, now)])
    return export


def _draft(search: Search, export: Export, up_to: int, actor: Actor, now: datetime) -> Draft:
    found = f"entries {export.first} to {export.last}" if export.last else "no entry matches"
    proof = " with what proves its place in the chain" if export.provable else ""
    return Draft(
        kind=Kind.TRAIL_EXPORTED,
        at=now,
        sentence=f"{actor.name} exported the audit trail as {export.form.words}{proof}: "
        f"{str(search) or 'all of it'}; {found}",
        actor=actor,
        data={
            "format": export.form.name,
            "search": search.told(),
            "provable": export.provable,
            "first": export.first,
            "last": export.last,
            "up_to": up_to,
        },
    )


def _content(entry: Sealed) -> Content:
    try:
        return _decode(entry.content)
    except (msgspec.ValidationError, msgspec.DecodeError):
        # Somebody changed it into what no entry can be: told as it stands there.
        told = f"NOT READABLE: {entry.content.decode(errors='replace')}"
        empty: dict[str, Any] = dict.fromkeys(Content.__struct_fields__, "") | dict.fromkeys((*NUMBERS, *FIGURES))
        values = {"sequence": entry.sequence, "sentence": told, "kill_id": None, "attempt_id": None}
        return Content(**(empty | values | {"data": msgspec.Raw(b"{}")}))


def _joined(lines: Iterator[bytes]) -> Iterator[bytes]:
    while piece := b"".join(islice(lines, AT_ONCE)):
        yield piece


# --- JSON Lines


def _json_lines(entries: Iterable[Sealed]) -> Iterator[bytes]:
    return _joined(entry.line + b"\n" for entry in entries)


# --- CSV


def _csv(entries: Iterable[Sealed]) -> Iterator[bytes]:
    yield _records([[*COLUMNS, *HASHES]])
    left = iter(entries)
    while part := list(islice(left, AT_ONCE)):
        yield _records(_cells(entry) for entry in part)


def _records(rows: Iterable[list[Any]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue().encode("utf-8", "backslashreplace")


def _cells(entry: Sealed) -> list[Any]:
    values = list(_told(_content(entry)))
    values[_DATA] = bytes(values[_DATA]).decode()
    # As `csv_safe.safe` has it, which takes three times as long: a file has millions of cells.
    cells = [safe(value) if value.__class__ is str and value[:1] in _FORMULA else value for value in values]
    for index in _FIGURES:
        if values[index] is not None and _is_figure(values[index]):
            cells[index] = values[index]  # written as text in the trail, and yet a number
    return [*cells, entry.previous_hash, entry.hash]


# --- Parquet


class _Sink(io.RawIOBase):
    """Holds what was written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        return len(self._pieces[-1])

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _parquet(entries: Iterable[Sealed]) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    types = dict.fromkeys(NUMBERS, pa.int64()) | {"at": pa.timestamp("us", tz="UTC")}
    # Quantities stay text, digit for digit: no decimal type holds every one.
    schema = pa.schema([(name, types.get(name, pa.string())) for name in (*COLUMNS, *HASHES)])
    sink, left = _Sink(), iter(entries)
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        while part := list(islice(left, ROW_GROUP)):
            writer.write_table(pa.table(_columns(part), schema=schema))
            yield sink.take()
    yield sink.take()


def _columns(part: list[Sealed]) -> dict[str, list[Any]]:
    told = [_content(entry) for entry in part]
    columns: dict[str, list[Any]] = {name: [getattr(content, name) for content in told] for name in COLUMNS}
    for name in NUMBERS:
        columns[name] = [_number(value) for value in columns[name]]
    columns["at"] = [_time(value) for value in columns["at"]]
    columns["data"] = [bytes(value).decode() for value in columns["data"]]
    for name in HASHES:
        columns[name] = [getattr(entry, name) for entry in part]
    return columns


def _number(value: int | str | None) -> int | None:
    try:
        return None if value is None else int(value)
    except ValueError:
        return None


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


CSV = Form(name="csv", words="CSV", media_type="text/csv; charset=utf-8", write=_csv)
JSON_LINES = Form(name="jsonl", words="JSON Lines", media_type="application/jsonl", write=_json_lines)
PARQUET = Form(
    name="parquet",
    words="Parquet",
    media_type="application/vnd.apache.parquet",
    write=_parquet,
    package="pyarrow",
)
FORMS = {form.name: form for form in (CSV, JSON_LINES, PARQUET)}
