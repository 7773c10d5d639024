"""An account with 10,000 orders, scrolled through to the end in Chromium."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser

from killswitch.book.operations import refresh
from killswitch.simulator.process import SimulatorProcess

from .conftest import WIDTHS
from .test_desk import FIRST, log_in
from .test_many import scroll_until, shown_orders

ORDERS = 10_000
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def simulator_process() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--accounts", "1", "--orders", str(ORDERS)) as process:
        yield process


def test_every_order_is_reached_by_scrolling(
    web: str,
    simulator_process: SimulatorProcess,
    people: dict[str, User],
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLEAR_STREET_BASE_URL", simulator_process.url)
    refresh(requests_per_second=200, now=timezone.now())
    context = browser.new_context(viewport=WIDTHS["desktop"], base_url=web)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    page = context.new_page()
    log_in(page, "desk")
    page.goto(f"/accounts/{FIRST}/?sort=client")
    page.wait_for_selector("tr[id^=order-]")
    scroll_until(page, ORDERS, seconds=300)
    found = shown_orders(page)
    wanted = sorted((order["client_order_id"], order["id"]) for order in simulator_process.control.book(open=True))
    assert len(found) == len(set(found)) == len(wanted) == ORDERS
    assert (found[0], found[-1]) == (f"order-{wanted[0][1]}", f"order-{wanted[-1][1]}")
    context.close()
