"""docs/backup.md, command by command: back up, restore elsewhere, verify against anchors that were kept elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.postgresql import SERVER_USER, PostgreSQL, find_binaries, own_server

PASSWORDS = {"OWNER_PASSWORD": "of-the-owner", "APP_PASSWORD": "of-the-application"}
PAGE = (ROOT / "docs" / "backup.md").read_text()


def commands(name: str) -> str:
    """Return the commands of the block that is marked with `name`, as a script."""
    [block] = re.findall(rf"<!-- {name} -->\n```console\n(.*?)```", PAGE, re.S)
    return "".join(f"{line.removeprefix('$ ')}\n" for line in block.splitlines())


class Place:
    """A machine with the folders that the page names, and the product on it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        for name in ("data", "backup", "restored", "elsewhere"):
            (folder / name).mkdir()
        search = f"{Path(sys.executable).parent}:{find_binaries() or ''}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": search, "DJANGO_SETTINGS_MODULE": "killswitch.settings"}
        self.environment |= {"DATABASE_URL": database_url}
        self.key = folder / "anchor-key.pem"

    def run(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        here = re.sub(r"/(data|backup|restored|elsewhere)/", rf"{self.folder}/\1/", script)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", here],
            cwd=ROOT,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def page(self, name: str, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return self.run(commands(name), **(more or {}))

    def live_a_while(self, *people: str) -> None:
        """Let something happen that the trail tells of, and anchor it elsewhere."""
        for name in people:
            must(self.run(f"python manage.py make_user {name} compliance", NEW_USER_PASSWORD="so-long-a-password"))
        anchored = must(self.run("python manage.py anchor", ANCHOR_KEY_FILE=str(self.key)))
        with (self.folder / "elsewhere" / "anchors.jsonl").open("a") as anchors:
            anchors.writelines(line for line in anchored.splitlines(keepends=True) if line.startswith("{"))

    def begin(self) -> None:
        must(self.run(f"python manage.py migrate && python manage.py anchor_key {self.key}"))
        public = must(self.run("python manage.py anchor_key --public", ANCHOR_KEY_FILE=str(self.key)))
        (self.folder / "elsewhere" / "anchor-public-key.pem").write_text(public)
        self.live_a_while("ann", "bob")


def must(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def last_command(name: str) -> str:
    return commands(name).splitlines()[-1]


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with own_server() as made:
        yield made


@pytest.fixture
def other() -> Iterator[PostgreSQL]:
    with own_server() as made:
        yield made


def url_of(server: PostgreSQL, role: str) -> str:
    return server.url.replace("postgres@", f"{role}@").removesuffix("/postgres") + "/killswitch"


def with_roles(server: PostgreSQL, place: Place) -> None:
    roles = "".join(f"{line}\n" for line in commands("postgresql: restore").splitlines()[:2])
    must(place.run(roles, ADMIN_URL=server.url, **PASSWORDS))


def test_sqlite_is_restored_and_verified(tmp_path: Path) -> None:
    place = Place(tmp_path, f"sqlite:///{tmp_path}/data/killswitch.sqlite3")
    place.begin()
    must(place.page("sqlite: back up"))
    assert "HOLDS" in must(place.page("sqlite: restore"))
    place.live_a_while("cai")
    told = place.page("sqlite: restore")
    assert told.returncode == 1, "what was lost does not show"
    assert "DOES NOT HOLD" in told.stdout
    print(told.stdout)


def test_postgresql_is_restored_and_verified(tmp_path: Path, server: PostgreSQL, other: PostgreSQL) -> None:
    place = Place(tmp_path, url_of(server, "killswitch_owner"))
    with_roles(server, place)
    place.begin()
    urls = {"OWNER_URL": url_of(server, "killswitch_owner"), "ADMIN_URL": other.url, **PASSWORDS}
    urls["RESTORED_URL"] = url_of(other, "killswitch_owner")
    must(place.page("postgresql: back up", urls))
    assert "HOLDS" in must(place.page("postgresql: restore", urls))
    # The product's own role works there, and may still not change the record.
    own = url_of(other, "killswitch_app")
    must(
        place.run("python manage.py make_user dee compliance", DATABASE_URL=own, NEW_USER_PASSWORD="so-long-a-password")
    )
    refused = place.run(f'psql "{own}" -c "UPDATE audit_entry SET sentence = 1"')
    assert "permission denied" in refused.stderr
    place.live_a_while("cai", "eve")
    told = place.run(last_command("postgresql: restore"), DATABASE_URL=urls["RESTORED_URL"])
    assert told.returncode == 1, "what was lost does not show"
    assert "DOES NOT HOLD" in told.stdout


def test_a_base_backup_is_a_server_that_verifies(tmp_path: Path, server: PostgreSQL) -> None:
    place = Place(tmp_path, url_of(server, "killswitch_owner"))
    with_roles(server, place)
    place.begin()
    must(place.page("postgresql: base backup", {"ADMIN_URL": server.url}))
    server.stop()
    shutil.rmtree(server.folder / "data")
    shutil.copytree(tmp_path / "backup" / "base", server.folder / "data")
    for path in (server.folder / "data", *(server.folder / "data").rglob("*")):
        shutil.chown(path, SERVER_USER, SERVER_USER)
    (server.folder / "data").chmod(0o700)
    server.start()
    assert "HOLDS" in must(place.run(last_command("postgresql: restore")))
