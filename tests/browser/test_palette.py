"""Going by words, and the clocks, in Chromium."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Locator, Page, expect

from killswitch.book.operations import refresh
from killswitch.kills.models import Kill
from killswitch.simulator.process import SimulatorProcess
from tests.incident.conftest import make_kill

from .conftest import FIRST, WIDTHS
from .test_desk import containing, log_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Open = Callable[..., Page]


@pytest.fixture
def desk(simulator: SimulatorProcess, people: dict[str, User], page: Page) -> Page:
    simulator.control.add_orders(FIRST, order={"symbol": "TSLA", "client_order_id": "algo-momentum-000001"})
    refresh(requests_per_second=50, now=timezone.now())
    log_in(page, "desk")
    expect(page).to_have_title(containing("Desk"))
    return page


def words_of(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Go to")


class TestThePalette:
    def test_leads_from_a_key_and_words_to_a_confirmation_and_fires_nothing(self, desk: Page) -> None:
        desk.keyboard.press("/")
        expect(words_of(desk)).to_be_focused()
        desk.keyboard.type("kill tsl")
        expect(desk.get_by_role("option").first).to_contain_text("kill TSLA confirm: all orders in TSLA")
        desk.keyboard.press("Enter")
        expect(desk.get_by_role("heading", level=1)).to_contain_text("in TSLA on all accounts")
        assert not Kill.objects.exists()

    def test_goes_to_the_line_that_the_arrows_mark(self, desk: Page) -> None:
        desk.keyboard.press("Control+k")
        desk.keyboard.type("kill algo")
        first = desk.get_by_role("option").first
        expect(first).to_contain_text("kill algo-momentum-")
        expect(first).to_have_attribute("aria-selected", "true")
        desk.keyboard.type(" 1981")
        expect(desk.get_by_role("option")).to_have_count(0)  # “algo” is half a word, and no longer the last one
        words_of(desk).fill("account 198")
        expect(desk.get_by_role("option")).to_have_count(3)
        desk.keyboard.press("ArrowDown")
        expect(words_of(desk)).to_have_attribute("aria-activedescendant", "palette-choice-1")
        desk.keyboard.press("Enter")
        expect(desk).to_have_url(containing(f"/accounts/{FIRST + 1}/"))

    def test_asks_the_server_where_enter_comes_before_the_proposals(self, desk: Page) -> None:
        desk.route("**/go.json*", lambda route: route.abort())
        desk.keyboard.press("/")
        desk.keyboard.type(f"account {FIRST}")
        desk.keyboard.press("Enter")
        expect(desk).to_have_url(containing(f"/accounts/{FIRST}/"))

    def test_leaves_a_slash_where_somebody_types(self, desk: Page) -> None:
        desk.goto(f"/accounts/{FIRST}/")
        field = desk.get_by_label("Instruments")
        field.press_sequentially("BF/B?")
        expect(field).to_have_value("BF/B?")
        expect(desk.locator("dialog[open]")).to_have_count(0)

    def test_gives_the_focus_back_when_it_is_closed(self, desk: Page) -> None:
        desk.get_by_role("link", name="Kills", exact=True).focus()
        desk.keyboard.press("/")
        expect(words_of(desk)).to_be_focused()
        desk.keyboard.press("Escape")
        expect(words_of(desk)).not_to_be_visible()
        expect(desk.get_by_role("link", name="Kills", exact=True)).to_be_focused()

    def test_closes_where_it_leads_to_another_place_of_the_same_page(self, desk: Page) -> None:
        kill = make_kill(latched=True, state="latched", engaged_by_id=None)
        desk.goto(f"/kills/{kill.id}/release/")
        desk.keyboard.press("/")
        desk.keyboard.type("release")
        expect(desk.get_by_role("option").first).to_contain_text("release all orders")
        desk.keyboard.press("Enter")
        expect(desk).to_have_url(containing("#release"))
        expect(words_of(desk)).not_to_be_visible()
        expect(desk.get_by_role("heading", name="Release")).to_be_in_viewport()

    def test_leads_to_a_confirmation_on_which_the_key_that_is_still_held_fires_nothing(self, desk: Page) -> None:
        desk.keyboard.press("/")
        desk.keyboard.type("kill tsla")
        expect(desk.get_by_role("option").first).to_contain_text("kill TSLA")
        desk.keyboard.down("Enter")
        expect(desk).to_have_url(containing("/kills/new/"))
        for _ in range(3):
            desk.keyboard.down("Enter")  # as a key repeats that is held
        desk.keyboard.up("Enter")
        assert desk.request.get("/healthz").ok
        expect(desk).to_have_url(containing("/kills/new/"))
        assert not Kill.objects.exists()
        for key in ("Tab", "Tab", "Enter", "Tab"):
            desk.keyboard.press(key)
        expect(desk.locator("#hold")).to_be_focused()

    def test_logs_out(self, desk: Page) -> None:
        desk.keyboard.press("/")
        desk.keyboard.type("log out")
        expect(desk.get_by_role("option").first).to_contain_text("log out")
        desk.keyboard.press("Enter")
        expect(desk.get_by_role("heading", name="Log in")).to_be_visible()

    def test_lists_its_keys_on_a_key_that_can_be_switched_off(self, desk: Page) -> None:
        desk.keyboard.press("?")
        expect(desk.get_by_role("dialog", name="Keys")).to_be_visible()
        desk.get_by_label("single keys").uncheck()
        desk.get_by_role("button", name="Close").click()
        desk.reload()
        desk.keyboard.press("/")
        desk.keyboard.press("?")
        expect(desk.locator("dialog[open]")).to_have_count(0)
        desk.keyboard.press("Control+k")
        expect(words_of(desk)).to_be_focused()


@pytest.fixture
def opened(browser: Browser, web: str, people: dict[str, User], simulator: SimulatorProcess) -> Iterator[Open]:
    """Log the desk in, in a browser window with options of its own."""
    contexts = []

    def make(**options: Any) -> Page:
        context = browser.new_context(viewport=WIDTHS["desktop"], base_url=web, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(40_000)
        log_in(page, "desk")
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    ("words", "heading"), [(f"account {FIRST}", f"Account {FIRST}"), ("kill tst-vwap-01", f"on account {FIRST + 1}")]
)
def test_words_lead_to_pages_without_a_script(words: str, heading: str, opened: Open) -> None:
    refresh(requests_per_second=50, now=timezone.now())
    page = opened(java_script_enabled=False)
    page.get_by_role("search").get_by_label("Go to").fill(words)
    page.get_by_role("search").get_by_role("button", name="Go").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
    page.get_by_role("search").get_by_label("Go to").fill("kill ts")
    page.get_by_role("search").get_by_role("button", name="Go").click()
    page.get_by_role("listitem").get_by_role("link", name=f"kill {FIRST + 1}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"on account {FIRST + 1}")


class TestTheClocks:
    def test_stand_in_three_places_by_the_servers_time(self, opened: Open) -> None:
        page = opened(timezone_id="Asia/Tokyo")
        # The reader's own clock is a day off, which must not show.
        page.clock.install(time=datetime.now(UTC) + timedelta(days=1, hours=3))
        page.goto("/kills/")
        clocks = page.locator("#clocks")
        expect(clocks).to_contain_text("yours")
        shown = clocks.locator("time").all_inner_texts()
        now = datetime.now(UTC)
        for text, zone in zip(shown, ("UTC", "America/New_York", "Asia/Tokyo"), strict=True):
            there = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            seen = datetime.combine(there.date(), datetime.strptime(text, "%H:%M:%S").time())  # noqa: DTZ007
            assert abs((seen - there).total_seconds()) < 5

    def test_go_on(self, opened: Open) -> None:
        page = opened()
        first = page.locator("#clocks time").first
        before = first.inner_text()
        expect(first).not_to_have_text(before)

    def test_show_no_third_one_to_a_reader_in_new_york(self, opened: Open) -> None:
        page = opened(timezone_id="America/New_York")
        expect(page.locator("#clocks")).to_contain_text("New York")
        expect(page.locator("#clocks").get_by_text("yours")).not_to_be_visible()

    def test_are_there_for_new_york_without_a_script(self, opened: Open) -> None:
        page = opened(java_script_enabled=False)
        there = datetime.now(UTC).astimezone(ZoneInfo("America/New_York"))
        expect(page.locator("#clocks")).to_contain_text(f"{there:%H:}")
        expect(page.locator("#clocks").get_by_text("yours")).not_to_be_visible()


def test_the_times_that_matter_have_new_yorks_and_the_readers_beside_them(opened: Open) -> None:
    page = opened(timezone_id="Asia/Tokyo")
    page.goto(f"/kills/new/?account={FIRST}&dry_run=on")
    page.locator("form.confirm").evaluate("form => form.submit()")
    page.wait_for_url(containing("/kills/"))
    expect(page.get_by_text("Ended at")).to_be_visible()
    kill = Kill.objects.get()
    assert kill.ended_at is not None
    for at in (kill.engaged_at, kill.ended_at):
        there, yours = (at.astimezone(ZoneInfo(zone)) for zone in ("America/New_York", "Asia/Tokyo"))
        line = page.locator("dd", has_text=f"{at:%H:%M:%S.%f}")
        expect(line).to_contain_text(f"{there:%H:%M:%S} New York")
        expect(line).to_contain_text(f"{yours:%H:%M:%S} yours")
        line.locator("time").hover()
        expect(line.locator("time")).to_have_attribute("title", containing("yours"))
