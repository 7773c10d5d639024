"""A page that is left open while web server and worker are started anew."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from killswitch.demo.__main__ import answers
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import ask_broker_at, database_url, end, running_worker, start, wait_for
from tests.kills.conftest import Press, press

from .conftest import any_port
from .test_desk import FIRST, log_in

__all__ = ["press"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@contextmanager
def everything(bind: str) -> Iterator[None]:
    """Run web server and worker."""
    web = start([sys.executable, "-m", "gunicorn", "-c", "killswitch/gunicorn.conf.py", "killswitch.wsgi"])
    try:
        wait_for(lambda: answers(f"http://{bind}/healthz"), "the web process")
        with running_worker():
            yield
    finally:
        end(web)


@pytest.fixture
def bind(simulator_process: SimulatorProcess, redis: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"127.0.0.1:{any_port()}"
    ask_broker_at(simulator_process.url, monkeypatch)
    for name, value in {"DATABASE_URL": database_url(), "WEB_BIND": address, "WEB_WORKERS": "1"}.items():
        monkeypatch.setenv(name, value)
    return address


def test_a_page_left_open_says_that_it_hears_nothing_and_goes_on_by_itself(
    bind: str, browser: Browser, simulator_process: SimulatorProcess, people: dict[str, User], press: Press
) -> None:
    control: Any = simulator_process.control
    control.add_orders(FIRST, order={"side": "SELL", "status": "NEW"})
    context = browser.new_context(base_url=f"http://{bind}")
    context.set_default_timeout(40_000)
    page = context.new_page()
    with ExitStack() as running:
        running.enter_context(everything(bind))
        log_in(page, "desk")
        page.goto(f"/kills/{press(account=[FIRST], latched='on').id}/")
        expect(page.locator("#kill h1")).to_have_text("LATCHED")

    # Nothing runs any more.
    expect(page.locator("#stale")).to_contain_text("Not following since")
    expect(page.locator("#heard")).to_contain_text("NOT heard from the server for")
    expect(page.locator("#kill h1")).to_contain_text("LATCHED")
    arrived = control.add_orders(FIRST, order={"side": "SELL", "status": "NEW"})[0]["id"]

    with everything(bind):
        expect(page.locator("#gap")).to_contain_text("Nothing was heard from the server from")
        expect(page.locator("#stale")).to_be_hidden()
        expect(page.locator("#heard")).to_contain_text("Heard from the server")
        expect(page.locator("tr", has_text=arrived)).to_contain_text("canceled")
        expect(page.locator("#kill h1")).to_have_text("LATCHED")
        assert control.book(FIRST, open=True) == []
        # It was never loaded anew.
        assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
        expect(page.locator("#gap")).to_be_visible()
        context.close()
