"""Write docs/faults.md from the tests that show each row: `python -m tests.faults.page`."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
HEAD = """\
# Faults, and what is seen

What may break while a kill is on its way, and what must be seen then. Each row is shown by the tests named beside it,
with real processes and signals; `python -m tests.faults.page` writes this page from them, and a test holds it equal.

After every one of these tests the stand-in broker's own log and book are held against the database:

1. No decision is lost: every kill that was committed has ended, or holds because it is latched.
2. Nothing is called canceled without the broker's word, and no account flat that has a matching open order.
3. Every DELETE at the broker has an earlier audit entry that announced it.
4. The audit trail is one chain without a gap, it only ever grew, and the database refuses to change it.

| # | fault | what must be seen | shown by |
| --- | --- | --- | --- |
"""


@dataclass
class Row:
    """One fault, as the markers of its tests tell it."""

    what: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)

    def add(self, test: str, what: str = "", seen: str = "") -> None:
        for known, new in ((self.what, what), (self.seen, seen), (self.tests, test)):
            if new and new not in known:
                known.append(new)

    def shown(self, number: int) -> str:
        tests = "<br>".join(f"`{test}`" for test in self.tests)
        return f"| {number} | {'; '.join(self.what)} | {'; '.join(self.seen)} | {tests} |\n"


def rows(items: Iterable[pytest.Item]) -> dict[int, Row]:
    """Return the rows that `items` show. Raises TypeError for a marker that is not one of ours."""
    found: dict[int, Row] = {}
    for item in items:
        for marker in item.iter_markers("fault"):
            [number] = marker.args
            test = item.nodeid.partition("[")[0].removeprefix("tests/faults/")
            found.setdefault(number, Row()).add(test, **marker.kwargs)
    return dict(sorted(found.items()))


def render(found: dict[int, Row]) -> str:
    return HEAD + "".join(row.shown(number) for number, row in found.items())


def collect() -> dict[int, Row]:
    """Collect every fault test, none of which runs."""
    listener = _Listener()
    status = pytest.main(["--collect-only", "-qq", "--rootdir", str(ROOT), str(Path(__file__).parent)], [listener])
    if status != pytest.ExitCode.OK:
        raise SystemExit(int(status))
    return rows(listener.items)


class _Listener:
    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = session.items


if __name__ == "__main__":
    page = render(collect())
    PAGE.write_text(page)
    print(f"{PAGE.relative_to(ROOT)}: {page.count(chr(10)) - HEAD.count(chr(10))} rows", file=sys.stderr)
