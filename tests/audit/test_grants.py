"""With the role of docs/postgresql-role.md a whole kill goes through, and the record cannot be touched."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from killswitch.audit.grants import APPENDED, DELETED_FROM, READ, rights, tables
from killswitch.audit.models import Anchor, Entry, Kind, Verification
from killswitch.kills.models import DrillPlan, Kill, State
from killswitch.notary.models import Notary
from tests.conftest import ROOT, wait_for
from tests.faults.person import HIDDEN, kill_of
from tests.faults.postgresql import PostgreSQL, as_the_database, own_server
from tests.faults.stack import Process, Stack

FIRST = 19816
PASSWORD = "a long good passphrase"


def test_every_table_has_its_rights() -> None:
    assert {"audit_entry", "audit_anchor"} <= set(tables())
    assert READ | DELETED_FROM | set(APPENDED) <= set(tables()), "a name that is no table any more"
    assert {table: rights(table) for table in APPENDED} == dict.fromkeys(APPENDED, "SELECT, INSERT")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="shows what SQLite is told")
def test_sqlite_has_no_roles() -> None:
    with pytest.raises(CommandError, match="sqlite has no roles"):
        call_command("audit_grants", "killswitch_app")


class Database:
    """A server with an owner's role and the product's, set up as docs/postgresql-role.md says."""

    def __init__(self, server: PostgreSQL) -> None:
        self.server = server
        self.run(server.url, "CREATE ROLE killswitch_owner LOGIN", "CREATE ROLE killswitch_app LOGIN")
        self.run(server.url, "CREATE DATABASE killswitch OWNER killswitch_owner")

    def url(self, role: str) -> str:
        return self.server.url.replace("postgres@", f"{role}@").removesuffix("/postgres") + "/killswitch"

    @property
    def owner(self) -> str:
        return self.url("killswitch_owner")

    @property
    def app(self) -> str:
        return self.url("killswitch_app")

    def run(self, url: str, *statements: str) -> None:
        with psycopg.connect(url, autocommit=True) as server:
            for statement in statements:
                server.execute(statement)  # type: ignore[call-overload]

    def manage(self, url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "killswitch.settings", "DATABASE_URL": url, **more}
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with own_server() as server:
        made = Database(server)
        for arguments in (["migrate", "--verbosity", "0"], ["audit_grants", "killswitch_app", "--apply"]):
            done = made.manage(made.owner, *arguments)
            assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture
def stack(transactional_db: None, database: Database) -> Iterator[Stack]:
    made = Stack(database.app, SECRET_KEY="one-for-all-of-them")
    with as_the_database(database.owner):
        yield made
    made.end()


class Browser:
    """Somebody who logs in by the page, and sends its forms."""

    def __init__(self, http: httpx.Client, name: str) -> None:
        self.http = http
        assert self.send("/login/", "/login/", username=name, password=PASSWORD).status_code == 302

    def send(self, page: str, to: str, **fields: Any) -> httpx.Response:
        hidden = dict(HIDDEN.findall(self.http.get(page).text))
        return self.http.post(to, data={**hidden, **fields})


@pytest.mark.usefixtures("transactional_db")
class TestTheRoleOfTheProduct:
    @pytest.mark.parametrize("table", APPENDED)
    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE {} SET id = id",
            "DELETE FROM {}",
            "TRUNCATE {}",
            "SELECT * FROM {} FOR UPDATE",
            "DROP TABLE {}",
            "ALTER TABLE {} DISABLE TRIGGER ALL",
            "DROP TRIGGER {}_no_change ON {}",
            "DROP TRIGGER {}_no_truncate ON {}",
            "ALTER TABLE {} ADD COLUMN x integer",
            "ALTER TABLE {} RENAME TO old",
            "CREATE TRIGGER x BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
            "CREATE RULE x AS ON INSERT TO {} DO INSTEAD NOTHING",
            "CREATE INDEX x ON {} (hash)",
        ],
    )
    def test_has_no_right_to_touch_the_record(self, sql: str, table: str, database: Database) -> None:
        self.refuses(database, sql.replace("{}", table))

    @pytest.mark.parametrize(
        "sql",
        [
            "SET session_replication_role = replica",
            "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "DROP FUNCTION audit_refuse() CASCADE",
            "CREATE TEMPORARY TABLE audit_entry (id bigint, hash text)",
            "CREATE TABLE public.x (id bigint)",
            "CREATE SCHEMA x",
            "DROP SCHEMA public CASCADE",
            "SET ROLE killswitch_owner",
            "ALTER ROLE killswitch_app SUPERUSER",
            "UPDATE auth_group SET name = 'x'",
            "INSERT INTO auth_group_permissions (group_id, permission_id) SELECT 1, 1",
            "DELETE FROM kills_kill",
            "TRUNCATE kills_kill CASCADE",
            "DELETE FROM django_migrations",
        ],
    )
    def test_has_no_right_to_what_would_get_round_it(self, sql: str, database: Database) -> None:
        self.refuses(database, sql)

    def refuses(self, database: Database, sql: str) -> None:
        with (
            psycopg.connect(database.app) as server,
            pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidGrantOperation)) as refused,
        ):
            server.execute(sql)  # type: ignore[call-overload]
        assert "append-only" not in str(refused.value), "it is the missing right that refuses, not the trigger"

    def test_gains_no_right_from_a_grant_that_it_gives_itself(self, database: Database) -> None:
        database.run(database.app, "GRANT ALL ON audit_entry TO killswitch_app, PUBLIC")
        assert not may_change(database)

    def test_is_enough_for_everything_that_people_do(self, stack: Stack, database: Database) -> None:
        stack.broker("--accounts", "3", "--orders", "4", "--cancel-ms", "50")
        stack.redis()
        for name, role in (("desk", "risk desk"), ("desk2", "risk desk"), ("admin", "administrator")):
            made = database.manage(database.app, "make_user", name, role, NEW_USER_PASSWORD=PASSWORD)
            assert made.returncode == 0, made.stderr
        worker = stack.worker()
        stack.watchdog()
        stack.start("beat", [sys.executable, "-m", "celery", "-A", "killswitch", "beat"])
        notary = self.notary(stack)
        address = stack.web()
        with ExitStack() as opened:
            clients = [opened.enter_context(httpx.Client(base_url=address, timeout=30)) for _ in range(3)]
            desk, desk2, admin = map(Browser, clients, ("desk", "desk2", "admin"))
            self.everything(stack, worker, desk, desk2, admin)
        wait_for(Anchor.objects.exists, "an anchor of the end of a kill")
        wait_for(Verification.objects.filter(state="holds").exists, "the verification of the day")
        wait_for(lambda: not Notary.objects.filter(host="gone").exists(), "the notary's report", 40)
        assert notary.exit_code is None
        assert not [name for name, text in stack.logs().items() if "permission denied" in text]

    def notary(self, stack: Stack) -> Process:
        """Start a notary, beside the trace of another one that is long gone."""
        long_ago = timezone.now() - timedelta(days=30)
        Notary.objects.create(host="gone", seen_at=long_ago)
        key = stack.folder / "anchor-key.pem"
        environment = {**stack.environment}
        subprocess.run([sys.executable, "manage.py", "anchor_key", str(key)], cwd=ROOT, env=environment, check=True)
        places = {"ANCHOR_KEY_FILE": str(key), "ANCHOR_FILE": str(stack.folder / "anchors.jsonl")}
        return stack.start("notary", [sys.executable, "manage.py", "notary"], **places)

    def everything(self, stack: Stack, worker: Process, desk: Browser, desk2: Browser, admin: Browser) -> None:

        page = f"/kills/new/?account={FIRST}&dry_run=on"
        assert over(kill_of(desk.send(page, "/kills/", dry_run="on"))).state == State.NOT_FLAT
        # The watchdog takes over what the worker leaves.
        latched = kill_of(desk.send(f"/kills/new/?account={FIRST}", "/kills/", latched="on", reason="runaway"))
        wait_for(lambda: Kill.objects.get(id=latched).state == State.LATCHED, "the latch")
        worker.kill()
        release = desk2.send(f"/kills/{latched}/release/", f"/kills/{latched}/release/", reason="it is stopped")
        assert release.status_code == 303, release.text
        assert over(latched).state == State.FLAT
        stack.worker("another")
        assert over(kill_of(desk.send("/kills/new/?all_accounts=on", "/kills/"))).state == State.FLAT

        assert desk.send("/drills/", "/drills/", every_days="90").status_code == 303
        assert DrillPlan.objects.get().every_days == 90
        new = {"name": "newone", "password": PASSWORD, "role": "compliance"}
        assert admin.send("/users/new/", "/users/new/", **new).status_code == 302
        number = User.objects.get(username="newone").pk
        changed = {"role": "risk desk", "password": "another good passphrase"}
        assert admin.send(f"/users/{number}/", f"/users/{number}/", **changed).status_code == 302
        assert admin.send("/teams/new/", "/teams/new/", name="europe", kills=str(FIRST)).status_code == 302
        accounts, team = f"/users/{number}/accounts/", Group.objects.get(name="europe").pk
        for given in ({"limited": "on", "sees": "1", "teams": str(team)}, {"limited": "off"}):
            assert admin.send(accounts, accounts, **given).status_code == 302
        assert desk.http.get("/users/").status_code == 403
        assert desk.send("/", "/logout/").status_code == 302
        pages = ("/", f"/accounts/{FIRST}/", "/kills/", f"/kills/{latched}/", "/drills/", "/healthz")
        assert {page: desk2.http.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)
        kinds = set(Entry.objects.values_list("kind", flat=True))
        assert kinds >= {
            *(Kind.PROCESS_STARTED, Kind.LOGGED_IN, Kind.LOGGED_OUT, Kind.DENIED, Kind.USER_CHANGED),
            *(Kind.DRILL_SCHEDULED, Kind.KILL_ENGAGED, Kind.KILL_RELEASED, Kind.KILL_ENDED, Kind.SWEEP_TAKEN_OVER),
            *(Kind.ATTEMPT_ANNOUNCED, Kind.ATTEMPT_REHEARSED, Kind.ATTEMPT_ANSWERED, Kind.ORDER_ENDED),
        }


def may_change(database: Database) -> bool:
    with psycopg.connect(database.app) as server:
        row = server.execute(
            "SELECT has_table_privilege('audit_entry', 'UPDATE, DELETE, TRUNCATE, TRIGGER')"
        ).fetchone()
    return row == (True,)


def over(kill_id: Any) -> Kill:
    def look() -> Kill | None:
        found = Kill.objects.get(id=kill_id)
        return found if found.is_over else None

    kill: Kill = wait_for(look, "the kill to end", 60)
    return kill


class TestTheCommand:
    def test_prints_what_it_would_do_and_does_nothing(self, database: Database) -> None:
        done = database.manage(database.owner, "audit_grants", "nobody_yet")
        assert done.returncode == 0
        lines = done.stdout.splitlines()
        assert 'GRANT SELECT, INSERT ON TABLE public."audit_entry" TO "nobody_yet";' in lines
        assert 'REVOKE ALL ON TABLE public."audit_entry" FROM PUBLIC, "nobody_yet";' in lines
        assert all(line.endswith(";") for line in lines)
        assert len([line for line in lines if line.startswith("GRANT") and " TABLE " in line]) == len(tables())

    def test_takes_away_what_was_given_before(self, database: Database) -> None:
        database.run(
            database.owner, "GRANT ALL ON audit_entry TO killswitch_app", "GRANT DELETE ON audit_entry TO PUBLIC"
        )
        assert database.manage(database.owner, "audit_grants", "killswitch_app", "--apply").returncode == 0
        assert not may_change(database)

    @pytest.mark.parametrize(
        ("role", "why"),
        [
            ("nobody_there", "there is no role nobody_there"),
            ("postgres", "postgres has SUPERUSER"),
            ("killswitch_owner", "which owns tables: take another role"),
            ("killswitch_member", "which owns tables: take another role"),
        ],
    )
    def test_refuses_a_role_that_could_get_round_it(self, role: str, why: str, database: Database) -> None:
        database.run(
            database.server.url,
            "DROP ROLE IF EXISTS killswitch_member",
            "CREATE ROLE killswitch_member LOGIN IN ROLE killswitch_owner",
        )
        done = database.manage(database.owner, "audit_grants", role, "--apply")
        assert done.returncode == 1
        assert why in done.stderr

    def test_is_refused_to_the_product_s_own_role(self, database: Database) -> None:
        database.run(database.server.url, "CREATE ROLE killswitch_other LOGIN")
        done = database.manage(database.app, "audit_grants", "killswitch_other", "--apply")
        assert done.returncode == 1
        assert "killswitch_other should have" in done.stderr or "permission denied" in done.stderr
        assert "Traceback" not in done.stderr
        assert "has what it needs" not in done.stdout
