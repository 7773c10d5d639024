"""One event loop and one warm client per process, for callers that are not asynchronous themselves.

Keyed by the process id, so that a forked worker makes its own.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import resource
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from ._clock import ClockBounds
from .client import ClearStreet

R = TypeVar("R")
OPEN_FILES = 8192


@dataclass
class _Runtime:
    pid: int
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    client: ClearStreet | None = None


_runtime: _Runtime | None = None
_lock = threading.Lock()
os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.Lock(), _runtime=None))


def _current() -> _Runtime:
    global _runtime
    with _lock:
        if _runtime is None or _runtime.pid != os.getpid():
            _allow_many_connections()
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="broker-loop", daemon=True)
            thread.start()
            _runtime = _Runtime(os.getpid(), loop, thread)
        return _runtime


def _allow_many_connections() -> None:
    """Raise this process's limit of open files as far as it may: a kill of 1,000 accounts opens as many at once."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def start(coroutine: Coroutine[Any, Any, R]) -> "concurrent.futures.Future[R]":
    """Start `coroutine` on this process's event loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, _current().loop)


def run(coroutine: Coroutine[Any, Any, R], timeout: float | None = None) -> R:
    """Run `coroutine` on this process's event loop and wait for it. Raises TimeoutError after `timeout` seconds."""
    future = start(coroutine)
    try:
        return future.result(timeout)
    except concurrent.futures.TimeoutError:
        future.cancel()
        raise


def loop_answers(timeout: float) -> bool:
    """Say whether this process's event loop comes round within `timeout` seconds."""
    comes_round = threading.Event()
    _current().loop.call_soon_threadsafe(comes_round.set)
    return comes_round.wait(timeout)


def client() -> ClearStreet:
    """Return this process's client. Call it on the event loop, inside a coroutine given to `run`."""
    runtime = _current()
    if runtime.client is None:
        runtime.client = ClearStreet.from_environment()
    return runtime.client


def clock_bounds() -> ClockBounds | None:
    """Return how far the broker's clock is from ours, by what this process was answered. None where it was nothing."""
    runtime = _runtime
    return runtime.client.clock.bounds if runtime is not None and runtime.client is not None else None


def close() -> None:
    """Close this process's client and loop; the next call opens new ones."""
    global _runtime
    with _lock:
        runtime, _runtime = _runtime, None
    if runtime is None or runtime.pid != os.getpid():
        return
    if runtime.client is not None:
        asyncio.run_coroutine_threadsafe(runtime.client.aclose(), runtime.loop).result(5)
    runtime.loop.call_soon_threadsafe(runtime.loop.stop)
    runtime.thread.join(5)
    runtime.loop.close()
