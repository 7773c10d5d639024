"""Values as cells of a CSV file (RFC 4180, UTF-8) that a spreadsheet takes for what they are: text, or a number."""

import csv
import io
import uuid
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from .chain import time_text

# With one of these in front a spreadsheet takes text for a formula; the last four are their wide forms.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe(value: Any) -> str:
    """Return a value as a cell. Numbers stay numbers; text that a spreadsheet would carry out gets a ' in front."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | uuid.UUID):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return time_text(value)
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def line(values: Iterable[Any]) -> bytes:
    """Return one record, its end included."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow([safe(value) for value in values])
    return written.getvalue().encode("utf-8", "backslashreplace")
