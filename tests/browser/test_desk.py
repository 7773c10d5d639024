"""What a person on the desk does, in Chromium, at desktop and at phone width."""

import re

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from killswitch.audit.models import Entry, Kind
from killswitch.book.operations import refresh
from killswitch.health.verdict import Verdict
from killswitch.kills.models import Kill, State
from killswitch.simulator.process import SimulatorProcess
from tests.health.light import shine
from tests.incident.conftest import end, make_kill

from .conftest import hold

FIRST = 19816
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def desk(simulator: SimulatorProcess, people: dict[str, User], page: Page) -> Page:
    """The desk, logged in, with a fresh book."""
    refresh(requests_per_second=50, now=timezone.now())
    log_in(page, "desk")
    expect(page).to_have_title(containing("Desk"))
    return page


def containing(words: str) -> re.Pattern[str]:
    return re.compile(re.escape(words))


def log_in(page: Page, name: str) -> None:
    page.goto("/login/")
    page.locator("[name=username]").fill(name)
    page.locator("[name=password]").fill("secret-enough")
    page.get_by_role("button", name="Log in").click()


def see_flat(page: Page) -> None:
    expect(page.get_by_text("FLAT", exact=True)).to_be_visible()


def bottom(page: Page, name: str) -> float:
    box = page.locator(name).bounding_box()
    assert box is not None
    return box["y"] + box["height"]


def no_sideways_scroll(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


class TestTheDesk:
    def test_logs_in_presses_and_sees_flat(self, desk: Page, simulator: SimulatorProcess) -> None:
        assert no_sideways_scroll(desk)
        desk.get_by_role("link", name="KILL ALL").click()
        desk.get_by_label("Reason").fill("runaway algorithm")
        hold(desk, "KILL")
        see_flat(desk)
        assert no_sideways_scroll(desk)
        assert simulator.control.book(open=True) == []
        kill = Kill.objects.get()
        assert (kill.reason, kill.engaged_by_name, kill.state) == ("runaway algorithm", "desk", "flat")
        assert Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED).count() == 3

    def test_shows_the_first_account_with_its_notional_at_once(self, desk: Page) -> None:
        shine(Verdict.ARMED, seconds_ago=-600)
        desk.reload()
        assert desk.viewport_size is not None
        row = "#pick tbody tr:first-child"
        assert bottom(desk, f"{row} [data-label='Open notional']") <= desk.viewport_size["height"]
        assert bottom(desk, ".place") < 45

    def test_has_the_field_that_finds_an_account_at_the_edge_of_the_table(self, desk: Page) -> None:
        right = "[...document.querySelectorAll('#seek, #pick')].map((each) => each.getBoundingClientRect().right)"
        field, table = desk.evaluate(right)
        assert abs(field - table) < 2
        desk.locator("#seek").fill("19817")
        expect(desk.locator("#found")).not_to_be_empty()
        assert desk.evaluate(right) == [field, table]

    def test_copies_the_line_for_the_shell(self, desk: Page) -> None:
        kill = make_kill(filter_data={"side": "SELL"})
        kill.sweeps.create(account_id=FIRST, error="HTTP 500 from the broker")
        end(kill, State.NOT_FLAT)
        desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
        desk.goto(f"/kills/{kill.id}/")
        desk.get_by_role("button", name="Copy the line for the shell").click()
        expect(desk.locator("[data-copy]", has_text="Copied")).to_be_visible()
        line = f"python manage.py kill --break-glass --account {FIRST} --side=SELL"
        assert desk.evaluate("navigator.clipboard.readText()") == line
        assert no_sideways_scroll(desk)

    def test_filters_an_account_and_cancels_what_matches(self, desk: Page, simulator: SimulatorProcess) -> None:
        desk.goto(f"/accounts/{FIRST}/")
        assert no_sideways_scroll(desk)
        desk.get_by_label("Side").select_option("SELL")
        desk.get_by_role("button", name="Filter").click()
        desk.get_by_role("button", name=containing("that match")).or_(
            desk.get_by_role("link", name=containing("that match"))
        ).click()
        hold(desk, "KILL")
        see_flat(desk)
        assert {order["side"] for order in simulator.control.book(FIRST, open=True)} == {"BUY", "SELL_SHORT"}

    def test_selects_orders_while_the_table_follows_and_cancels_them(
        self, desk: Page, simulator: SimulatorProcess
    ) -> None:
        desk.goto(f"/accounts/{FIRST}/")
        boxes = desk.locator("input[name=order_id]")
        chosen = {boxes.nth(number).get_attribute("value") for number in (0, 1)}
        boxes.nth(0).check()
        boxes.nth(1).check()
        with desk.expect_event("framenavigated"):
            desk.get_by_role("button", name=containing("Cancel selected")).click()
        hold(desk, "KILL")
        see_flat(desk)
        gone = {o["id"] for o in simulator.control.book(FIRST) if o["status"] == "CANCELED" and o["id"] in chosen}
        assert gone == chosen

    def test_stops_asking_once_the_kill_has_ended(self, desk: Page) -> None:
        desk.goto(f"/kills/new/?account={FIRST}")
        hold(desk, "KILL")
        see_flat(desk)
        assert desk.locator("#kill").get_attribute("hx-trigger") is None
        # Both bars were drawn while it ran: what morphing makes anew must be a drawing, too.
        expect(desk.locator("svg.bar")).to_have_count(2)
        drawn = "bars => bars.every((bar) => bar instanceof SVGSVGElement && bar.viewBox.baseVal.width === 1000)"
        assert desk.eval_on_selector_all(".bar", drawn)


class TestWithoutJavaScript:
    def test_every_step_is_a_plain_page(
        self, simulator: SimulatorProcess, people: dict[str, User], browser: Browser, web: str
    ) -> None:
        refresh(requests_per_second=50, now=timezone.now())
        context = browser.new_context(java_script_enabled=False, base_url=web)
        page = context.new_page()
        log_in(page, "desk")
        page.get_by_role("link", name=str(FIRST)).first.click()
        page.get_by_label("Side").select_option("BUY")
        page.get_by_role("button", name="Filter").click()
        page.get_by_role("button", name=containing("that match")).or_(
            page.get_by_role("link", name=containing("that match"))
        ).click()
        hold(page, "KILL")
        see_flat(page)
        assert "BUY" not in {order["side"] for order in simulator.control.book(FIRST, open=True)}
        context.close()


class TestTheOthers:
    @pytest.mark.parametrize("name", ["compliance", "admin"])
    def test_see_no_button_that_kills(
        self, simulator: SimulatorProcess, people: dict[str, User], page: Page, name: str
    ) -> None:
        refresh(requests_per_second=50, now=timezone.now())
        log_in(page, name)
        page.goto("/")
        expect(page.get_by_role("link", name=str(FIRST)).first).to_be_visible()
        assert page.get_by_text(containing("KILL")).count() == 0
