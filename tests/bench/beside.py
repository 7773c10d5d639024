"""Figures of several databases side by side. Knows no Django: each is measured in a process of its own."""

import json
import subprocess
import sys

from . import ROOT


def beside(columns: dict[str, dict[str, str]]) -> str:
    """Write figures of several databases as one table (Markdown)."""
    rows = [["", *columns], *[["---"] * (len(columns) + 1)]]
    rows += [[name, *(told.get(name, "") for told in columns.values())] for name in next(iter(columns.values()))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def both(databases: list[str], count: int) -> None:
    """Measure each database in a process of its own, and print the figures side by side."""
    columns = {}
    for database in databases:
        command = [sys.executable, "-m", "tests.bench", "figures", "--database", database, "--count", str(count)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        columns["SQLite" if database.startswith("sqlite") else "PostgreSQL"] = json.loads(done.stdout)
    print(beside(columns))
