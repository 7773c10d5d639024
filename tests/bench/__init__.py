"""How fast the record is at size. Not part of the tests: `python -m tests.bench --help`."""
