"""Start processes, see that they live, end them all."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)


class Died(RuntimeError):
    """A process ended that should be running."""


class Processes:
    """Named child processes, each with a log file."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._running.items()}

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        keeps: Sequence[int] = (),
    ) -> None:
        """Start a process that is handed the open files of the numbers `keeps`."""
        with self.log_of(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self._environment, **(environment or {})},
                pass_fds=keeps,
                start_new_session=True,  # Ctrl-C is ours to hand on, in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def wait_until(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()`. Raises Died with the end of the log, TimeoutError after `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._running[name].poll() is not None:
                raise Died(f"{name} ended at once. The end of {self.log_of(name)}:\n{self._tail(name)}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} did not answer within {seconds:g} s: see {self.log_of(name)}")
            time.sleep(0.05)

    def take_dead(self) -> dict[str, int]:
        """Return the names and exit codes of processes that have ended since the last call."""
        dead = {name: process.returncode for name, process in self._running.items() if process.poll() is not None}
        for name in dead:
            del self._running[name]
        return dead

    def stop(self, grace: float) -> None:
        """End all, the last started first; whoever is still there after `grace` seconds is killed."""
        for process in reversed(self._running.values()):
            process.terminate()
        deadline = time.monotonic() + grace
        for process in reversed(self._running.values()):
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _tail(self, name: str) -> str:
        return "\n".join(self.log_of(name).read_text(errors="replace").splitlines()[-8:])


def _die_with_parent() -> None:
    """Ask Linux to end this child when the demo is killed without a chance to end it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        os._exit(1)
