"""Many rows in few statements, for SQLite.

Its driver lets go of the interpreter for every row of an `executemany`, and has to wait to get it back: beside a busy
event loop that is most of the time.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper


def insert(cursor: CursorWrapper, head: str, rows: Sequence[Sequence[Any]], tail: str = "") -> None:
    """Execute `head VALUES (…), (…) tail` for all rows, as many at once as every SQLite takes."""
    if not rows:
        return
    one = f"({', '.join(['%s'] * len(rows[0]))})"
    at_once = max(1, (connection.features.max_query_params or 1) // len(rows[0]))
    for start in range(0, len(rows), at_once):
        piece = rows[start : start + at_once]
        cursor.execute(
            f"{head} VALUES {', '.join([one] * len(piece))} {tail}", [value for row in piece for value in row]
        )
