"""What a fault test starts and breaks: processes of the product, a Redis, a stand-in broker, each with its log."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from django.conf import settings

from killswitch.demo import redis_server
from killswitch.demo.__main__ import answers, listens
from killswitch.simulator.process import Control, SimulatorProcess
from tests.conftest import ROOT, wait_for
from tests.nothing_secret import API_KEY

# Small, so that a test does not wait for half a minute until somebody gives up.
QUICK = {
    "CLEAR_STREET_TIMEOUT_SECONDS": "1",
    "KILL_PATIENCE_SECONDS": "3",
    "KILL_LIMIT_SECONDS": "60",
    "KILL_STUCK_SECONDS": "2",
    "KILL_LATCH_SECONDS": "0.3",
}
CLOSED_PORT = "redis://127.0.0.1:9/0"


class Process:
    """One process in a session of its own, as a service manager starts it."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.log = folder / f"{name}.log"
        # Appended to: a process that is started again goes on in the same log.
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        return self._popen.poll()

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def freeze(self) -> None:
        """Stop it without its noticing: its connections stay open and nobody answers on them."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        self._popen.terminate()

    def kill(self) -> None:
        """End it and all that it started, without a chance to say anything."""
        os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


class Stack:
    """The product on one machine, part by part: nothing runs until it is asked for."""

    def __init__(self, database_url: str, **settings: str) -> None:
        # Not in pytest's own folder: the path of a Unix socket must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="ks-"))
        self.processes: list[Process] = []
        self._simulator: SimulatorProcess | None = None
        self._patch = pytest.MonkeyPatch()
        # What begins the command of everything that is started: on which host it runs.
        self.enter: list[str] = []
        self.redis_socket = self.folder / "redis.sock"
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "killswitch.settings",
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": database_url,
            "REDIS_URL": f"unix://{self.redis_socket}",
            **QUICK,
            **settings,
        }

    # --- the broker

    def broker(self, *arguments: str, api_key: str = API_KEY, host: str = "") -> SimulatorProcess:
        """Start a stand-in broker; everything that is started later talks to it, and who presses here means it.

        With `host` it listens on every address, and is asked at that one.
        """
        listen = ("--host", "0.0.0.0") if host else ()
        self._simulator = SimulatorProcess(*arguments, *listen, api_key=api_key).__enter__()
        url = self._simulator.url.replace("0.0.0.0", host or "0.0.0.0")
        self._patch.setattr(settings, "CLEAR_STREET_BASE_URL", url)
        self.environment |= {"CLEAR_STREET_BASE_URL": url, "CLEAR_STREET_API_KEY": api_key}
        return self._simulator

    @property
    def has_broker(self) -> bool:
        return self._simulator is not None

    @property
    def simulator(self) -> SimulatorProcess:
        assert self._simulator is not None, "this test started no broker"
        return self._simulator

    @property
    def control(self) -> Control:
        return self.simulator.control

    # --- the product

    def redis(self) -> Process:
        """Start a Redis that holds what its folder holds, and nothing where that was removed."""
        folder = self.folder / "redis"
        folder.mkdir(exist_ok=True)
        self.redis_socket.unlink(missing_ok=True)
        process = self.start("redis", redis_server.command(folder, self.redis_socket))
        wait_for(lambda: listens(self.redis_socket), "Redis")
        return process

    def lose_queue(self) -> None:
        """Remove what a Redis that has ended left on the disk."""
        shutil.rmtree(self.folder / "redis")

    def worker(self, name: str = "worker", **settings: str) -> Process:
        command = [sys.executable, "-m", "celery", "-A", "killswitch", "worker", "-n", f"{name}@%h", "-l", "INFO"]
        process = self.start(name, [*command, "--without-gossip", "--without-mingle"], **settings)
        wait_for(lambda: " ready." in process.said, "the worker", 30)
        return process

    def watchdog(self, name: str = "watchdog", **settings: str) -> Process:
        process = self.start(name, [sys.executable, "manage.py", "watchdog"], **settings)
        wait_for(lambda: "watching" in process.said, "the watchdog", 30)
        return process

    def lookout(self, name: str = "lookout", **settings: str) -> Process:
        process = self.start(name, [sys.executable, "manage.py", "lookout"], **settings)
        wait_for(lambda: "watching" in process.said, "the lookout", 30)
        return process

    def web(self, **settings: str) -> str:
        """Start the web process on a free port and return its address."""
        command = [sys.executable, "-m", "gunicorn", "-c", "killswitch/gunicorn.conf.py", "killswitch.wsgi"]
        process = self.start("web", command, WEB_BIND="127.0.0.1:0", **settings)
        listening = wait_for(lambda: re.search(r"Listening at: (http://\S+)", process.said), "the web process", 30)
        address: str = listening[1]
        wait_for(lambda: answers(f"{address}/healthz"), "the web process to answer", 30)
        return address

    def start(self, name: str, command: list[str], **settings: str) -> Process:
        process = Process(name, [*self.enter, *command], {**self.environment, **settings}, self.folder)
        self.processes.append(process)
        return process

    def logs(self) -> dict[str, str]:
        """Return what every process has written, by its name."""
        return {path.stem: path.read_text(errors="replace") for path in self.folder.glob("*.log")}

    def end(self) -> None:
        self._patch.undo()
        for process in self.processes:
            if process.exit_code is None:
                process.kill()  # what was to be seen has been seen, and a worker takes seconds to end by itself
        if self._simulator is not None:
            self._simulator.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
