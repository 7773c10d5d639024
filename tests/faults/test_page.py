"""The page in docs/ says what runs, and what must run does."""

import subprocess
import sys

from .page import PAGE, ROOT

PRINT = "from tests.faults import page; import sys; sys.stderr.write(page.render(page.collect()))"
# The others belong to the audit trail and the pages alone.
WANTED = {*range(1, 21), *range(24, 29), *range(31, 35)}


def test_the_page_says_what_runs_and_every_fault_of_a_kill_is_among_it() -> None:
    made = subprocess.run([sys.executable, "-c", PRINT], cwd=ROOT, capture_output=True, text=True, check=True).stderr
    assert made == PAGE.read_text(), "write it anew: python -m tests.faults.page"
    shown = {int(line.split("|")[1]) for line in made.splitlines() if line.startswith("| ") and line[2].isdigit()}
    assert WANTED - shown == set(), "faults that no test shows"
    assert all(cell.strip() for line in made.splitlines() if line.startswith("| ") for cell in line.split("|")[1:-1])
