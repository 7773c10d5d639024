"""The armed light in Chromium, at desktop and at phone width: real parts are frozen, and go on."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from killswitch.health.verdict import BREAK_GLASS
from tests.conftest import ask_broker_at, database_url
from tests.faults.stack import Process, Stack
from tests.health.light import keep_well

from .conftest import WIDTHS
from .test_desk import no_sideways_scroll

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LONG = 40_000  # what is missed is missed after seconds, and the page asks every five


class Desk:
    """The product with every part in a process of its own, and somebody at a page."""

    def __init__(self, stack: Stack, address: str) -> None:
        self.stack = stack
        self.address = address
        self.worker = stack.worker()
        self.watchdog = stack.watchdog()

    @property
    def web(self) -> Process:
        return next(process for process in self.stack.processes if process.log.stem == "web")

    def log_in(self, page: Page) -> None:
        page.goto("/login/")
        page.locator("[name=username]").fill("desk")
        page.locator("[name=password]").fill("secret-enough")
        page.get_by_role("button", name="Log in").click()


@pytest.fixture
def desk(people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    stack = Stack(database_url(), LIGHT_EVERY_SECONDS="0.3", LIGHT_DISK_LOW_MB="10", WEB_WORKERS="1")
    broker = stack.broker("--accounts", "2", "--orders", "3")
    ask_broker_at(broker.url, monkeypatch)
    keep_well()
    stack.redis()
    yield Desk(stack, stack.web())
    stack.end()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, desk: Desk) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDTHS[request.param], base_url=desk.address)  # type: ignore[arg-type]
    context.set_default_timeout(40_000)
    yield context.new_page()
    context.close()


def shows(page: Page, word: str, tone: str, timeout: float = LONG) -> None:
    light = page.locator("#light")
    expect(light.locator("strong").filter(visible=True).first).to_have_text(word, timeout=timeout)
    expect(light).to_have_class(re.compile(rf"\b{tone}\b"))
    assert no_sideways_scroll(page)


def test_the_light_turns_red_before_the_incident_and_green_again(desk: Desk, page: Page) -> None:
    desk.log_in(page)
    shows(page, "NOT KNOWN", "red")
    expect(page.locator("#light")).to_contain_text("Start manage.py lookout")
    desk.stack.lookout()
    shows(page, "ARMED", "green")
    page.goto("/drills/")  # a page that polls nothing by itself
    desk.worker.freeze()
    shows(page, "ARMED, BY THE SLOWER WAY", "amber")
    expect(page.locator("#light")).to_contain_text("the watchdog takes up a kill within about 3 s")
    desk.watchdog.freeze()
    shows(page, "NOT ARMED", "red")
    expect(page.locator("#light code").filter(visible=True)).to_have_text(BREAK_GLASS)
    expect(page.locator("[data-light-said]")).to_contain_text("NOT ARMED. Nobody would carry out a kill")
    page.locator("#light a").filter(visible=True).first.click()
    expect(page.get_by_role("heading", name="Would a kill go through, now?")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Worker")).get_by_text("down", exact=True)).to_be_visible()
    assert no_sideways_scroll(page)
    desk.worker.thaw()
    desk.watchdog.thaw()
    shows(page, "ARMED", "green")
    expect(page.locator(".light-changes li").first).to_contain_text("NOT ARMED → ARMED")


def test_a_page_that_hears_nothing_says_that_the_light_is_not_known(desk: Desk, page: Page) -> None:
    desk.stack.lookout()
    desk.log_in(page)
    shows(page, "ARMED", "green")
    desk.web.freeze()
    shows(page, "NOT KNOWN", "lost")
    expect(page.locator("#light")).to_contain_text("The server does not answer.")
    expect(page.locator("[data-light-said]")).to_have_text("Armed light: NOT KNOWN.")
    desk.web.thaw()
    shows(page, "ARMED", "green")
    expect(page.locator("#light")).not_to_have_class(re.compile("lost"))


def test_a_page_whose_server_is_gone_or_whose_log_in_has_ended_says_so(desk: Desk, page: Page) -> None:
    desk.stack.lookout()
    desk.log_in(page)
    page.goto("/drills/")
    shows(page, "ARMED", "green")
    session = page.context.cookies()
    page.context.clear_cookies()
    shows(page, "NOT KNOWN", "lost")
    expect(page.locator("#light")).to_contain_text("You are no longer logged in.")
    expect(page).to_have_url(re.compile("/drills/$"))
    page.context.add_cookies(session)  # type: ignore[arg-type]
    shows(page, "ARMED", "green")
    desk.web.kill()
    shows(page, "NOT KNOWN", "lost")
    expect(page.locator("#light")).to_contain_text("The server cannot be reached.")


def test_a_confirmation_shows_its_own_line_alone_while_the_light_is_not_armed(desk: Desk, page: Page) -> None:
    desk.log_in(page)
    everything = page.locator("#light").get_by_text("EVERYTHING on ALL accounts").filter(visible=True)
    expect(everything).to_have_count(1)
    page.goto("/kills/new/?account=1001&side=SELL")
    shows(page, "NOT KNOWN", "red")
    expect(everything).to_have_count(0)
    own = page.locator("#own-glass [data-line]")
    expect(own).to_be_visible()
    expect(own).to_have_text("python manage.py kill --break-glass --account 1001 --side=SELL")
    page.get_by_role("radio", name="latched").check()
    expect(own).to_have_text("python manage.py kill --break-glass --account 1001 --side=SELL --latched")
    desk.stack.lookout()
    shows(page, "ARMED", "green")
    expect(own).to_be_hidden()


def test_the_light_is_drawn_with_each_page_without_scripts(desk: Desk, browser: Browser) -> None:
    desk.stack.lookout()
    for size in WIDTHS.values():
        context = browser.new_context(viewport=size, base_url=desk.address, java_script_enabled=False)  # type: ignore[arg-type]
        page = context.new_page()
        desk.log_in(page)
        until_armed(page)
        page.goto("/light/")
        expect(page.get_by_role("row", name=re.compile("Worker")).get_by_text("well", exact=True)).to_be_visible()
        context.close()


def until_armed(page: Page) -> None:
    for _ in range(40):
        page.goto("/")
        if page.locator("#light strong").first.text_content() == "ARMED":
            return
        page.wait_for_timeout(500)
    pytest.fail("it was never armed")
