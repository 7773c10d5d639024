"""Run everything on this machine: `python -m killswitch.demo`, or `make demo`, which makes the environment first."""

import fcntl
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from killswitch.access.role_names import DEMO_USERS
from killswitch.demo import redis_server
from killswitch.demo.processes import Died, Processes

FOLDER = Path(os.environ.get("DEMO_FOLDER", ".run"))
FIRST_PORT, LAST_PORT = 8000, 8099
BACKLOG = 128
SIMULATOR_KEY = "simulator-key"
# A scene that moves, and that a kill of everything still brings to rest.
SCENE = [
    *("--accounts", "8"),
    *("--orders", "25"),
    *("--latency-ms", "20"),
    *("--arrivals-per-second", "0.3"),
    *("--fills-per-second", "0.2"),
]
# Seconds after the start, or "off". What runs away is the simulator's (killswitch.simulator.runaway).
RUNAWAY_AFTER = os.environ.get("DEMO_RUNAWAY_AFTER", "60")
RUNAWAY = "algo-momentum-"
WHAT_RUNS_AWAY = (
    f"{RUNAWAY_AFTER} seconds after the start an algorithm runs away: orders whose client order id begins with "
    f"“{RUNAWAY}” pour in on two accounts. Log in as desk, press / and type: kill {RUNAWAY}"
)
GRACE_SECONDS = 8.0
# Nobody's first look is at a light that does not know yet; but a demo of a broker that is not there starts, too.
LIGHT_SECONDS = 15.0


def main() -> int:
    os.umask(0o077)
    FOLDER.mkdir(exist_ok=True)
    try:
        with only_one():
            return run()
    except (Died, TimeoutError, FileNotFoundError, BlockingIOError, OSError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1


@contextmanager
def only_one() -> Iterator[None]:
    """Refuse a second demo in the same folder: both would write to the same data."""
    with (FOLDER / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError("a demo is already running in this folder: end it first") from None
        yield


def run() -> int:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    (FOLDER / "demo.json").unlink(missing_ok=True)
    with taken_port() as door:
        environment = make_environment(door)
        processes = Processes(FOLDER / "logs", environment)
        return go_on(processes, environment, door, stopping)


def go_on(processes: Processes, environment: dict[str, str], door: socket.socket, stopping: threading.Event) -> int:
    """Start everything and wait for the end."""
    try:
        password = start_all(processes, environment, door, stopping)
        if not stopping.is_set():
            announce(processes, environment, password)
            watch(processes, stopping)
    finally:
        (FOLDER / "demo.json").unlink(missing_ok=True)
        print("ending …", flush=True)
        processes.stop(GRACE_SECONDS)
    return 0


SET_HERE = ("SECRET_KEY_FILE", "DATABASE_URL_FILE", "REDIS_URL_FILE")


def make_environment(door: socket.socket) -> dict[str, str]:
    """Return the environment of every process. The broker's address and key come from outside when both are set."""
    folder = FOLDER.resolve()
    # What is set here comes from nowhere else.
    environment = {name: value for name, value in os.environ.items() if name not in SET_HERE}
    given = [name for name in ("CLEAR_STREET_API_KEY", "CLEAR_STREET_BASE_URL") if environment.get(name)]
    if len(given) == 1:
        raise OSError(f"only {given[0]} is set: set both CLEAR_STREET_API_KEY and CLEAR_STREET_BASE_URL, or none")
    environment.update(
        SECRET_KEY=kept_secret("secret_key", 40),
        DATABASE_URL=f"sqlite:///{folder}/{database_name(environment)}",
        REDIS_URL=f"unix://{redis_server.socket_path(folder)}",
        ALLOWED_HOSTS="127.0.0.1,localhost",
        WEB_BIND=f"127.0.0.1:{door.getsockname()[1]}",
        PYTHONUNBUFFERED="1",
    )
    return environment


def database_name(environment: Mapping[str, str]) -> str:
    """Return a file name for each broker, so that the accounts of one never stand among those of another."""
    broker = re.sub(r"[^A-Za-z0-9.-]+", "-", environment.get("CLEAR_STREET_BASE_URL", "").partition("://")[2]).strip(
        "-"
    )
    return f"killswitch-{broker}.sqlite3" if broker else "killswitch.sqlite3"


def kept_secret(name: str, size: int) -> str:
    """Return a random secret that stays the same from one demo to the next."""
    path = FOLDER / name
    if not path.exists():
        path.write_text(secrets.token_urlsafe(size))
    return path.read_text()


def taken_port() -> socket.socket:
    """Listen on a port that is free, for the web process: what is only looked at is somebody else's a moment later."""
    for port in range(FIRST_PORT, LAST_PORT + 1):
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", port))
            door.listen(BACKLOG)
        except OSError:
            door.close()
            continue
        return door
    raise OSError(f"no free port from {FIRST_PORT} to {LAST_PORT}")


def start_all(processes: Processes, environment: dict[str, str], door: socket.socket, stopping: threading.Event) -> str:
    """Start every part and wait until each answers. Return the password of the demo's users."""
    start_redis(processes, environment)
    if not environment.get("CLEAR_STREET_BASE_URL"):
        start_simulator(processes, environment)
    password = prepare_database(environment)
    told = ("CLEAR_STREET_BASE_URL", "CLEAR_STREET_API_KEY", "BROKER_IS_SIMULATOR", "DESK_NOTE")
    of_the_broker = {name: environment[name] for name in told if name in environment}
    told_alone = {"notary": anchoring(environment), "teller": telling(environment)}

    def start(name: str, command: list[str]) -> None:
        keeps = [door.fileno()] if name == "web" else []
        processes.start(name, command, of_the_broker | told_alone.get(name, {}), keeps)

    def wait(name: str, ready: Callable[[], bool]) -> None:
        processes.wait_until(name, lambda: stopping.is_set() or ready(), 60)

    for name, command in commands(door).items():
        start(name, command)
    # Its own alone: once the web process is gone, nobody is to wait at it.
    door.close()
    wait("notary", lambda: says(processes.log_of("notary"), "watching"))
    # Not before: what it misses is a fault, and told to everybody.
    start("lookout", [sys.executable, "manage.py", "lookout"])
    address = f"http://{environment['WEB_BIND']}"
    wait("web", lambda: answers(f"{address}/healthz"))
    wait("worker", lambda: says(processes.log_of("worker"), "ready."))
    for name in ("watchdog", "teller", "lookout"):
        wait(name, partial(says, processes.log_of(name), "watching"))
    until = time.monotonic() + LIGHT_SECONDS
    wait("lookout", lambda: answers(f"{address}/readyz") or time.monotonic() > until)
    return password


def commands(door: socket.socket) -> dict[str, list[str]]:
    """Return what runs beside Redis, the simulator and the lookout, by name."""
    celery = [sys.executable, "-m", "celery", "-A", "killswitch"]
    web = [sys.executable, "-m", "gunicorn", "-c", "killswitch/gunicorn.conf.py"]
    return {
        "worker": [*celery, "worker", "--without-gossip", "--without-mingle", "-l", "INFO"],
        "beat": [*celery, "beat", "-l", "WARNING"],
        "watchdog": [sys.executable, "manage.py", "watchdog"],
        "notary": [sys.executable, "manage.py", "notary"],
        "teller": [sys.executable, "manage.py", "teller"],
        "web": [*web, "--bind", f"fd://{door.fileno()}", "killswitch.wsgi"],
    }


def start_redis(processes: Processes, environment: Mapping[str, str]) -> None:
    path = Path(environment["REDIS_URL"].removeprefix("unix://"))
    folder = FOLDER.resolve() / "redis"
    folder.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    processes.start("redis", redis_server.command(folder, path))
    processes.wait_until("redis", lambda: listens(path), 10)


def start_simulator(processes: Processes, environment: dict[str, str]) -> None:
    environment["CLEAR_STREET_API_KEY"] = SIMULATOR_KEY
    environment["BROKER_IS_SIMULATOR"] = "on"
    scene = SCENE
    if RUNAWAY_AFTER != "off":
        scene = [*SCENE, "--runaway-after", RUNAWAY_AFTER]
        environment["DESK_NOTE"] = f"This is a demo. {WHAT_RUNS_AWAY}"
    command = [sys.executable, "-m", "killswitch.simulator", "--port", kept_port(), "--api-key", SIMULATOR_KEY, *scene]
    processes.start("simulator", command)
    log = processes.log_of("simulator")
    processes.wait_until("simulator", lambda: says(log, "listening on "), 20)
    address = log.read_text().split("listening on ", 1)[1].split()[0]
    (FOLDER / "simulator_port").write_text(address.rpartition(":")[2])
    environment["CLEAR_STREET_BASE_URL"] = address


def kept_port() -> str:
    """Return the port that the simulator had before, where it is free: kills are for the broker of their press."""
    path = FOLDER / "simulator_port"
    port = path.read_text().strip() if path.exists() else ""
    if not port.isdecimal():
        return "0"
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", int(port)))
        except (OSError, OverflowError):
            return "0"
    return port


def prepare_database(environment: Mapping[str, str]) -> str:
    password = kept_secret("password", 9)
    for command in (["migrate", "--verbosity", "0"], ["make_demo_users"]):
        manage({**environment, "DEMO_PASSWORD": password}, *command)
    return password


def anchoring(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the notary is told beyond the others: a key of the demo's own, and a file to bring anchors to."""
    folder = FOLDER.resolve()
    database = Path(environment["DATABASE_URL"]).stem
    file = folder / f"{database.replace('killswitch', 'anchors', 1)}.jsonl"
    told = {"ANCHOR_FILE": environment.get("ANCHOR_FILE") or str(file)}
    if environment.get("ANCHOR_KEY") or environment.get("ANCHOR_KEY_FILE"):
        return told
    key = folder / "anchor-key.pem"
    if not key.exists():
        manage(environment, "anchor_key", str(key), "--verbosity", "0", stdout=subprocess.DEVNULL)
    return {**told, "ANCHOR_KEY_FILE": str(key)}


def telling(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the teller is told beyond the others: mails become files, unless somebody is to be told for real."""
    told = {"PUBLIC_URL": environment.get("PUBLIC_URL") or f"http://{environment['WEB_BIND']}"}
    if not tells_into_files(environment):
        return told
    return {
        **told,
        "TELL_MAIL_TO": "desk@example.com",
        "EMAIL_FOLDER": str(FOLDER.resolve() / "mail"),
        "EMAIL_HOST": "",
    }


def tells_into_files(environment: Mapping[str, str]) -> bool:
    return not any(environment.get(name) for name in ("TELL_MAIL_TO", "TELL_URLS", "TELL_URLS_FILE"))


def manage(environment: Mapping[str, str], *command: str, **options: Any) -> None:
    """Run a command of manage.py. Raises Died."""
    result = subprocess.run([sys.executable, "manage.py", *command], env=environment, check=False, **options)
    if result.returncode:
        raise Died(f"manage.py {command[0]} did not go through")


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return path.exists() and probe.connect_ex(str(path)) == 0


def says(log: Path, words: str) -> bool:
    return words in log.read_text(errors="replace")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  (our own address)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def announce(processes: Processes, environment: Mapping[str, str], password: str) -> None:
    url = f"http://{environment['WEB_BIND']}/"
    told = {"url": url, "users": dict.fromkeys(DEMO_USERS, password), "processes": processes.pids}
    draft = FOLDER / "demo.json.new"
    draft.write_text(json.dumps(told, indent=2))
    draft.replace(FOLDER / "demo.json")
    people = "\n".join(f"  {name:<12} {password}   ({role})" for name, role in DEMO_USERS.items())
    mails = f"What the desk is told by mail stands in {FOLDER / 'mail'}.\n\n" if tells_into_files(environment) else ""
    broker = "the simulator" if "simulator" in processes.pids else environment["CLEAR_STREET_BASE_URL"]
    scene = f"{WHAT_RUNS_AWAY}\n\n" if "simulator" in processes.pids and RUNAWAY_AFTER != "off" else ""
    print(f"\nKillswitch runs at {url}   (broker: {broker})\n\nLog in as:\n{people}\n", flush=True)
    print(f"{scene}{mails}Ctrl-C ends it.", flush=True)


def watch(processes: Processes, stopping: threading.Event) -> None:
    """Wait for the end. A part that dies is named and left dead: that is what the watchdog is for."""
    while not stopping.wait(0.5):
        for name, code in processes.take_dead().items():
            at = time.strftime("%H:%M:%S")
            print(
                f"{at} {name} has ended (exit code {code}): see {processes.log_of(name)}", file=sys.stderr, flush=True
            )


if __name__ == "__main__":
    sys.exit(main())
