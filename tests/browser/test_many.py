"""A desk with many accounts and an account with many orders, in Chromium."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Locator, Page, Request, expect

from killswitch.book.models import Account
from killswitch.book.operations import refresh
from killswitch.kills.models import Kill
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import ask_broker_at

from .conftest import hold
from .test_desk import FIRST, containing, log_in, no_sideways_scroll, see_flat

MANY = FIRST + 2  # the account with many orders
ORDERS = 600
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def simulator_process() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--accounts", "3", "--orders", "0", "--cancel-ms", "200") as process:
        process.control.add_orders(MANY, count=ORDERS)
        yield process


@pytest.fixture
def simulator(
    web: str, simulator_process: SimulatorProcess, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> SimulatorProcess:
    ask_broker_at(simulator_process.url, monkeypatch)
    for account_id in (FIRST, FIRST + 1):
        for number in range(12):
            order = {"side": ("BUY", "SELL", "SELL_SHORT")[number % 3], "status": "NEW"}
            simulator_process.control.add_orders(account_id, order=order)
    refresh(requests_per_second=200, now=timezone.now())
    return simulator_process


@pytest.fixture
def accounts(simulator: SimulatorProcess) -> list[int]:
    """Accounts beside those of the simulator, the last one with the largest notional."""
    now = timezone.now()
    ids = list(range(50_001, 50_201))
    Account.objects.bulk_create(
        Account(
            account_id=account_id,
            short_name=f"{('VWAP', 'ARB')[account_id % 2]} {account_id}",
            status="ACTIVE",
            listed_at=now - timedelta(seconds=20),
            tried_at=now,
            is_whole=True,
            open_orders=3,
            notional=Decimal(account_id) * 1_000_000,
            arrivals=[0] * 11 + [account_id % 5],
        )
        for account_id in ids
    )
    return ids


@pytest.fixture
def desk(accounts: list[int], page: Page) -> Page:
    page.set_default_timeout(40_000)
    log_in(page, "desk")
    expect(page).to_have_title(containing("Desk"))
    return page


@pytest.fixture
def account(simulator: SimulatorProcess, page: Page) -> Page:
    """The page of the account with many orders."""
    page.set_default_timeout(40_000)
    log_in(page, "desk")
    page.goto(f"/accounts/{MANY}/")
    return page


def rows(page: Page) -> Locator:
    return page.locator("tbody tr:visible")


def polls(page: Page, count: int) -> None:
    """Wait until the page has asked `count` times by itself, and shown the answers."""
    for _ in range(count):
        with page.expect_response(lambda response: response.request.headers.get("hx-request") == "true"):
            pass
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def is_poll(request: Request) -> bool:
    return request.headers.get("hx-trigger") == "poll"


def shown_orders(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all("tr[id^=order-]", "found => found.map(row => row.id)")
    return found


def follow(page: Page, name: str) -> None:
    """Click a plain link and wait until the page that it leads to is there, down to its last row."""
    with page.expect_navigation():
        page.get_by_role("link", name=name).click()


def scroll_until(page: Page, count: int, seconds: float = 60) -> None:
    """Scroll down, a frame at a time, until so many orders are there or no more come."""
    page.evaluate(
        """async ([count, until]) => {
            const there = () => document.querySelectorAll("tr[id^=order-]").length;
            while (there() < count && document.querySelector("#more-orders") && performance.now() < until) {
                window.scrollTo(0, document.documentElement.scrollHeight);
                await new Promise((done) => requestAnimationFrame(done));
            }
        }""",
        [count, seconds * 1000],
    )
    assert len(shown_orders(page)) >= count


class TestTheDesk:
    def test_is_sorted_by_a_press_on_the_head_of_a_column(self, desk: Page, accounts: list[int]) -> None:
        desk.get_by_role("link", name="Open notional", exact=True).click()
        expect(rows(desk).first).to_contain_text(str(accounts[-1]))
        expect(desk.locator("th:has(#sort-notional)")).to_have_attribute("aria-sort", "descending")
        expect(desk).to_have_url(containing("sort=-notional"))
        polls(desk, 2)
        expect(rows(desk).first).to_contain_text(str(accounts[-1]))
        desk.reload()
        expect(rows(desk).first).to_contain_text(str(accounts[-1]))
        assert no_sideways_scroll(desk)

    def test_finds_accounts_as_one_types_and_keeps_to_it_over_polls(self, desk: Page, accounts: list[int]) -> None:
        desk.get_by_label("Account or name").press_sequentially("arb 5010")
        expect(rows(desk)).to_have_count(5)
        expect(desk.get_by_text("5 of 203 accounts shown")).to_be_visible()
        Account.objects.filter(account_id=50_101).update(open_orders=777, listed_at=timezone.now())
        expect(desk.locator("#row-50101")).to_contain_text("777")
        expect(rows(desk)).to_have_count(5)
        expect(desk.get_by_label("Account or name")).to_be_focused()
        desk.reload()
        expect(rows(desk)).to_have_count(5)
        desk.get_by_label("Account or name").fill("")
        expect(rows(desk)).to_have_count(203)

    def test_keeps_what_is_picked_while_the_desk_follows_is_sorted_and_filtered(
        self, desk: Page, accounts: list[int]
    ) -> None:
        for account_id in (FIRST, 50_002):
            desk.get_by_role("checkbox", name=f"Select account {account_id}", exact=True).check()
        Account.objects.filter(account_id=50_002).update(open_orders=888, listed_at=timezone.now())
        expect(desk.locator("#row-50002")).to_contain_text("888")
        desk.get_by_role("link", name="Account", exact=True).click()
        expect(rows(desk).first).to_contain_text(str(accounts[-1]))
        desk.get_by_label("Account or name").fill("vwap")
        expect(desk.get_by_text("1 of them is not shown by this filter.")).to_be_visible()
        polls(desk, 1)
        expect(desk.get_by_role("checkbox", name="Select account 50002")).to_be_checked()
        desk.get_by_role("button", name="Cancel on the 2 selected").click()
        expect(desk).to_have_url(containing(f"account={FIRST}"))
        expect(desk).to_have_url(containing("account=50002"))
        expect(desk.get_by_role("heading", level=1)).to_contain_text("on 2 accounts")

    def test_picks_all_that_are_shown_and_clears_them(self, desk: Page) -> None:
        desk.get_by_label("Account or name").fill("50010")
        desk.get_by_role("checkbox", name="Select all shown").check()
        desk.get_by_label("Account or name").fill("")
        expect(desk.locator("input[name=account]:checked")).to_have_count(1)
        desk.get_by_role("button", name="Clear").click()
        expect(desk.locator("input[name=account]:checked")).to_have_count(0)
        expect(desk.get_by_role("button", name="Cancel on the selected")).to_be_disabled()

    def test_cancels_on_the_accounts_that_are_picked_and_on_no_other(
        self, desk: Page, simulator: SimulatorProcess
    ) -> None:
        before = len(simulator.control.book(FIRST + 1, open=True))
        desk.get_by_role("checkbox", name=f"Select account {FIRST}", exact=True).check()
        desk.get_by_role("button", name="Cancel on the 1 selected").click()
        hold(desk, "KILL")
        see_flat(desk)
        assert simulator.control.book(FIRST, open=True) == []
        assert len(simulator.control.book(FIRST + 1, open=True)) == before

    def test_gets_little_by_a_poll(self, desk: Page) -> None:
        with desk.expect_response(lambda answer: "has=" in answer.url) as first:
            pass
        assert len(first.value.body()) < 5_000
        Account.objects.filter(account_id=50_150).update(open_orders=4)
        with desk.expect_response(lambda answer: "has=" in answer.url) as second:
            pass
        assert len(second.value.body()) < 50_000


class TestTheDeskWithoutJavaScript:
    def test_is_sorted_filtered_and_picked_from_by_plain_pages(
        self, accounts: list[int], browser: Browser, web: str
    ) -> None:
        context = browser.new_context(java_script_enabled=False, base_url=web)
        page = context.new_page()
        log_in(page, "desk")
        page.get_by_role("link", name="Open notional", exact=True).click()
        expect(rows(page).first).to_contain_text(str(accounts[-1]))
        page.get_by_label("Account or name").fill("5010")
        page.get_by_role("button", name="Filter").click()
        expect(rows(page)).to_have_count(10)
        expect(rows(page).first).to_contain_text("50109")
        page.get_by_role("checkbox", name="Select account 50109").check()
        page.get_by_role("checkbox", name="Select account 50100").check()
        page.get_by_role("button", name="Cancel on the selected").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("on 2 accounts")
        context.close()


class TestTheNarrowest:
    def test_screen_scrolls_in_one_direction_only(self, accounts: list[int], browser: Browser, web: str) -> None:
        context = browser.new_context(viewport={"width": 320, "height": 700}, base_url=web)
        page = context.new_page()
        log_in(page, "desk")
        for address in ("/?q=5010", f"/accounts/{MANY}/", f"/accounts/{FIRST}/?side=SELL", "/accounts/?side=SELL"):
            page.goto(address)
            assert no_sideways_scroll(page), address
        context.close()


class TestTheAccount:
    def test_shows_the_first_orders_at_once_and_more_as_one_scrolls(self, account: Page) -> None:
        expect(account.locator("tr[id^=order-]").first).to_be_visible()
        assert 100 <= len(shown_orders(account)) <= 300
        expect(account.get_by_text(f"Cancel the {ORDERS} that match")).to_be_visible()
        scroll_until(account, 400)
        found = shown_orders(account)
        assert len(found) == len(set(found))
        assert no_sideways_scroll(account)

    def test_filters_by_what_is_typed_and_never_offers_to_cancel_by_another_filter(
        self, account: Page, simulator: SimulatorProcess
    ) -> None:
        prefix = account.get_by_label("Client order id prefix")
        expect(account.locator("#cancel-match")).to_have_attribute("href", containing("/kills/new/"))
        account.route("**/accounts/**client_order_id_prefix**", lambda route: None)  # never answered
        prefix.press_sequentially("vwap")
        expect(account.locator("#cancel-match")).to_have_attribute("aria-disabled", "true")
        assert account.locator("#cancel-match").get_attribute("href") is None
        account.unroute("**/accounts/**client_order_id_prefix**")
        prefix.press_sequentially("-")
        expect(account.locator("#cancel-match")).to_have_attribute("href", containing("client_order_id_prefix=vwap-"))
        ids = [order["client_order_id"] for order in simulator.control.book(MANY, open=True)]
        count = sum(name.startswith("vwap-") for name in ids)
        expect(account.locator("#cancel-match")).to_have_text(f"Cancel the {count:,} that match")
        cells = account.locator("td.id").all_text_contents()
        assert all(text.startswith("vwap-") for text in cells)
        expect(prefix).to_be_focused()
        expect(account).to_have_url(re.compile(r"/\?client_order_id_prefix=vwap-$"))
        polls(account, 1)
        assert all(text.startswith("vwap-") for text in account.locator("td.id").all_text_contents())

    @pytest.mark.parametrize("name", ["filter", "refresh", "sort-symbol"])
    def test_asks_by_hand_before_a_poll_that_is_on_its_way(self, name: str, account: Page) -> None:
        account.route(f"**/accounts/{MANY}/**", lambda route: None if is_poll(route.request) else route.continue_())
        with account.expect_request(is_poll):
            pass
        with account.expect_event("requestfailed", is_poll, timeout=40_000):
            if name == "filter":
                account.get_by_label("Side", exact=True).select_option("SELL")
            else:
                account.locator(f"#{name}").evaluate("link => link.click()")

    def test_says_what_is_wrong_with_a_filter_as_it_is_typed(self, account: Page) -> None:
        field = account.get_by_label("Instruments")
        field.press_sequentially("A$")
        expect(account.locator("#e-instruments")).to_have_text(containing("is no symbol"))
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(account.locator("#cancel-match")).to_have_count(0)
        field.fill("AAPL")
        expect(account.locator("#cancel-match")).to_have_attribute("href", containing("instruments=AAPL"))
        expect(field).not_to_have_attribute("aria-invalid", "true")

    def test_keeps_the_place_and_the_focus_while_an_order_in_sight_goes(
        self, account: Page, simulator: SimulatorProcess
    ) -> None:
        account.locator("tr[id^=order-]").nth(60).scroll_into_view_if_needed()
        link = account.locator("tr[id^=order-] .act a").nth(58)
        link.focus()
        focused = account.evaluate("document.activeElement.href")
        gone = account.locator("tr[id^=order-]").nth(61)
        row_id = gone.get_attribute("id")
        order_id = gone.locator("input").get_attribute("value")
        assert order_id is not None
        place = account.evaluate("scrollY")
        simulator.control.set_order(order_id, status="CANCELED")
        expect(account.locator(f"[id='{row_id}']")).to_have_count(0)
        assert account.evaluate("scrollY") == place
        assert account.evaluate("document.activeElement.href") == focused
        simulator.control.add_orders(MANY, count=1)  # as many as before, for the other tests

    def test_saves_a_filter_and_takes_it_up_again_on_another_account(self, account: Page) -> None:
        account.get_by_label("Side", exact=True).select_option("SELL_SHORT")
        expect(account.locator("#cancel-match")).to_have_attribute("href", containing("side=SELL_SHORT"))
        account.locator("#saved-filters summary").click()
        account.get_by_label("Save the filter that is applied, as").fill("shorts")
        account.get_by_role("button", name="Save").click()
        account.goto(f"/accounts/{FIRST}/")
        account.locator("#saved-filters summary").click()
        account.get_by_role("link", name="shorts").click()
        expect(account.get_by_label("Side", exact=True)).to_have_value("SELL_SHORT")
        expect(account.locator("td.side").first).to_have_text("SELL SHORT")
        account.locator("#saved-filters summary").click()
        account.get_by_role("button", name="Delete the saved filter shorts").click()
        account.locator("#saved-filters summary").click()
        expect(account.get_by_text("None yet.")).to_be_visible()

    def test_copies_every_order_that_matches(self, account: Page) -> None:
        account.context.grant_permissions(["clipboard-read", "clipboard-write"])
        account.get_by_role("link", name=containing("as text")).click()
        expect(account.get_by_text(f"Copied {ORDERS} orders.")).to_be_visible()
        lines = account.evaluate("navigator.clipboard.readText()").splitlines()
        assert len(lines) == ORDERS + 2
        assert lines[0].startswith(f"account {MANY}, all orders: {ORDERS} of {ORDERS}, listed ")

    def test_is_held_still_while_orders_are_selected(self, account: Page, simulator: SimulatorProcess) -> None:
        account.locator("input[name=order_id]").first.check()
        expect(account.get_by_text(containing("Held still"))).to_be_visible()
        seen: list[str] = []
        account.on("request", lambda request: seen.append(request.url))
        account.wait_for_timeout(3_500)  # longer than from one poll to the next
        assert [url for url in seen if "/accounts/" in url and "/rows/" not in url] == []
        with account.expect_response(lambda response: "/accounts/" in response.url):
            account.locator("input[name=order_id]").first.uncheck()


class TestTheAccountWithoutJavaScript:
    def test_goes_on_over_plain_links(self, simulator: SimulatorProcess, browser: Browser, web: str) -> None:
        context = browser.new_context(java_script_enabled=False, base_url=web)
        page = context.new_page()
        log_in(page, "desk")
        page.goto(f"/accounts/{MANY}/?side=SELL")
        first = set(shown_orders(page))
        follow(page, "More orders")
        second = set(shown_orders(page))
        assert (len(first), len(second), first & second) == (100, 100, set())
        expect(page.locator("td.side").first).to_have_text("SELL")
        follow(page, "From the start")
        assert set(shown_orders(page)) == first
        page.get_by_role("link", name=containing("as text")).click()
        expect(page.locator("body")).to_contain_text("all SELL orders")
        context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
class TestTheSameFilter:
    def test_is_used_on_several_accounts(
        self, scripts: bool, simulator: SimulatorProcess, browser: Browser, web: str
    ) -> None:
        context = browser.new_context(java_script_enabled=scripts, base_url=web)
        page = context.new_page()
        log_in(page, "desk")
        page.goto(f"/accounts/{FIRST}/?side=SELL")
        page.get_by_role("link", name="This filter on other accounts").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("all SELL orders")
        for account_id in (FIRST, FIRST + 1):
            page.get_by_role("checkbox", name=f"Select account {account_id}").check()
        page.get_by_role("button", name=containing("Cancel these orders on the")).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("all SELL orders on 2 accounts")
        hold(page, "KILL")
        see_flat(page)
        sides = [
            {order["side"] for order in simulator.control.book(account_id, open=True)}
            for account_id in (FIRST, FIRST + 1)
        ]
        assert sides == [{"BUY", "SELL_SHORT"}] * 2
        assert Kill.objects.get().scope == "all SELL orders on 2 accounts"
        assert any(order["side"] == "SELL" for order in simulator.control.book(MANY, open=True))
        context.close()
