"""A latched kill and a dry run, as two people on the desk see them."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Locator, Page, expect

from killswitch.audit.models import Entry, Kind
from killswitch.book.operations import refresh
from killswitch.kills.models import Kill, KilledOrder
from killswitch.simulator.process import SimulatorProcess

from .chromium import open_banner
from .conftest import WIDTHS, hold
from .test_desk import FIRST, containing, log_in, no_sideways_scroll, see_flat

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LogIn = Callable[..., Page]


@pytest.fixture(autouse=True)
def book(simulator: SimulatorProcess, people: dict[str, User]) -> None:
    refresh(requests_per_second=50, now=timezone.now())


@pytest.fixture
def logged_in(browser: Browser, web: str) -> Iterator[LogIn]:
    """Log somebody in, in a browser window of their own: `logged_in("desk2", width="phone", scripts=False)`."""
    contexts = []

    def make(name: str, *, width: str = "desktop", scripts: bool = True) -> Page:
        size: Any = WIDTHS[width]
        context = browser.new_context(viewport=size, base_url=web, java_script_enabled=scripts)
        context.set_default_timeout(40_000)
        contexts.append(context)
        page = context.new_page()
        log_in(page, name)
        return page

    yield make
    for context in contexts:
        context.close()


def press(page: Page, **options: bool) -> None:
    page.goto(f"/kills/new/?account={FIRST}")
    for name in options:
        page.get_by_role("radio", name=name).check()
    hold(page, "KILL")


def state(page: Page) -> Locator:
    return page.locator("#kill h1")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
class TestALatchedKill:
    def test_goes_from_the_press_through_arrivals_to_the_release_by_a_second_person(
        self, width: str, scripts: bool, simulator: SimulatorProcess, logged_in: LogIn
    ) -> None:
        first, second = (logged_in(name, width=width, scripts=scripts) for name in ("desk", "desk2"))
        press(first, latched=True)
        expect(state(first)).to_have_text("LATCHED")
        expect(first.get_by_text(containing("another person of the risk desk has to release it"))).to_be_visible()
        expect(first.get_by_label("Why it is released")).to_have_count(0)
        kill = Kill.objects.get()

        # What arrives is canceled, counted and named, on a page that follows by itself.
        arrived = simulator.control.add_orders(FIRST, order={"side": "SELL", "status": "NEW"})[0]["id"]
        expect(first.locator(".loud.late")).to_contain_text(f"1 order on account {FIRST}")
        expect(first.locator("#banner")).to_contain_text("1 late arrival")
        expect(first.locator("tr", has_text=arrived)).to_contain_text("late")
        # The page may still stand at the moment before the order came: it says so once the order is gone.
        expect(first.locator("tr", has_text=arrived)).to_contain_text("canceled")
        expect(state(first)).to_have_text("LATCHED")
        assert simulator.control.book(FIRST, open=True) == []
        assert no_sideways_scroll(first)

        # Another person sees it on every page, and lets go.
        second.goto("/")
        open_banner(second)
        banner = second.get_by_role("list", name="Latched kills")
        expect(banner).to_contain_text("LATCHED")
        expect(banner).to_contain_text("by desk, since")
        assert no_sideways_scroll(second)
        banner.get_by_role("link", name=containing("release")).click()
        second.get_by_label("Why it is released").fill("What sent the orders is stopped")
        second.wait_for_timeout(2_500)  # two polls, or one load of the page
        expect(second.get_by_label("Why it is released")).to_have_value("What sent the orders is stopped")
        assert no_sideways_scroll(second)
        second.get_by_role("button", name="Release").click()
        for page in (second, first):
            see_flat(page)
            expect(page.locator("#kill")).to_contain_text("What sent the orders is stopped")
            expect(page.locator("#banner")).not_to_contain_text("LATCHED")
            expect(page.get_by_role("heading", name="Release")).to_have_count(0)
            assert no_sideways_scroll(page)
        kill.refresh_from_db()
        assert (kill.state, kill.released_by_name) == ("flat", "desk2")
        assert KilledOrder.objects.get(order_id=arrived).is_late
        assert Entry.objects.filter(kind=Kind.KILL_RELEASED).count() == 1

    def test_is_held_on_without_a_reason(self, width: str, scripts: bool, logged_in: LogIn) -> None:
        first, second = (logged_in(name, width=width, scripts=scripts) for name in ("desk", "desk2"))
        press(first, latched=True)
        expect(state(first)).to_have_text("LATCHED")
        second.goto(f"{first.url.split('#')[0]}release/")
        second.get_by_label("Why it is released").fill("   ")
        second.get_by_role("button", name="Release").click()
        expect(second.get_by_role("alert").filter(has_text="NOT RELEASED")).to_be_visible()
        expect(second.get_by_label("Why it is released")).to_have_attribute("aria-invalid", "true")
        assert Kill.objects.get().is_held
        second.get_by_label("Why it is released").fill("False alarm")
        second.get_by_role("button", name="Release").click()
        see_flat(second)


class TestTheReleaseForm:
    def test_keeps_what_is_typed_and_the_focus_while_the_page_follows(
        self, simulator: SimulatorProcess, logged_in: LogIn
    ) -> None:
        press(logged_in("desk"), latched=True)
        second = logged_in("desk2")
        second.goto("/kills/")
        second.get_by_role("row", name=containing("latched")).get_by_role("link").click()
        reason = second.get_by_label("Why it is released")
        reason.press_sequentially("False ")
        simulator.control.add_orders(FIRST, order={"side": "SELL", "status": "NEW"})
        expect(second.locator(".loud.late")).to_be_visible()
        reason.press_sequentially("alarm")
        expect(reason).to_have_value("False alarm")
        expect(reason).to_be_focused()
        second.keyboard.press("Enter")
        see_flat(second)

    def test_goes_away_once_somebody_else_has_released(self, logged_in: LogIn) -> None:
        press(logged_in("desk"), latched=True)
        second, third = logged_in("desk2"), logged_in("desk2")
        for page in (second, third):
            page.goto("/kills/")
            page.get_by_role("row", name=containing("latched")).get_by_role("link").click()
            page.get_by_label("Why it is released").fill("False alarm")
        second.get_by_role("button", name="Release").click()
        expect(third.get_by_label("Why it is released")).to_have_count(0)
        see_flat(third)

    def test_is_on_a_page_of_its_own_where_there_are_no_scripts(self, logged_in: LogIn) -> None:
        press(logged_in("desk"), latched=True)
        second = logged_in("desk2", scripts=False)
        second.goto("/kills/")
        second.get_by_role("row", name=containing("latched")).get_by_role("link").click()
        expect(second.get_by_label("Why it is released")).not_to_be_visible()
        second.get_by_role("link", name="Release on a page that holds still").click()
        second.get_by_label("Why it is released").fill("False alarm")
        second.get_by_role("button", name="Release").click()
        see_flat(second)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
class TestADryRun:
    def test_is_said_before_the_press_and_after_it(
        self, scripts: bool, simulator: SimulatorProcess, logged_in: LogIn
    ) -> None:
        page = logged_in("desk", scripts=scripts)
        before = len(simulator.control.book(FIRST, open=True))
        page.goto(f"/kills/new/?account={FIRST}")
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_accessible_name(re.compile(r"^Cancel all orders"))
        expect(page.get_by_role("button", name=containing("DRY RUN"))).to_have_count(0)
        page.get_by_label("dry run").check()
        expect(heading).to_have_accessible_name(re.compile(r"^DRY RUN Nothing is sent"))
        expect(page.get_by_role("button", name="KILL")).to_have_count(0)
        page.get_by_role("radio", name="latched").check()
        expect(page.get_by_text("A dry run cannot be latched")).to_be_visible()
        page.get_by_label("once").check()
        expect(page.get_by_text("A dry run cannot be latched")).not_to_be_visible()
        page.get_by_role("button", name="DRY RUN, nothing is sent").click()
        expect(state(page)).to_have_text("DRY RUN: NOT FLAT")
        expect(page.get_by_role("heading", name="Would have been canceled")).to_be_visible()
        assert len(simulator.control.book(FIRST, open=True)) == before
        assert Kill.objects.get().dry_run

    def test_that_the_address_asks_for_can_be_unticked(self, scripts: bool, logged_in: LogIn) -> None:
        page = logged_in("desk", scripts=scripts)
        page.goto(f"/kills/new/?account={FIRST}&dry_run=on")
        expect(page.get_by_role("button", name="DRY RUN, nothing is sent")).to_be_visible()
        page.get_by_label("dry run").uncheck()
        hold(page, "KILL")
        see_flat(page)
        assert not Kill.objects.get().dry_run
