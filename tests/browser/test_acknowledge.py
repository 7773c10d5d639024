"""Alarms ask to be acknowledged: with and without a script, while the page is polled, and with two people at once."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill, State
from killswitch.simulator.process import SimulatorProcess
from killswitch.telling.models import Delivery
from tests.conftest import wait_for
from tests.incident.conftest import add, end, make_kill

from .chromium import open_banner
from .conftest import WIDTHS
from .test_desk import log_in, no_sideways_scroll

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
BY_DESK = re.compile(r"acknowledged by desk \d\d:\d\d:\d\d UTC")


@pytest.fixture
def stuck(simulator: SimulatorProcess, people: dict[str, User]) -> Kill:
    kill = make_kill()
    add(kill, "stuck-1", 19816)
    add(kill, "stuck-2", 19817)
    held_until = timezone.now() + timedelta(minutes=10)  # somebody works on it
    kill.sweeps.update(first_attempt_at=kill.engaged_at, lease_until=held_until)
    return kill


@pytest.fixture(params=WIDTHS)
def plain_page(request: pytest.FixtureRequest, browser: Browser, web: str) -> Iterator[Page]:
    """A page without JavaScript."""
    context = browser.new_context(viewport=WIDTHS[request.param], base_url=web, java_script_enabled=False)  # type: ignore[arg-type]
    context.set_default_timeout(40_000)
    yield context.new_page()
    context.close()


def polls(page: Page, kill: Kill, count: int) -> None:
    """Wait until the page has asked so many times more how the kill stands."""
    for _ in range(count):
        with page.expect_response(f"**/kills/{kill.id}/"):
            pass


def test_the_button_outlives_polls_keeps_the_focus_and_gives_it_to_its_alarm(stuck: Kill, page: Page) -> None:
    log_in(page, "desk")
    page.goto(f"/kills/{stuck.id}/")
    assert no_sideways_scroll(page)
    alarm, button = (
        page.locator("#alarm-stuck"),
        page.get_by_role("button", name="Acknowledge as desk: Cancels are stuck"),
    )
    handle = button.element_handle()
    open_banner(page)
    button.focus()
    polls(page, stuck, 3)
    assert handle.evaluate("button => button.isConnected && document.activeElement === button")
    expect(page.get_by_role("link", name="1 alarm nobody acknowledged")).to_be_visible()
    page.keyboard.press("Enter")
    expect(alarm).to_contain_text(BY_DESK)
    expect(alarm).to_be_focused()
    polls(page, stuck, 2)
    expect(alarm).to_be_focused()
    expect(button).to_have_count(0)
    expect(page.get_by_role("link", name="1 alarm nobody acknowledged")).to_have_count(0)
    assert no_sideways_scroll(page)
    assert Entry.objects.get(kind=Kind.ALARM_ACKNOWLEDGED).data == {"alarm": "stuck", "count": 2}


def test_a_worse_one_asks_again_by_itself(stuck: Kill, page: Page) -> None:
    log_in(page, "desk")
    page.goto(f"/kills/{stuck.id}/")
    button = page.get_by_role("button", name="Acknowledge as desk: Cancels are stuck")
    button.click()
    expect(button).to_have_count(0)
    add(stuck, "stuck-3", 19817)
    expect(page.locator("#alarm-stuck")).to_contain_text("It has become worse since.")
    button.click()
    expect(button).to_have_count(0)
    counts = [entry.data["count"] for entry in Entry.objects.filter(kind=Kind.ALARM_ACKNOWLEDGED).order_by("id")]
    assert counts == [2, 3]


def test_another_person_sees_who_it_was_without_a_hand_on_the_page(
    stuck: Kill, page: Page, browser: Browser, web: str
) -> None:
    other = browser.new_context(base_url=web).new_page()
    for each, name in ((page, "desk"), (other, "desk2")):
        log_in(each, name)
        each.goto(f"/kills/{stuck.id}/")
    expect(other.get_by_role("button", name="Acknowledge as desk2: Cancels are stuck")).to_be_visible()
    page.get_by_role("button", name="Acknowledge as desk: Cancels are stuck").click()
    expect(other.locator("#alarm-stuck")).to_contain_text(BY_DESK)
    expect(other.get_by_role("button", name="Acknowledge")).to_have_count(0)
    other.context.close()


def test_works_without_a_script(stuck: Kill, plain_page: Page) -> None:
    end(stuck, State.NOT_FLAT)
    log_in(plain_page, "desk")
    open_banner(plain_page)
    plain_page.get_by_role("link", name="1 alarm nobody acknowledged").click()
    plain_page.get_by_role("button", name="Acknowledge as desk: Cancels are stuck").click()
    expect(plain_page).to_have_url(re.compile(rf"/kills/{stuck.id}/#alarm-stuck$"))
    expect(plain_page.locator("#alarm-stuck")).to_contain_text(BY_DESK)
    expect(plain_page.get_by_role("link", name="1 alarm nobody acknowledged")).to_have_count(0)


def test_compliance_sees_that_it_waits(stuck: Kill, page: Page) -> None:
    log_in(page, "compliance")
    page.goto(f"/kills/{stuck.id}/")
    expect(page.locator("#alarm-stuck")).to_contain_text("waits for somebody of the risk desk to acknowledge it")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)


def test_a_test_message_is_asked_for_on_the_page_of_messages(people: dict[str, User], page: Page, web: str) -> None:
    row = Delivery.objects.create(key="k", name="mail 1", followed=0, seen_at=timezone.now())
    log_in(page, "desk")
    page.goto("/telling/")
    page.get_by_role("button", name="Send a test message").click()
    expect(page.get_by_text("not yet")).to_be_visible()
    entry = wait_for(lambda: Entry.objects.filter(kind=Kind.MESSAGE_TESTED).first(), "the entry")
    Delivery.objects.filter(pk=row.pk).update(followed=entry.id, told_at=timezone.now(), seen_at=timezone.now())
    expect(page.get_by_text("taken", exact=True)).to_be_visible()
    assert no_sideways_scroll(page)
