"""An event loop whose time jumps to the next timer, and processes on it that can be killed and frozen at any await.

Nothing here knows the product. Everything that a task of a process wants to do next goes through the loop as a
handle, and the handle carries the task's context: so a process that is dead simply gets no more turns. No `finally`
and no `except` of its runs, as after a SIGKILL.
"""

import asyncio
import contextlib
import selectors
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, NamedTuple

from django.db import OperationalError, connection

DATABASE_SECONDS = 0.002  # of virtual time, for one call of an executor
START = 1000.0

PROCESS: ContextVar["Process | None"] = ContextVar("PROCESS", default=None)


class Killed(BaseException):
    """Cuts a transaction off in the middle; product code does not catch it."""


@contextlib.contextmanager
def outside_the_loop() -> Iterator[None]:
    """Use the database as a thread does that has no event loop: Django gives it the test's own connection."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


class _JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: where the loop would wait, time jumps."""

    now = START

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("everything waits for something that never comes")
            self.now += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Run in virtual time, with what goes to an executor done in line, so that a run is the same every time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self._jumping.now

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        context = copy_context() if context is None else context
        return super().call_soon(_mortal(callback, context), *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        return super().call_at(when, _mortal(callback, context), *args, context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        process = PROCESS.get()
        assert process is not None, "only a process of the model writes"
        return process.write(partial(func, *args), is_database=executor is not None)

    def _check_closed(self) -> None:
        """Let what is left of the dead be collected after the end: it may still ask the loop for something."""

    def tick(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.run_until_complete(asyncio.sleep(seconds))


def _mortal(callback: Any, context: Context) -> Any:
    process = context.get(PROCESS)
    return callback if process is None else partial(process.step, callback, context)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, context=context)
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None:
        process.tasks.add(task)
    return task


class Fate(NamedTuple):
    """Where something happens to a process; it dies, unless it is frozen for some seconds."""

    point: str
    number: int
    frozen_for: float = 0.0


class Process:
    """Something that can die. `after_write` is called whenever it has committed something.

    `fate` counts down to where something happens to it: at a "step" (any await), a request "sent" that never arrives, a
    request that has "acted" whose answer nobody hears, before a "write", at a "statement" in the middle of one, or when
    it is "written". It dies there, or is frozen for so many seconds.
    """

    POINTS = ("step", "sent", "acted", "write", "statement", "written")

    def __init__(self, loop: VirtualLoop, name: str, after_write: Callable[["Process"], None]) -> None:
        self.loop = loop
        self.name = name
        self.is_dead = False
        self.fate: Fate | None = None
        self.database_fails = 0
        self.frozen_at = -1.0  # when it was frozen last
        self.tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._after_write = after_write
        self._frozen_until: float | None = None
        self._backlog: list[Callable[[], None]] = []
        self._database_free_at = 0.0
        self._remains: list[asyncio.Task[Any]] = []

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `coroutine` as one of this process's tasks."""
        context = copy_context()
        context.run(PROCESS.set, self)
        return context.run(self.loop.create_task, coroutine)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call `function` as this process, outside of its event loop. Returns None where it dies of it."""
        context = copy_context()
        context.run(PROCESS.set, self)
        with self._cut_off():
            value = context.run(function)
            return None if self.passes("written") else value
        return None

    def step(self, callback: Any, context: Context, *args: Any) -> None:
        if not self.is_frozen and self.passes("step"):
            return
        if self.is_frozen:
            self._backlog.append(partial(self.loop.call_soon, callback, *args, context=context))
        else:
            callback(*args)

    # --- dying

    def passes(self, point: str) -> bool:
        """Note that a point of its fate is passed, and say whether the process is dead now."""
        if self.fate is not None and self.fate.point == point and not self.is_dead:
            self.fate = self.fate._replace(number=self.fate.number - 1)
            if self.fate.number < 0:
                self._meet_fate(self.fate.frozen_for)
        return self.is_dead

    def _meet_fate(self, frozen_for: float) -> None:
        self.fate = None
        if frozen_for:
            self.freeze(frozen_for)
        else:
            self.die()

    def die(self) -> None:
        self.is_dead = True
        self.fate = None
        # A task that nobody refers to would be closed by the garbage collector, and closing runs its `finally`.
        self._remains = list(self.tasks)

    def bury(self) -> None:
        """Close what is left of its tasks, once nobody looks any more."""
        self.is_dead = True
        for task in [*self._remains, *self.tasks]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(BaseException):
                Context().run(_close_as, self, task)

    def freeze(self, seconds: float) -> None:
        """Stop it as SIGSTOP does, and let it go on later."""
        if self._frozen_until is None:
            self.frozen_at = self.loop.time()
            self._frozen_until = self.frozen_at + seconds
            Context().run(self.loop.call_later, seconds, self._thaw)

    @property
    def is_frozen(self) -> bool:
        return self._frozen_until is not None

    def _thaw(self) -> None:
        self._frozen_until = None
        backlog, self._backlog = self._backlog, []
        for take_up in backlog:
            take_up()

    # --- its database

    def write(self, function: Callable[[], Any], *, is_database: bool) -> asyncio.Future[Any]:
        """Do what its one thread for the database is asked to do, in order and in a little while."""
        written: asyncio.Future[Any] = self.loop.create_future()
        self._database_free_at = max(self._database_free_at, self.loop.time()) + DATABASE_SECONDS
        self.loop.call_at(self._database_free_at, self._write_now, function, written, is_database)
        return written

    def _write_now(self, function: Callable[[], Any], written: asyncio.Future[Any], is_database: bool) -> None:
        if written.done() or self.passes("write"):
            return
        try:
            value = self._commit(function) if is_database else function()
        except Exception as error:
            if not self.is_dead:
                written.set_exception(error)
        else:
            if not self.is_dead and not self.passes("written"):
                written.set_result(value)

    def _commit(self, function: Callable[[], Any]) -> Any:
        if self.database_fails:
            self.database_fails -= 1
            raise OperationalError("database is locked")
        value = None
        with outside_the_loop():
            with self._cut_off():
                value = function()
            self._after_write(self)
        return value

    @contextlib.contextmanager
    def _cut_off(self) -> Iterator[None]:
        """Let it die in the middle of a transaction, which the database then takes back."""
        try:
            with connection.execute_wrapper(self._statement):
                yield
        except Killed:
            assert self.is_dead

    def _statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        was_alive = not self.is_dead
        if self.passes("statement") and was_alive:
            raise Killed
        return execute(sql, params, many, context)


def _close_as(process: Process, task: asyncio.Task[Any]) -> None:
    PROCESS.set(process)
    coroutine = task.get_coro()
    if coroutine is not None:
        coroutine.close()
