"""A phone in an incident: what alarms say stays short, and the button is there without a finger on the page."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from killswitch.kills.models import Kill
from killswitch.simulator.process import SimulatorProcess

from .chromium import WIDTHS
from .made_up import MadeUp
from .test_desk import log_in, no_sideways_scroll

SCOPE = "all SELL and SELL SHORT LIMIT orders in TSLA, AAPL, NVDA, AMD on 12 accounts, sent by algo-momentum"
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def phone(browser: Browser, web: str, simulator: SimulatorProcess, people: dict[str, User]) -> Iterator[Page]:
    """The desk on a phone: one kill runs, one is latched, one has ended badly, all with alarms, and a red light."""
    context = browser.new_context(viewport=WIDTHS["phone"], base_url=web)  # type: ignore[arg-type]
    context.set_default_timeout(40_000)
    page = context.new_page()
    scene = MadeUp(page)
    scene.book()
    scene.light("not armed")
    for how in ("running", "let go of", "not flat"):
        scene.kill(how)
    Kill.objects.update(scope=SCOPE)
    log_in(page, "desk2")
    page.goto("/")
    yield page
    context.close()


def test_kill_all_is_on_the_first_screen_with_three_alarms(phone: Page) -> None:
    button = phone.get_by_role("link", name="KILL ALL")
    box = button.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= WIDTHS["phone"]["height"], box
    assert no_sideways_scroll(phone)


def test_each_banner_is_one_line_that_opens_and_stays_open(phone: Page) -> None:
    lines = phone.locator("#banner summary")
    expect(lines).to_have_count(3)
    for line in lines.all():
        box = line.bounding_box()
        assert box is not None and 24 <= box["height"] < 40
    expect(phone.get_by_text("1 kill: NOBODY WORKS ON IT, LATCHED")).to_be_visible()
    alarm = phone.get_by_role("link", name="nobody acknowledged")
    expect(alarm).to_have_count(0)
    for line in lines.all():
        line.click()
    expect(alarm).to_have_count(3)
    with phone.expect_response(lambda answer: "has=" in answer.url):
        pass
    expect(alarm).to_have_count(3)


def test_on_a_wide_screen_there_is_nothing_to_open(phone: Page) -> None:
    phone.set_viewport_size(WIDTHS["desktop"])  # type: ignore[arg-type]
    expect(phone.get_by_role("link", name="nobody acknowledged")).to_have_count(3)
    expect(phone.locator("#banner summary:visible")).to_have_count(0)
    for kill in Kill.objects.all():
        assert phone.locator(f"#banner li:has(a[href*='{kill.id}'])").count() == 1, "once is enough"
