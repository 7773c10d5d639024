"""The whole product in processes of its own, each of which may be killed, frozen or ended at any time."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from killswitch.demo import redis_server
from killswitch.demo.__main__ import answers, listens
from killswitch.simulator.process import ROOT, Control, SimulatorProcess

PASSWORD = "soak-of-the-house"
# Small, so that five minutes see every way in which a sweep can end.
SETTINGS = {
    "CLEAR_STREET_TIMEOUT_SECONDS": "2",
    "KILL_PATIENCE_SECONDS": "15",
    "KILL_STUCK_SECONDS": "8",
    "KILL_LIMIT_SECONDS": "60",
    "KILL_LATCH_SECONDS": "2",
}
START_SECONDS = 60.0
# A worker hands its sweeps over and waits for the requests in flight; whoever takes longer has not ended by itself.
END_SECONDS = 30.0


class SoakFailed(RuntimeError):
    """The soak could not be run: nothing is known of the product."""


@dataclass
class Part:
    """One process of the product, started again and again under the same name, with one log for all its lives."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    before_start: Callable[[], None] | None = None
    largest_rss: int = 0  # bytes
    lives: int = 0
    _popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        if self.before_start:
            self.before_start()
        with self.log.open("ab") as output:
            # A session of its own: Ctrl-C is ours to hand on, and a kill reaches what it started.
            self._popen = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.lives += 1

    @property
    def is_alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._popen is None else self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process; SIGKILL, SIGSTOP and SIGCONT reach all that it started, too."""
        if self._popen is None or self._popen.poll() is not None:
            return
        if number == signal.SIGTERM:
            self._popen.terminate()
        else:
            os.killpg(self._popen.pid, number)

    def kill(self) -> None:
        """End it without a chance to say anything."""
        if self._popen is None:
            return
        self.signal(signal.SIGKILL)
        self._popen.wait()

    def measure(self) -> None:
        if self._popen is not None and self.is_alive:
            self.largest_rss = max([self.largest_rss, *map(largest_rss, family(self._popen.pid))])

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Stack:
    """Everything that runs, from Redis to the web process, on loopback and in one folder."""

    def __init__(self, folder: Path, database_url: str, simulator: list[str]) -> None:
        self.folder = folder
        self.socket = redis_server.socket_path(folder)
        self._simulator = SimulatorProcess(*simulator)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "killswitch.settings",
            "PYTHONUNBUFFERED": "1",
            "SECRET_KEY": "of a soak, which ends with it",
            "DATABASE_URL": database_url,
            "REDIS_URL": f"unix://{self.socket}",
            "DEMO_PASSWORD": PASSWORD,
            "CLEAR_STREET_API_KEY": self._simulator.api_key,
            "ALLOWED_HOSTS": "127.0.0.1",
            "WEB_BIND": "127.0.0.1:0",
            "FRESH_SECONDS": "3600",  # its people log in once, and release to the end
            **SETTINGS,
        }
        self.parts: dict[str, Part] = {}
        self.address = ""
        self.simulator_rss = 0

    @property
    def control(self) -> Control:
        return self._simulator.control

    def start(self) -> None:
        """Start everything and wait until each part is ready. Raises SoakFailed."""
        self._simulator.start()
        self.environment["CLEAR_STREET_BASE_URL"] = self._simulator.url
        # The tables are read here, too, by the product's own models.
        os.environ.update(self.environment)
        self._manage("migrate", "--verbosity", "0")
        self._manage("make_demo_users")
        python = [sys.executable, "-m"]
        celery = [*python, "celery", "-A", "killswitch"]
        self._add("redis", redis_server.command(self._redis_folder(), self.socket), self._empty_redis)
        self._wait("redis", lambda: listens(self.socket))
        for name in ("worker-1", "worker-2"):
            quietly = ["--without-gossip", "--without-mingle", "-l", "WARNING"]
            self._add(name, [*celery, "worker", "-n", f"{name}@%h", *quietly])
        for name in ("watchdog-1", "watchdog-2"):
            self._add(name, [sys.executable, "manage.py", "watchdog"])
        self._add("beat", [*celery, "beat", "-l", "WARNING"])
        self._add("web", [*python, "gunicorn", "-c", "killswitch/gunicorn.conf.py", "killswitch.wsgi"])
        self._wait("web", self._has_address)
        self._wait("web", lambda: answers(f"{self.address}/healthz"))

    def _add(self, name: str, command: list[str], before_start: Callable[[], None] | None = None) -> None:
        log = self.folder / f"{name}.log"
        self.parts[name] = Part(name, command, self.environment, log, before_start)
        self.parts[name].start()

    def _redis_folder(self) -> Path:
        return self.folder / "redis"

    def _empty_redis(self) -> None:
        """Let Redis come back as after the loss of its machine: without the queue."""
        shutil.rmtree(self._redis_folder(), ignore_errors=True)
        self._redis_folder().mkdir()
        self.socket.unlink(missing_ok=True)

    def _has_address(self) -> bool:
        found = re.search(r"Listening at: (http://\S+)", self.parts["web"].said())
        self.address = found[1] if found else ""
        return bool(found)

    def _manage(self, *arguments: str) -> None:
        command = [sys.executable, "manage.py", *arguments]
        result = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        if result.returncode:
            raise SoakFailed(f"manage.py {arguments[0]}: {result.stderr.strip() or result.stdout.strip()}")

    def _wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if not self.parts[name].is_alive or time.monotonic() > deadline:
                raise SoakFailed(f"{name} did not start:\n{self.parts[name].said()[-2000:]}")
            time.sleep(0.05)

    def measure(self) -> None:
        """Note how much memory each process has at most."""
        for part in self.parts.values():
            part.measure()
        self.simulator_rss = max(self.simulator_rss, largest_rss(self._simulator.pid))

    def rss(self) -> dict[str, int]:
        return {**{part.name: part.largest_rss for part in self.parts.values()}, "simulator": self.simulator_rss}

    def count_in_logs(self, *words: str) -> Counter[str]:
        """Count the lines of all logs that hold each of `words`."""
        found: Counter[str] = Counter()
        for part in self.parts.values():
            for line in part.said().splitlines():
                found.update(word for word in words if word in line)
        return found

    def end(self) -> None:
        """End every process that was started, whatever state it is in."""
        for part in reversed(self.parts.values()):
            part.kill()
        self._simulator.stop()
        if self.socket.parent != self.folder:
            shutil.rmtree(self.socket.parent, ignore_errors=True)


def family(pid: int) -> list[int]:
    """Return a process and its children, where the system tells (Linux)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *map(int, children)]


def largest_rss(pid: int) -> int:
    """Return the most memory that a process ever had, in bytes; 0 where the system does not tell."""
    try:
        told = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", told)
    return int(found[1]) * 1024 if found else 0
