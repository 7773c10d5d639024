"""Taking a search away through the page, and from the shell."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from killswitch.audit.exports import FORMS
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from orders_ui.views.exports import AT_ONCE
from tests.conftest import ROOT, database_url

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def entries(compliance_client: Client) -> Client:
    drafts = [
        Draft(
            kind=Kind.DENIED, at=NOON + timedelta(days=number), sentence=f"=1+{number}", symbol="AAPL" if number else ""
        )
        for number in range(3)
    ]
    append(drafts)
    return compliance_client


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def exported() -> list[Entry]:
    return list(Entry.objects.filter(kind=Kind.TRAIL_EXPORTED).order_by("id"))


class TestTheLinks:
    @pytest.mark.parametrize("query", ["", "symbol=AAPL&since=2026-11-22", "q=AAPL&sort=oldest"])
    def test_take_away_what_the_page_shows(self, query: str, entries: Client) -> None:
        trail = entries.get(f"/audit/?{query}").context["trail"]
        shown = sorted(entry.id for entry in trail.entries)
        ways = {way.words: way.address for way in trail.exports}
        lines = body(entries.get(ways["JSON Lines"])).splitlines()
        assert [json.loads(line)["sequence"] for line in lines] == shown
        assert ("JSON Lines with proof" in ways) == bool(query)

    def test_name_a_file_that_says_its_first_and_last_entry(self, entries: Client) -> None:
        first, last = Entry.objects.filter(symbol="AAPL").order_by("id").values_list("id", flat=True)
        response = entries.get("/audit/export.csv?symbol=AAPL")
        assert response["Content-Disposition"] == f'attachment; filename="audit-trail-excerpt-{first}-to-{last}.csv"'
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        assert response["Cache-Control"] == "no-store"
        records = list(csv.DictReader(io.StringIO(body(response).decode(), newline="")))
        assert [int(record["sequence"]) for record in records] == [first, last]
        assert records[0]["sentence"] == "'=1+1"

    def test_say_what_is_missing(self, entries: Client) -> None:
        parquet = FORMS["parquet"]
        page = entries.get("/audit/").content.decode()
        assert ("Parquet needs pyarrow" in page) == bool(parquet.missing)
        response = entries.get("/audit/export.parquet")
        assert response.status_code == (501 if parquet.missing else 200)
        response.close()

    def test_with_proof(self, entries: Client) -> None:
        lines = body(entries.get("/audit/export.jsonl?symbol=AAPL&provable=on")).splitlines()
        assert all("kind" in json.loads(line) for line in lines)
        assert exported()[0].data["provable"] is True


class TestAnExport:
    def test_is_an_entry_of_whoever_took_it(self, entries: Client) -> None:
        response = entries.get("/audit/export.jsonl?symbol=AAPL")
        [entry] = exported()  # before anything was read of it
        assert (entry.actor_name, entry.source) == ("compliance", "web 127.0.0.1")
        assert entry.data["search"] == {"symbol": "AAPL"}
        response.close()

    @pytest.mark.parametrize("who", ["nobody", "no role", "risk desk", "administrator", "compliance"])
    def test_takes_the_right_to_read_the_trail(self, who: str, clients: Callable[[str], Client]) -> None:
        client = clients(who)
        may_read = client.get("/audit/").status_code == 200
        response = client.get("/audit/export.csv")
        assert response.status_code == (200 if may_read else 302 if who == "nobody" else 403)
        assert len(exported()) == may_read
        response.close()

    @pytest.mark.parametrize(
        ("address", "words"),
        [
            ("export.csv?since=soon", "Write a day or a time"),
            ("export.csv?acount=1", "is not a field of this search"),
            ("export.csv?before=7", "An export holds every page of a search"),
            ("export.csv?provable=on", "Only JSON Lines can hold what proves an excerpt"),
        ],
    )
    def test_is_refused_where_it_is_not_understood(self, address: str, words: str, entries: Client) -> None:
        response = entries.get(f"/audit/{address}")
        assert response.status_code == 400
        assert b"NOT EXPORTED" in response.content
        assert words in response.content.decode()
        assert exported() == []

    def test_is_not_found_in_other_forms(self, entries: Client) -> None:
        assert entries.get("/audit/export.pdf").status_code == 404
        assert exported() == []

    def test_is_asked_for_by_nothing_but_get(self, entries: Client) -> None:
        assert entries.head("/audit/export.csv").status_code == 405
        assert entries.post("/audit/export.csv").status_code == 405
        assert exported() == []

    @pytest.mark.django_db(transaction=True)  # an answer that is closed closes the connection, too
    def test_waits_while_too_many_are_under_way(self, entries: Client) -> None:
        under_way = [entries.get("/audit/export.csv") for _ in range(AT_ONCE)]
        refused = entries.get("/audit/export.csv?symbol=AAPL")
        assert refused.status_code == 503
        assert b'value="AAPL"' in refused.content
        assert len(exported()) == AT_ONCE
        body(under_way[0])
        # Read to its end, broken off in the middle, never begun: each gives its place back when it is closed.
        next(iter(under_way[1]))
        for response in under_way:
            response.close()
        again = [entries.get("/audit/export.csv") for _ in range(AT_ONCE)]
        assert {response.status_code for response in again} == {200}
        for response in again:
            response.close()


@pytest.mark.django_db(transaction=True)
class TestFromTheShell:
    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "manage.py", "export_audit", *arguments]
        environment = {"DJANGO_SETTINGS_MODULE": "killswitch.settings", "DATABASE_URL": database_url()}
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=False)

    @pytest.fixture(autouse=True)
    def written(self) -> None:
        append(
            Draft(
                kind=Kind.DENIED,
                at=NOON + timedelta(days=number),
                sentence="🛑",
                symbol="AAPL",
                actor=Actor(name="ann"),
            )
            for number in range(4)
        )

    def test_is_the_same_with_the_same_entry(self) -> None:
        done = self.run("--format", "jsonl", "--since", "2026-11-22", "--until", "2026-11-23", "--person", "ann")
        assert done.returncode == 0, done.stderr
        assert [json.loads(line)["sequence"] for line in done.stdout.splitlines()] == [2, 3]
        assert done.stderr == b"Entries 2 to 3\n"
        [entry] = exported()
        assert entry.source.startswith("export_audit ")
        assert entry.actor_name
        assert (entry.data["first"], entry.data["last"]) == (2, 3)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--since", "soon"], b"--since: write a day or a time"),
            (["--kill", "abcd"], b"--kill: no kill begins with abcd"),
            (["--provable"], b"only JSON Lines"),
            (["--account", "x"], b"invalid int value"),
        ],
    )
    def test_refuses_what_it_does_not_understand(self, arguments: list[str], words: bytes) -> None:
        done = self.run("--format", "csv", *arguments)
        assert done.returncode != 0
        assert words in done.stderr
        assert done.stdout == b""
        assert exported() == []
