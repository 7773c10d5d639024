"""The database is migrated, or restored from a backup, in the middle of a kill."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection, models

from killswitch.audit.models import Entry
from killswitch.kills.models import Kill, State
from tests.conftest import ROOT, wait_for

from .conftest import World, outcomes
from .postgresql import as_the_database, own_server
from .stack import Stack

PATIENT = {"KILL_PATIENCE_SECONDS": "60", "KILL_STUCK_SECONDS": "60"}


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/killswitch.sqlite3"
    else:
        with own_server() as server:
            yield server.url


@pytest.fixture
def stack(transactional_db: None, url: str) -> Iterator[Stack]:
    made = Stack(url, **PATIENT)
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=ROOT, env=made.environment, check=True)
    with as_the_database(url):
        yield made
    made.end()


def under_way(world: World) -> tuple[Kill, int]:
    """Begin a kill whose orders stay pending until `let_go`."""
    world.stack.broker("--accounts", "0")
    world.stack.redis()
    account = world.account(orders=2)
    world.control.add_fault(match={"method": "DELETE"}, do={"cancel": "stuck"})
    world.stack.worker()
    kill = world.press(account=account)
    wait_for(lambda: world.calls().count("list_orders") >= 2, "the kill to be under way")
    return kill, account


def let_go(world: World, account: int) -> None:
    for order in world.open(account):
        world.control.set_order(order["id"], status="CANCELED", leaves_quantity="0")


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.fault(36, what="a migration in the middle of a kill", seen="the kill goes on, and ends as it would have")
def test_a_column_and_a_table_are_added_under_a_kill(world: World) -> None:
    column = models.TextField(null=True)
    column.set_attributes_from_name("later")
    column.model = Entry
    kill, account = under_way(world)
    world.trail.read()
    began = time.monotonic()
    with connection.schema_editor() as editor:
        editor.add_field(Entry, column)
        editor.execute("CREATE TABLE later (id integer PRIMARY KEY)")
    assert time.monotonic() - began < 5
    looked = world.calls().count("list_orders")
    wait_for(lambda: world.calls().count("list_orders") > looked + 1, "the kill to go on")
    let_go(world, account)
    over = wait_for(lambda: Kill.objects.filter(id=kill.id).exclude(ended_at=None).first(), "the kill to end")
    assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
    assert len(world.deletes()) == 1
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry DROP COLUMN later")  # what was read before had no such column


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.fault(
    37,
    what="restored from a backup that was made in the middle of a kill",
    seen="the kill goes on by itself: what it had sent is looked up, and nothing is sent again",
)
def test_a_kill_in_a_backup_goes_on_and_sends_nothing_again(world: World, tmp_path: Path) -> None:
    kill, account = under_way(world)
    backup = tmp_path / "backup.sqlite3"
    with sqlite3.connect(tmp_path / "killswitch.sqlite3") as database:
        database.execute("VACUUM INTO ?", [str(backup)])
    let_go(world, account)
    assert world.ended(kill).state == State.FLAT
    world.stack.watchdog(DATABASE_URL=f"sqlite:///{backup}")
    with as_the_database(f"sqlite:///{backup}"):
        over = wait_for(lambda: Kill.objects.filter(id=kill.id).exclude(ended_at=None).first(), "the kill to end", 30)
        assert (over.state, set(outcomes(over).values())) == (State.FLAT, {"canceled"})
    assert len(world.deletes()) == 1
