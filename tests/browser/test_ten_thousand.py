"""An account with 10,000 orders, scrolled through to the end in Chromium."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, expect

from killswitch.book.operations import refresh
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import ask_broker_at

from .conftest import WIDTHS
from .test_desk import FIRST, log_in
from .test_many import shown_orders

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
    ask_broker_at(simulator_process.url, monkeypatch)
    refresh(requests_per_second=200, now=timezone.now())
    context = browser.new_context(viewport=WIDTHS["desktop"], base_url=web)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    page = context.new_page()
    log_in(page, "desk")
    page.goto(f"/accounts/{FIRST}/?sort=client")
    page.wait_for_selector("tr[id^=order-]")
    seen = page.evaluate(
        """async () => {
            const ids = new Set(), until = performance.now() + 400000;
            const look = () => document.querySelectorAll("tr[id^=order-]").forEach((row) => ids.add(row.id));
            while (document.querySelector("#more-orders") && performance.now() < until) {
                look();
                window.scrollTo(0, document.documentElement.scrollHeight);
                await new Promise((done) => setTimeout(done, 50));
            }
            look();
            return [...ids];
        }"""
    )
    wanted = sorted((order["client_order_id"], order["id"]) for order in simulator_process.control.book(open=True))
    first, last = (f"order-{wanted[place][1]}" for place in (0, -1))
    assert set(seen) == {f"order-{order_id}" for _, order_id in wanted}
    assert shown_orders(page)[-1] == last
    assert len(shown_orders(page)) < 2_500, "what is far away is put away"
    page.evaluate("window.scrollTo(0, 0)")
    expect(page.locator(f"[id='{first}']")).to_be_in_viewport(timeout=60_000)
    context.close()
