"""The database goes away and comes back under a running notary. On a PostgreSQL server that the test stops."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from killswitch.audit.anchors import last_anchor
from killswitch.audit.models import Anchor, Entry, Kind
from tests.conftest import ROOT, end, start, wait_for
from tests.faults.postgresql import PostgreSQL, as_the_database, own_server

from .conftest import newest_log, write


@pytest.fixture
def server(transactional_db: None) -> Iterator[PostgreSQL]:
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    with own_server() as made:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "killswitch.settings", "DATABASE_URL": made.url}
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
        with as_the_database(made.url):
            yield made


def numbers(file: Path) -> set[int]:
    return {json.loads(line)["sequence"] for line in file.read_bytes().splitlines()} if file.exists() else set()


def is_anchored() -> bool:
    last = last_anchor()
    return last is not None and last.sequence >= Entry.objects.filter(kind=Kind.KILL_ENDED).latest("id").id


def test_a_notary_waits_for_a_database_that_is_gone(server: PostgreSQL, key_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    given = {"DATABASE_URL": server.url, "ANCHOR_KEY_FILE": str(key_file), "ANCHOR_FILE": str(file)}
    process = start([sys.executable, "manage.py", "notary"], given)
    try:
        write(Kind.KILL_ENDED)
        wait_for(is_anchored, "the first anchor")
        # A place that is new begins with the last anchor: it must be known before there is a second one.
        wait_for(lambda: numbers(file), "the first line")
        server.stop()
        connection.close()
        wait_for(lambda: "anchors: failed, and tries again" in newest_log(), "the notary to notice")
        server.start()
        write(Kind.KILL_ENDED)
        wait_for(is_anchored, "the second anchor")
        made = set(Anchor.objects.values_list("sequence", flat=True))
        # One that got there while the database went away comes a second time.
        wait_for(lambda: numbers(file) == made, "the file")
        assert newest_log().count("anchors: failed, and tries again") == 1
        server.stop()
        connection.close()
    finally:
        # It ends at once, though there is no database to say so to.
        end(process)
    assert process.returncode == 0
    server.start()
