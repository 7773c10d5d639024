"""Cells of a CSV file that no spreadsheet carries out."""

import csv
import io
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from killswitch.audit.csv_safe import line, safe


class TestSafe:
    @pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
    def test_takes_the_formula_out_of_text(self, first: str) -> None:
        assert safe(f'{first}HYPERLINK("http://x","y")') == f'\'{first}HYPERLINK("http://x","y")'

    @pytest.mark.parametrize("text", ["", "a=b", "'=x", " =x", "runaway – stop it", "2026-11-21"])
    def test_leaves_other_text_as_it_is(self, text: str) -> None:
        assert safe(text) == text

    def test_takes_a_number_in_text_for_text(self) -> None:
        assert safe("-5") == "'-5"

    @pytest.mark.parametrize(
        ("value", "cell"),
        [
            (None, ""),
            (-5, "-5"),
            (0, "0"),
            (True, "yes"),
            (False, "no"),
            (Decimal("-0.10"), "-0.10"),
            (Decimal("1E+3"), "1000"),
            (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
            (datetime(2026, 11, 21, 10, tzinfo=UTC), "2026-11-21T10:00:00.000000Z"),
            (datetime(2026, 11, 21, 10, tzinfo=timezone(timedelta(hours=1))), "2026-11-21T09:00:00.000000Z"),
        ],
    )
    def test_writes_values_plainly(self, value: Any, cell: str) -> None:
        assert safe(value) == cell


class TestLine:
    def test_reads_back_as_it_was(self) -> None:
        cells = ["a,b", 'say "stop"', "two\r\nlines", "ümlaut 🛑", "", "1001"]
        written = line(cells)
        assert written.endswith(b"\r\n")
        assert list(csv.reader(io.StringIO(written.decode(), newline=""))) == [cells]

    def test_quotes_as_rfc_4180_has_it(self) -> None:
        assert line(["a", 'b"c', "d,e"]) == b'a,"b""c","d,e"\r\n'

    def test_survives_a_lone_surrogate(self) -> None:
        assert line(["\ud800"]) == b"\\ud800\r\n"
