"""What stands where on a kill's page, the confirmation after a press that failed, and paper."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import just_shown_who

from .chromium import open_banner
from .conftest import WIDTHS
from .made_up import MadeUp
from .states import STATES, State

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
BY_NAME = {state.name: state for state in STATES}
Visit = Callable[[str], Page]


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def visit(browser: Browser, web: str, people: dict[str, User], width: str) -> Iterator[Visit]:
    """Open a page in one of the states that are known by their names."""
    context = browser.new_context(viewport=WIDTHS[width], base_url=web)  # type: ignore[arg-type]
    context.set_default_timeout(40_000)

    def open_it(name: str) -> Page:
        state: State = BY_NAME[name]
        client = Client()
        client.force_login(people[state.who])
        just_shown_who(client, people[state.who])
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": web}])
        page = context.new_page()
        page.goto(state.find(MadeUp(page)))
        state.then(page)
        return page

    yield open_it
    context.close()


def box(of: Locator) -> tuple[float, float]:
    """Return where an element begins and ends on the screen, from above."""
    found = of.bounding_box()
    assert found is not None
    return found["y"], found["y"] + found["height"]


def test_nothing_lies_over_what_says_that_a_press_was_not_heard(visit: Visit, width: str) -> None:
    page = visit("confirm-no-answer")
    panel = page.locator("#not-sent")
    expect(panel).to_be_in_viewport()
    page.set_viewport_size({"width": WIDTHS[width]["width"], "height": 640})
    page.evaluate("scrollTo(0, 0)")
    assert box(panel)[1] <= box(page.locator(".press"))[0]


def test_whoever_comes_to_release_sees_what(visit: Visit, width: str) -> None:
    page = visit("kill-latched")
    open_banner(page)
    page.locator("#banner a", has_text="release").last.click()
    page.wait_for_url("**/release/#release")
    expect(page.locator("#release h2")).to_be_in_viewport()
    expect(page.locator("#release h2")).to_contain_text("all orders on account 1001; engaged by desk")
    expect(page.locator("#release button")).to_be_in_viewport()
    if width == "desktop":  # a phone has no room for both: there the words of the form have to do
        expect(page.locator("#kill h1")).to_be_in_viewport()


def test_a_printed_kill_has_its_number_and_its_time(visit: Visit) -> None:
    page = visit("kill-not-flat")
    expect(page.locator(".printed")).to_be_hidden()
    page.emulate_media(media="print")
    expect(page.locator(".printed")).to_be_visible()
    expect(page.locator(".place")).to_be_visible()


def test_a_printed_call_sheet_says_which_broker_it_is_of(visit: Visit) -> None:
    page = visit("call-sheet")
    page.emulate_media(media="print")
    expect(page.locator(".place")).to_be_visible()
    expect(page.locator(".place strong")).to_have_text("LOCAL")  # SIMULATOR where the broker is known to be one
    expect(page.locator(".top")).to_be_hidden()
