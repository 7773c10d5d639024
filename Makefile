# `make demo` and `make test` do all the set-up themselves.
PYTHON ?= python3
# Most tests wait for a process or a pause: three at a time on two cores.
WORKERS ?= 3
BIN := .venv/bin

.PHONY: demo test soak bench lint audit types pins clean

demo: .venv/ready
	@exec $(BIN)/python -m killswitch.demo

test: .venv/ready-for-tests
	@# Not the files with most tests first: those with the longest tests have few, and would come last.
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Minutes of chaos, not part of the tests: make soak SOAK="--minutes 1 --accounts 20"
soak: .venv/ready-for-tests
	@exec $(BIN)/python -m tests.soak $(SOAK)

# The whole product beside what is possible at all, a quarter of an hour: make bench BENCH="first 200"
bench: .venv/ready-for-tests
	@exec $(BIN)/python -m tests.speed $(BENCH)

lint: .venv/ready-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.production $(BIN)/python manage.py check --deploy --fail-level WARNING

# Known vulnerabilities of what is pinned; says so where the service is out of reach.
audit: .venv/ready-for-tests
	$(BIN)/python -m tests.dependencies

types: .venv/ready-for-tests
	$(BIN)/mypy

# Pin what pyproject.toml asks for anew. Needs uv.
pins:
	uv pip compile --quiet --universal --generate-hashes --upgrade --python-version 3.11 --no-header pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --generate-hashes --upgrade --python-version 3.11 --no-header --group dev -c requirements.txt pyproject.toml -o tests/requirements.txt

.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

.venv/ready-for-tests: tests/requirements.txt .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	@touch $@

clean:
	rm -rf .venv .run
