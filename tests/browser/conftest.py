"""A real browser against the product as it runs: web server, worker, Redis, simulator."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from killswitch.demo.__main__ import answers
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import ask_broker_at, database_url, end, running_worker, start, wait_for

from .chromium import WIDTHS, find_chromium, hold_and_let_go

FIRST = 19816
expect.set_options(timeout=40_000)  # a busy machine is slow, and a condition that comes true waits for none of it


def any_port() -> int:
    """Return a port that is free, and that no demo looks for."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# Not for the session: Playwright keeps an event loop running in this thread, in which nothing else can run one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: CI must install it")
        pytest.skip("no Chromium here")
    # Playwright runs an event loop in this thread, which Django would take for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="module")
def simulator_process() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--accounts", "3", "--orders", "0", "--cancel-ms", "200") as process:
        yield process


@pytest.fixture(scope="module")
def web(
    simulator_process: SimulatorProcess, django_db_setup: None, django_db_blocker: Any, redis: Path
) -> Iterator[str]:
    """The real web process and a real worker on the tests' database. Return the address."""
    bind = f"127.0.0.1:{any_port()}"
    command = [sys.executable, "-m", "gunicorn", "-c", "killswitch/gunicorn.conf.py", "killswitch.wsgi"]
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        ask_broker_at(simulator_process.url, patch)
        patch.setenv("DATABASE_URL", database_url())
        patch.setenv("WEB_BIND", bind)
        patch.setenv("WEB_WORKERS", "1")
        patch.setenv("LIGHT_EVERY_SECONDS", "60")  # what a state shows of the light is not old at once
        process = start(command)
        try:
            wait_for(lambda: answers(f"http://{bind}/healthz"), "the web process")
            with running_worker():
                yield f"http://{bind}"
        finally:
            end(process)


@pytest.fixture
def simulator(web: str, simulator_process: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> SimulatorProcess:
    """The stand-in broker with twelve fresh orders in each account."""
    ask_broker_at(simulator_process.url, monkeypatch)
    for account_id in range(FIRST, FIRST + 3):
        for number in range(12):
            order = {"side": ("BUY", "SELL", "SELL_SHORT")[number % 3], "status": "NEW"}
            simulator_process.control.add_orders(account_id, order=order)
    return simulator_process


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, web: str) -> Iterator[Page]:
    """A page at desktop and at phone width."""
    context = browser.new_context(viewport=WIDTHS[request.param], base_url=web)  # type: ignore[arg-type]
    context.set_default_timeout(40_000)
    yield context.new_page()
    context.close()


def hold(page: Page, name: str) -> None:
    """Press a kill button as a person does: hold it until it is full, let go. Without JavaScript it is a plain one."""
    button = page.get_by_role("button", name=name)
    expect(button).to_be_visible()
    page.wait_for_load_state()
    if button.get_attribute("data-hold-ready") is None:
        button.click()
    else:
        hold_and_let_go(page, button)
    expect(page).to_have_url(re.compile(r"/kills/[0-9a-f-]{36}/$"))
