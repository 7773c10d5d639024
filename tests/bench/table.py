"""SQLite and PostgreSQL side by side: to verify a trail, to take it away, to open its slowest page."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from killswitch.audit.exports import FORMS
from killswitch.audit.operations import append
from killswitch.audit.queries import head

from . import ROOT
from .made_up import drafts, make
from .reading import measure

KIB = 1024  # in which the operating system counts memory: so many are a MB


def figures(count: int) -> dict[str, str]:
    """Make the database hold `count` entries at least, and measure it. Raises NotOurs."""
    for _ in make(count):
        pass
    told = {"to append 5,000 entries, median of 5": _appended(), "entries": f"{head():,}"}
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMS:
            file = Path(folder) / f"trail.{name}"
            told[f"to export as {name}"] = _run(["manage.py", "export_audit", "--format", name], file)
            told[f"{name}: size"] = f"{file.stat().st_size / 1e6:,.0f} MB"
        told["verify_audit"] = _run(["manage.py", "verify_audit"])
        told["verify_export.py"] = _run(["killswitch/audit/verify_export.py", f"{folder}/trail.jsonl"])
    slowest = measure()[0]
    told["slowest first page"] = (
        f"{slowest.median * 1000:,.0f} ms (best {slowest.best * 1000:,.0f}, worst {slowest.worst * 1000:,.0f}): "
        f"{slowest.search}"
    )
    return told


def _appended() -> str:
    times = []
    for part in range(5):
        some = drafts(5000, seed=part)
        began = time.perf_counter()
        append(some)
        times.append(time.perf_counter() - began)
    return f"{sorted(times)[2]:.2f} s"


def _run(command: list[str], output: Path = Path(os.devnull)) -> str:
    """Run a command of the product, and tell how long it took, entries a second, and the most memory that it held."""
    began = time.perf_counter()
    with output.open("wb") as written, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "killswitch.settings"},
            stdout=written,
            stderr=said,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            return f"ended with {process.returncode}: {said.read().decode(errors='replace').strip()[-80:]}"
    return f"{took:,.1f} s, {head() / took:,.0f}/s, {used.ru_maxrss / KIB:,.0f} MB"
