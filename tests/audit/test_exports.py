"""What is taken away is what is in the table, whole, in every form, and without growing with its size."""

import csv
import hashlib
import io
import json
import subprocess
import sys
import tracemalloc
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from killswitch.audit import exports, guard
from killswitch.audit.exports import CSV, FORMS, JSON_LINES, PARQUET, Export, Form, begin
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.audit.search import Search

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KILL_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")
ANN = Actor(id=7, name="ann", source="web 10.0.0.1")
ODD = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\rx",
    'say "stop", now',
    "two\r\nlines",
    "🛑 ünï",
    "'",
    " ",
    "x" * 10_000,
]


def export(form: Form, search: Search | None = None, **options: Any) -> Export:
    return begin(search or Search(), form, actor=ANN, now=NOON, **options)


def whole(found: Export) -> bytes:
    return b"".join(found.pieces())


@pytest.fixture
def rows() -> list[Entry]:
    full = {
        "kill_id": KILL_ID,
        "attempt_id": uuid.UUID(int=5),
        "account_id": 2**62,
        "quantity": Decimal("-12.50"),
        "leaves_quantity": Decimal("0.000000001"),
        "http_status": 200,
        "latency_us": 12_345,
    }
    drafts = []
    for number, odd in enumerate(ODD):
        at = NOON + timedelta(seconds=number)
        named = {"order_id": odd, "client_order_id": odd, "symbol": odd, "request_id": odd, "broker_status": odd}
        drafts.append(Draft(kind=Kind.ORDER_ENDED, at=at, sentence=odd, actor=ANN, data={odd: odd}, **named, **full))
        drafts.append(Draft(kind=Kind.DENIED, at=at, sentence=odd))
    append(drafts)
    return list(Entry.objects.order_by("id"))


def as_told(row: Entry) -> dict[str, Any]:
    """Return what an export tells of a row, by column, as text."""

    def text(value: Any) -> str:
        if isinstance(value, Decimal):
            return format(value, "f")
        return "" if value is None else str(value)

    told = {name: text(getattr(row, name)) for name in (*exports.COLUMNS, *exports.HASHES) if name != "sequence"}
    told["sequence"], told["at"] = str(row.id), f"{row.at:%Y-%m-%dT%H:%M:%S.%fZ}"
    return told


class TestCsv:
    def read(self, told: bytes) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(told.decode(), newline=""), strict=True))

    def test_holds_every_column_of_every_row(self, rows: list[Entry]) -> None:
        read = self.read(whole(export(CSV)))
        assert len(read) == len(rows)
        for record, row in zip(read, rows, strict=True):
            expected = as_told(row)
            assert json.loads(record.pop("data")) == row.data
            expected.pop("data")
            # Text that a spreadsheet would carry out has a ' in front, and nothing else has.
            for name, value in record.items():
                is_number = name in (*exports.NUMBERS, *exports.FIGURES)
                marked = not is_number and expected[name].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
                assert value == ("'" if marked else "") + expected[name], name

    def test_is_as_rfc_4180_has_it(self, rows: list[Entry]) -> None:
        told = whole(export(CSV, Search(order_id="two\r\nlines")))
        assert told.count(b'"two\r\nlines"') == 6
        assert told.endswith(b"\r\n")
        assert b"\xef\xbb\xbf" not in told
        assert b'"say ""stop"", now"' in whole(export(CSV))

    def test_leaves_numbers_numbers(self, rows: list[Entry]) -> None:
        told = whole(export(CSV, Search(order_id="🛑 ünï"))).decode()
        assert ",-12.50,0.000000001," in told
        assert f",{2**62}," in told


class TestJsonLines:
    def test_are_the_lines_that_the_chain_is_made_of(self, rows: list[Entry]) -> None:
        previous = "0" * 64
        lines = whole(export(JSON_LINES)).splitlines()
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            content, _, seal = line.partition(b',"hash":"')
            own, before = seal[:64].decode(), seal[-66:-2].decode()
            digest = hashlib.sha256(content + b"}").hexdigest()
            linked = json.dumps({"content": digest, "previous_hash": before}, separators=(",", ":"))
            assert (own, before) == (row.hash, previous)
            assert hashlib.sha256(linked.encode()).hexdigest() == own
            previous = own

    def test_with_proof_tell_of_the_others_only_where_they_stand(self, rows: list[Entry]) -> None:
        found = export(JSON_LINES, Search(kind=Kind.ORDER_ENDED, since=NOON + timedelta(seconds=2)), provable=True)
        lines = [json.loads(line) for line in whole(found).splitlines()]
        assert [line["sequence"] for line in lines] == list(range(found.first, found.last + 1))
        assert {line["kind"] for line in lines if "kind" in line} == {"order.ended"}
        skeletons = [line for line in lines if "kind" not in line]
        assert len(skeletons) == len(lines) // 2
        assert all(set(line) == {"content", "hash", "previous_hash", "sequence"} for line in skeletons)
        for before, after in pairwise(lines):
            assert after["previous_hash"] == before["hash"]

    @pytest.mark.parametrize("form", [CSV, PARQUET])
    def test_alone_prove_anything(self, form: Form) -> None:
        with pytest.raises(ValueError, match="only JSON Lines"):
            export(form, provable=True)


class TestParquet:
    def test_holds_every_column_of_every_row(self, rows: list[Entry]) -> None:
        parquet = pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(io.BytesIO(whole(export(PARQUET))))
        assert str(table.schema.field("at").type) == "timestamp[us, tz=UTC]"
        assert str(table.schema.field("account_id").type) == "int64"
        read = table.to_pylist()
        assert len(read) == len(rows)
        for record, row in zip(read, rows, strict=True):
            assert json.loads(record.pop("data")) == row.data
            expected = as_told(row)
            del expected["data"]
            assert record.pop("at") == row.at
            del expected["at"]
            assert {name: "" if value is None else str(value) for name, value in record.items()} == expected

    def test_that_broke_off_cannot_be_taken_for_a_whole_one(self, rows: list[Entry]) -> None:
        parquet = pytest.importorskip("pyarrow.parquet")
        pieces = list(export(PARQUET).pieces())
        with pytest.raises(Exception, match=r"footer|magic|too small"):
            parquet.read_table(io.BytesIO(b"".join(pieces[:-1])))

    def test_says_what_to_install_where_it_cannot_be_written(self) -> None:
        program = "import sys; sys.modules['pyarrow'] = None\nfrom killswitch.audit.exports import FORMS\n"
        program = f"import django; django.setup()\n{program}print([form.missing for form in FORMS.values()])"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout == "['', '', 'pyarrow']\n"


class TestAnyExport:
    @pytest.fixture(params=FORMS.values(), ids=list(FORMS))
    def form(self, request: pytest.FixtureRequest) -> Form:
        form: Form = request.param
        if form.missing:
            pytest.skip(f"{form.missing} is not installed")
        return form

    def test_is_an_entry_before_its_first_byte(self, form: Form, rows: list[Entry]) -> None:
        found = export(form, Search(kind=Kind.ORDER_ENDED, since=NOON))
        entry = Entry.objects.latest("id")
        assert (entry.kind, entry.actor_name, entry.source) == (Kind.TRAIL_EXPORTED, "ann", "web 10.0.0.1")
        assert entry.sentence == (
            f"ann exported the audit trail as {form.words}: since 2026-11-21T12:00:00.000000Z, kind order.ended; "
            "entries 1 to 23"
        )
        assert entry.data == {
            "format": form.name,
            "search": {"since": "2026-11-21T12:00:00.000000Z", "kind": "order.ended"},
            "provable": False,
            "first": 1,
            "last": 23,
            "up_to": 24,
        }
        assert found.file_name == f"audit-trail-excerpt-1-to-23.{form.name}"
        whole(found)
        assert Entry.objects.count() == 25

    def test_holds_nothing_that_was_appended_after_it_began(self, form: Form, rows: list[Entry]) -> None:
        found = export(form)
        append([Draft(kind=Kind.DENIED, at=NOON, sentence="appended-later")])
        assert (found.first, found.last) == (1, 24)
        assert b"appended-later" not in whole(found)
        assert b"exported" not in whole(found)

    def test_of_nothing_is_empty(self, form: Form, rows: list[Entry]) -> None:
        found = export(form, Search(order_id="none"))
        assert found.file_name == f"audit-trail-excerpt-0-to-0.{form.name}"
        told = whole(found)
        if form is CSV:
            assert told.count(b"\r\n") == 1
        elif form is JSON_LINES:
            assert told == b""
        assert Entry.objects.latest("id").sentence.endswith("order none; no entry matches")

    def test_tells_what_somebody_spoiled_instead_of_breaking_off(self, form: Form, rows: list[Entry]) -> None:
        if connection.vendor != "sqlite":
            pytest.skip("only SQLite keeps anything in any column")
        guard.remove(connection)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE audit_entry SET data = X'00', account_id = 'x', at = 'never' WHERE id = 3")
        guard.install(connection)
        told = whole(export(form))
        assert len(told) > 100
        if form is CSV:
            record = list(csv.DictReader(io.StringIO(told.decode(), newline="")))[2]
            assert (record["sequence"], record["sentence"][:14]) == ("3", "NOT READABLE: ")
        if form is PARQUET:
            from pyarrow import parquet

            assert parquet.read_table(io.BytesIO(told)).num_rows == len(rows)

    def test_keeps_no_more_in_memory_however_long_it_is(self, form: Form) -> None:
        def most(count: int) -> int:
            draft = Draft(kind=Kind.DENIED, at=NOON, sentence="x" * 200)
            append([draft] * count)
            tracemalloc.start()
            for _ in export(form).pieces():
                pass
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak

        first = most(12_000)
        assert most(24_000) < first * 1.25


class TestASearch:
    @pytest.mark.parametrize(
        "search",
        [
            Search(text="=1+1"),
            Search(order_id="🛑 ünï"),
            Search(account_id=2**62, until=NOON + timedelta(seconds=3)),
            Search(since=NOON + timedelta(seconds=3), until=NOON + timedelta(seconds=5)),
            Search(kill_id=KILL_ID, kind=Kind.ORDER_ENDED),
        ],
        ids=str,
    )
    def test_is_the_same_in_every_form(self, search: Search, rows: list[Entry]) -> None:
        expected = list(export(CSV, search).walk.each_number())
        assert 0 < len(expected) < len(rows)
        read = csv.DictReader(io.StringIO(whole(export(CSV, search)).decode(), newline=""))
        assert [int(record["sequence"]) for record in read] == expected
        lines = whole(export(JSON_LINES, search)).splitlines()
        assert [json.loads(line)["sequence"] for line in lines] == expected
