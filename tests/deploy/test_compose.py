"""What Dockerfile and compose.yaml run, step by step as they say it. No engine is needed: a box stands for one."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from killswitch.simulator.process import SimulatorProcess
from tests.conftest import ROOT, wait_for
from tests.faults.hosts import Network, own_network
from tests.faults.postgresql import SERVER_USER, find_binaries
from tests.faults.stack import Process

from .box import USER, Box
from .files import COMPOSE, OURS, SERVICES, environment_file, health_command, image_environment, stages

SEARCH = f"{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin"
PAGE = "killswitch.example.com"
LOG_IN = """
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.get(username="ann"))
print("COOKIE", settings.SESSION_COOKIE_NAME + "=" + client.cookies[settings.SESSION_COOKIE_NAME].value)
"""
STANDING = ["web", "worker", "watchdog", "beat", "lookout", "teller", "notary"]


class TestWhatTheFilesSay:
    def test_every_service_of_ours_is_shut_in(self) -> None:
        for name, service in OURS.items():
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert service["restart"] == ("no" if name == "migrate" else "always"), name
            assert "privileged" not in service, name

    def test_every_secret_is_a_file_and_stands_in_no_variable(self) -> None:
        for name, service in OURS.items():
            for variable, path in service["environment"].items():
                assert variable.endswith("_FILE"), f"{name}: {variable}"
                assert path.removeprefix("/run/secrets/") in service["secrets"] or variable == "ANCHOR_FILE"
        used = {secret for service in SERVICES.values() for secret in service["secrets"]}
        assert used == COMPOSE["secrets"].keys()

    def test_the_owner_of_the_tables_is_known_to_the_migration_alone(self) -> None:
        assert [name for name, service in OURS.items() if "database_url_of_owner" in service["secrets"]] == ["migrate"]
        assert [name for name, service in OURS.items() if "anchor_key" in service["secrets"]] == ["notary"]

    def test_no_image_is_of_a_moving_version(self) -> None:
        images = [each.text.split()[0] for stage in stages() for each in stage if each.name == "FROM"]
        images += [service["image"] for name, service in SERVICES.items() if name not in OURS]
        for image in images:
            assert re.fullmatch(r"[\w./-]+:\d+\.\d+(\.\d+)?-[\w.-]+", image), image

    def test_the_image_runs_as_nobody_in_particular(self) -> None:
        [user] = [each.text for each in stages()[-1] if each.name == "USER"]
        assert user == f"{USER}:{USER}"

    def test_the_processes_are_those_of_the_readme(self) -> None:
        table = re.findall(r"^\| \w+[^|]*\| `([^`]+)` \|", (ROOT / "README.md").read_text(), re.M)
        commands = {" ".join(SERVICES[name]["command"]) for name in STANDING}
        assert commands <= set(table)


class Deployment:
    """The services of compose.yaml, each in a box, on a host of its own where their ports are free."""

    def __init__(self, folder: Path, network: Network, broker: SimulatorProcess) -> None:
        self.folder, self.network = folder, network
        self.host = network.hosts[0]
        self.page = f"http://{self.host.address}:8000"
        self._url = broker.url.replace("0.0.0.0", network.here)
        self._processes: list[Process] = []
        shutil.copytree("/etc", folder / "etc", symlinks=True, ignore=shutil.ignore_patterns("shadow*", "gshadow*"))
        (folder / "etc" / "hosts").write_text("127.0.0.1 localhost postgresql redis\n")
        for name in ("venv", "killswitch", "secrets", "data", "queue", "anchors", "run"):
            (folder / name).mkdir()

    # --- the image

    def build(self) -> None:
        """Copy what .dockerignore lets through, and run what the stages run."""
        for line in (ROOT / ".dockerignore").read_text().splitlines():
            if line.startswith("!"):
                self._copy(ROOT / line[1:])
        image = self.folder / "killswitch"
        binds = {"/requirements.txt": image / "requirements.txt"}
        writable = {"/etc": self.folder / "etc", "/venv": self.folder / "venv", "/killswitch": image}
        box = Box(self.folder, [], binds, writable, user="root")
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        for each in itertools.chain(*stages()):
            if each.name == "RUN":
                box.run(each.command, {"PATH": f"{SEARCH}:/usr/sbin", "HOME": "/tmp", **pip})

    def _copy(self, source: Path) -> None:
        target = self.folder / "killswitch" / source.name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(source, target)

    # --- the services

    def box(self, name: str) -> Box:
        secrets = {f"/run/secrets/{secret}": self.folder / "secrets" / secret for secret in SERVICES[name]["secrets"]}
        binds = {"/etc": self.folder / "etc", **secrets}
        if name == "postgresql":
            writable = {"/var/lib/postgresql/data": self.folder / "data", "/run/postgresql": self.folder / "run"}
            binds["/roles.sh"] = ROOT / "deploy/compose/roles.sh"
            return Box(self.folder, self.host.enter, binds, writable, user=SERVER_USER)
        if name == "redis":
            return Box(self.folder, self.host.enter, binds, {"/data": self.folder / "queue"})
        binds |= {"/venv": self.folder / "venv", "/killswitch": self.folder / "killswitch"}
        writable = {"/anchors": self.folder / "anchors"} if name == "notary" else {}
        return Box(self.folder, self.host.enter, binds, writable)

    def environment(self, name: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
        service, image = SERVICES[name], image_environment()
        if name not in OURS:
            binaries = find_binaries()
            return {"PATH": f"{binaries}:{SEARCH}"}
        [file] = service["env_file"]
        image["PATH"] = image["PATH"].replace("$PATH", SEARCH)
        broker = {"CLEAR_STREET_BASE_URL": self._url, "BROKER_IS_SIMULATOR": "on"}
        return {**image, **environment_file(ROOT / file), **service["environment"], **broker, **(more or {})}

    def start(self, name: str, **more: str) -> Process:
        environment = self.environment(name, more)
        command = self.box(name).command(SERVICES[name]["command"], environment, "/killswitch")
        return self._process(name, command)

    def run(self, name: str, *words: str, **more: str) -> str:
        """Run a command in place of the service's own, as `docker compose run` does."""
        return self.box(name).run(words, self.environment(name, more), "/killswitch")

    def check_health(self, name: str) -> str:
        directory = "/killswitch" if name in OURS else "/"
        return self.box(name).run(health_command(SERVICES[name]), self.environment(name), directory)

    def database(self) -> None:
        """Do what the image of PostgreSQL does at its first start."""
        box, environment = self.box("postgresql"), self.environment("postgresql")
        arguments = SERVICES["postgresql"]["environment"]["POSTGRES_INITDB_ARGS"].split()
        password = "--pwfile=/run/secrets/postgres_password"
        data = "/var/lib/postgresql/data"
        box.run(["initdb", f"--pgdata={data}", "--username=postgres", password, *arguments], environment)
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        server = ["postgres", "-D", data, "-c", "listen_addresses=*", "-c", "unix_socket_directories=/run/postgresql"]
        self._process("postgresql", box.command(server, environment))
        wait_for(lambda: self.is_healthy("postgresql"), "PostgreSQL")
        box.run(["/roles.sh"], {**environment, "PGHOST": "/run/postgresql"})

    def queue(self) -> None:
        command = self.box("redis").command(SERVICES["redis"]["command"], self.environment("redis"))
        self._process("redis", command)
        wait_for(lambda: self.is_healthy("redis"), "Redis")

    def is_healthy(self, name: str) -> bool:
        try:
            self.check_health(name)
        except AssertionError:
            return False
        return True

    def _process(self, name: str, command: list[str]) -> Process:
        process = Process(name, command, dict(os.environ), self.folder)
        self._processes.append(process)
        return process

    def end(self) -> None:
        for process in self._processes:
            if process.exit_code is None:
                process.kill()


class Browser:
    """Somebody behind the proxy that ends TLS."""

    def __init__(self, deployment: Deployment, cookie: str) -> None:
        self._cookies = dict([cookie.split("=", 1)])
        self._http = httpx.Client(
            base_url=deployment.page,
            timeout=30,
            headers={"Host": PAGE, "X-Forwarded-Proto": "https", "Origin": f"https://{PAGE}"},
        )

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        answer = self._http.request(method, path, headers={"Cookie": cookies}, **what)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer

    def close(self) -> None:
        self._http.close()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("compose")
    # Whoever is nobody in particular must get through to what is bound.
    for each in (folder, folder.parent, folder.parent.parent):
        each.chmod(0o755)
    with own_network() as network, SimulatorProcess("--accounts", "3", "--orders", "20", "--host", "0.0.0.0") as broker:
        made = Deployment(folder, network, broker)
        made.build()
        make_secrets(folder, broker.api_key)
        try:
            made.database()
            made.box("migrate").run(SERVICES["migrate"]["command"], made.environment("migrate"), "/killswitch")
            made.queue()
            yield made
        finally:
            made.end()


def make_secrets(folder: Path, key: str) -> None:
    made = folder / "made"
    subprocess.run([ROOT / "deploy/compose/make-secrets", made], check=True, capture_output=True)
    (made / "clear_street_api_key").write_text(key)
    for path in made.iterdir():
        shutil.move(path, folder / "secrets" / path.name)
    for path in [*(folder / "secrets").iterdir(), *(folder / name for name in ("queue", "anchors"))]:
        os.chown(path, USER, USER)
    for path in (folder / "secrets/roles.sql", folder / "secrets/postgres_password", folder / "data", folder / "run"):
        shutil.chown(path, SERVER_USER, SERVER_USER)
    (folder / "data").chmod(0o700)


def test_what_compose_runs_is_armed_and_takes_a_kill_to_flat(deployed: Deployment) -> None:
    tells = {"TELL_MAIL_TO": "desk@example.com", "EMAIL_HOST": "127.0.0.1"}
    processes = {name: deployed.start(name, **(tells if name == "teller" else {})) for name in STANDING}
    try:
        wait_for(lambda: deployed.is_healthy("web"), "the web process", 60)
        deployed.run(
            "web", "python", "manage.py", "make_user", "ann", "risk desk", NEW_USER_PASSWORD="so-long-a-password"
        )
        [cookie] = re.findall(r"COOKIE (\S+)", deployed.run("web", "python", "manage.py", "shell", "-c", LOG_IN))
        browser = Browser(deployed, cookie)
        wait_for(lambda: browser.ask("GET", "/readyz").status_code == 200, "the light to be armed", 60)
        form = browser.ask("GET", "/kills/new/", params={"all_accounts": "on"})
        assert form.status_code == 200, form.text
        fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form.text))
        fields |= {"all_accounts": "on", "reason": "to try it"}
        pressed = browser.ask("POST", "/kills/", data=fields)
        assert pressed.status_code == 303, pressed.text
        kill = pressed.headers["Location"].rstrip("/") + ".json"
        told = wait_for(lambda: over(browser.ask("GET", kill).json()), "the kill to end", 60)
        assert told["state"] == "flat", told
        assert all(process.exit_code is None for process in processes.values())
        assert "superuser" not in processes["worker"].said
        browser.close()
        assert "holds" in deployed.run("web", "python", "manage.py", "verify_audit").lower()
        wait_for(lambda: (deployed.folder / "anchors" / "anchors.jsonl").exists(), "an anchor")
    finally:
        said = {name: process.said[-3000:] for name, process in processes.items()}
        print(said)
    for process in processes.values():
        process.terminate()
    began = time.monotonic()
    grace = float(OURS["worker"]["stop_grace_period"].removesuffix("s"))
    wait_for(lambda: all(process.exit_code is not None for process in processes.values()), "all to end", grace)
    print(f"all ended within {time.monotonic() - began:.1f} s")
    assert {name: process.exit_code for name, process in processes.items()} == dict.fromkeys(STANDING, 0)


def over(kill: dict[str, Any]) -> dict[str, Any] | None:
    return kill if kill["state"] not in ("running", "waiting") else None


def test_nothing_of_it_can_be_written(deployed: Deployment) -> None:
    for path in ("/killswitch/x", "/venv/x", "/x", "/run/secrets/secret_key"):
        with pytest.raises(AssertionError, match=r"Read-only|denied"):
            deployed.run("web", "touch", path)


def test_the_health_check_fails_where_nobody_answers(deployed: Deployment) -> None:
    with pytest.raises(AssertionError, match="does not answer"):
        deployed.check_health("web")
