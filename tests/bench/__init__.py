"""How fast the record is at size. Not part of the tests: `python -m tests.bench --help`."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
