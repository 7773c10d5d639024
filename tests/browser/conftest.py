"""A real browser against the product as it runs: web server, worker, Redis, simulator."""

import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from killswitch.demo.__main__ import answers, free_port
from tests.conftest import database_url, end, start, wait_for

WIDTHS = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    return next(filter(None, map(shutil.which, names)), mac if os.path.exists(mac) else None)  # noqa: PTH110


@pytest.fixture(scope="session")
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


@pytest.fixture
def web(worker: Any) -> Iterator[str]:
    """The real web process on the tests' database. Return its address."""
    bind = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "-c", "killswitch/gunicorn.conf.py", "killswitch.wsgi"]
    process = start(command, {"DATABASE_URL": database_url(), "WEB_BIND": bind, "WEB_WORKERS": "1"})
    wait_for(lambda: answers(f"http://{bind}/healthz"), "the web process")
    yield f"http://{bind}"
    end(process)


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, web: str) -> Iterator[Page]:
    """A page at desktop and at phone width."""
    context = browser.new_context(viewport=WIDTHS[request.param], base_url=web)  # type: ignore[arg-type]
    context.set_default_timeout(8_000)
    yield context.new_page()
    context.close()
