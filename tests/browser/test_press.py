"""The press, in Chromium: the hold, what it says before and after, and every way of NOT SENT."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.utils import timezone
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from killswitch.audit.models import Entry, Kind
from killswitch.book.operations import refresh
from killswitch.demo.__main__ import answers
from killswitch.kills.models import Kill
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import database_url, end, start, unrecorded, wait_for

from .chromium import WIDTHS, hold_and_let_go
from .conftest import FIRST, any_port, hold
from .test_desk import containing, log_in, no_sideways_scroll

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ADDRESS = f"/kills/new/?account={FIRST}"
KILL_PAGE = re.compile(r"/kills/[0-9a-f-]{36}/$")
EARLY = "Let go too early: nothing was sent"
EARLIER = "Too early: nothing was sent. Press again."
UNKNOWN = "NO ANSWER: it may or may not have been sent"
LINE = f"python manage.py kill --break-glass --account {FIRST}"
SETTLED_MS = 45_000


class Server:
    """A web process of one test's own: it may be ended, frozen and started again."""

    def __init__(self, broker: str) -> None:
        self.bind = f"127.0.0.1:{any_port()}"
        self.url = f"http://{self.bind}"
        self._environment = {
            "CLEAR_STREET_BASE_URL": broker,
            "DATABASE_URL": database_url(),
            "WEB_BIND": self.bind,
            "WEB_WORKERS": "1",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "-c", "killswitch/gunicorn.conf.py", "killswitch.wsgi"]
        self._process = start(command, self._environment)
        wait_for(lambda: answers(f"{self.url}/healthz"), "the web process")

    def stop(self) -> None:
        if self._process is not None:
            self.tell(signal.SIGCONT)
            end(self._process)
            self._process = None

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to everything that answers requests."""
        assert self._process is not None
        pid = self._process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), number)


@pytest.fixture
def server(simulator: SimulatorProcess) -> Iterator[Server]:
    server = Server(simulator.url)
    server.start()
    yield server
    server.stop()


Open = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, people: dict[str, User], simulator: SimulatorProcess, web: str) -> Iterator[Open]:
    """Open the confirmation of a kill of one account in a window of its own, logged in."""
    contexts = []

    def make(width: str = "desktop", *, url: str = web, scripts: bool = True, address: str = ADDRESS, **o: Any) -> Page:
        refresh(requests_per_second=50, now=timezone.now())
        size: Any = WIDTHS[width]
        context = browser.new_context(viewport=size, base_url=url, java_script_enabled=scripts, **o)
        context.set_default_timeout(40_000)
        contexts.append(context)
        page = context.new_page()
        log_in(page, "desk")
        page.goto(address)
        return page

    yield make
    for context in contexts:
        context.close()


def button(page: Page) -> Locator:
    return page.locator("#hold")


def said(page: Page) -> Locator:
    return page.locator("#hold-said")


def trouble(page: Page) -> Locator:
    return page.locator("#not-sent")


def posts(page: Page) -> list[str]:
    """Collect what is sent to the server that is not only asked."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    return sent


def press(page: Page) -> None:
    hold_and_let_go(page, button(page))


def was_one_kill() -> bool:
    return Kill.objects.count() == 1 and Entry.objects.filter(kind=Kind.KILL_ENGAGED).count() == 1


def nothing_was_sent(page: Page) -> None:
    """Assert it after a round trip: what had been sent before it would have arrived."""
    assert page.request.get("/healthz").ok
    expect(page).to_have_url(containing("/kills/new/"))
    assert not Kill.objects.exists()


@pytest.mark.parametrize("width", WIDTHS)
class TestTheHold:
    def test_fires_when_it_is_let_go_and_not_before(self, width: str, opened: Open) -> None:
        page = opened(width)
        sent = posts(page)
        button(page).hover()
        page.mouse.down()
        expect(button(page)).to_have_attribute("data-hold", "full")
        expect(said(page)).to_contain_text("Full: let go to send")
        assert page.request.get("/healthz").ok
        assert sent == []
        page.mouse.up()
        expect(page).to_have_url(KILL_PAGE)
        assert len(sent) == 1
        assert was_one_kill()

    def test_let_go_early_sends_nothing_and_says_so(self, width: str, opened: Open) -> None:
        page = opened(width)
        sent = posts(page)
        button(page).hover()
        page.mouse.down()
        expect(button(page)).to_have_attribute("data-hold", "filling")
        page.mouse.up()
        expect(said(page)).to_contain_text(EARLY)
        button(page).click()
        expect(said(page)).to_contain_text(EARLY)
        assert sent == []
        nothing_was_sent(page)

    def test_takes_a_finger(self, width: str, opened: Open) -> None:
        page = opened(width, has_touch=True)
        button(page).scroll_into_view_if_needed()
        box = button(page).bounding_box()
        assert box
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        touch = page.context.new_cdp_session(page)

        def finger(kind: str, *points: dict[str, float]) -> None:
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

        expect(button(page)).to_have_css("pointer-events", "auto")
        finger("touchStart", point)
        expect(button(page)).to_have_attribute("data-hold", "filling")
        finger("touchEnd")
        expect(said(page)).to_contain_text(EARLY)
        nothing_was_sent(page)
        finger("touchStart", point)
        expect(button(page)).to_have_attribute("data-hold", "full")
        finger("touchMove", {"x": point["x"], "y": 5})
        expect(said(page)).to_contain_text("Moved off")
        finger("touchEnd")
        nothing_was_sent(page)
        finger("touchStart", point)
        expect(button(page)).to_have_attribute("data-hold", "full")
        finger("touchEnd")
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()

    @pytest.mark.parametrize("key", [" ", "Enter"])
    def test_takes_a_key_and_counts_its_repeats_for_nothing(self, key: str, width: str, opened: Open) -> None:
        page = opened(width)
        sent = posts(page)
        expect(button(page)).to_have_css("pointer-events", "auto")
        button(page).focus()
        page.keyboard.down(key)
        page.keyboard.down(key)  # as a key repeats that is held
        page.keyboard.up(key)
        expect(said(page)).to_contain_text(EARLY)
        assert sent == []
        nothing_was_sent(page)
        page.keyboard.down(key)
        expect(button(page)).to_have_attribute("data-hold", "full")
        page.keyboard.down(key)
        assert sent == []
        page.keyboard.up(key)
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()

    def test_is_stopped_by_moving_off_escape_and_whatever_takes_the_attention(self, width: str, opened: Open) -> None:
        page = opened(width)
        ways: list[tuple[Callable[[], object], str]] = [
            (lambda: page.mouse.move(5, 5), "Moved off"),
            (lambda: page.keyboard.press("Escape"), "Stopped"),
            (lambda: page.keyboard.press("Tab"), "Lost the focus"),
            (lambda: page.evaluate("dispatchEvent(new Event('blur'))"), "The window lost the focus"),
            (lambda: page.mouse.down(button="right"), "Another button"),
        ]
        for stop, words in ways:
            button(page).hover()
            page.mouse.down()
            expect(button(page)).to_have_attribute("data-hold", "full")
            stop()
            expect(said(page)).to_contain_text(words)
            page.mouse.up()
            expect(button(page)).to_have_attribute("data-hold", "")
            nothing_was_sent(page)

    def test_is_said_in_words_where_motion_is_not_wanted(self, width: str, opened: Open) -> None:
        page = opened(width, reduced_motion="reduce")
        expect(page.locator(".ring")).not_to_be_visible()
        expect(page.locator("[data-steps]")).to_have_text("0/4")
        button(page).hover()
        page.mouse.down()
        expect(page.locator("[data-steps]")).to_have_text("4/4")
        page.mouse.up()
        expect(page).to_have_url(KILL_PAGE)


REWIND = """() => {
  const [armed] = document.querySelector("form.confirm").getAnimations();
  armed.pause();
  armed.currentTime = 100;
}"""
PLAY = "document.querySelector('form.confirm').getAnimations()[0].finish()"


@pytest.mark.parametrize("width", WIDTHS)
class TestTooEarly:
    """What is pressed in the moment after the page has opened, in which nothing can be."""

    def test_a_pointer_is_told_so_and_fires_nothing_however_long_it_is_held(self, width: str, opened: Open) -> None:
        page = opened(width)
        sent = posts(page)
        button(page).hover()
        page.evaluate(REWIND)
        page.mouse.down()
        expect(page.get_by_role("status").filter(has_text=EARLIER)).to_be_visible()
        page.evaluate(PLAY)
        expect(button(page)).to_have_css("pointer-events", "auto")
        long_enough(page)
        page.mouse.up()
        expect(said(page)).to_contain_text(EARLIER)
        assert sent == []
        nothing_was_sent(page)
        press(page)
        expect(page).to_have_url(KILL_PAGE)

    def test_a_finger_is_told_so(self, width: str, opened: Open) -> None:
        page = opened(width, has_touch=True)
        button(page).scroll_into_view_if_needed()
        box = button(page).bounding_box()
        assert box
        page.evaluate(REWIND)
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(said(page)).to_contain_text(EARLIER)
        nothing_was_sent(page)

    @pytest.mark.parametrize("key", [" ", "Enter"])
    def test_a_key_is_told_so_and_fires_nothing_however_long_it_is_held(
        self, key: str, width: str, opened: Open
    ) -> None:
        page = opened(width)
        sent = posts(page)
        page.evaluate(REWIND)
        button(page).focus()
        page.keyboard.down(key)
        expect(said(page)).to_contain_text(EARLIER)
        page.evaluate(PLAY)
        page.keyboard.down(key)  # as a key repeats that is held
        long_enough(page)
        page.keyboard.up(key)
        expect(said(page)).to_contain_text(EARLIER)
        assert sent == []
        nothing_was_sent(page)

    def test_a_dry_run_is_told_so_too(self, width: str, opened: Open) -> None:
        page = opened(width, address=f"{ADDRESS}&dry_run=on")
        page.locator("#rehearse").hover()
        page.evaluate(REWIND)
        page.mouse.down()
        page.mouse.up()
        expect(said(page)).to_contain_text(EARLIER)
        nothing_was_sent(page)

    def test_what_went_down_before_the_page_was_there_is_told_so(self, width: str, opened: Open) -> None:
        page = opened(width, address="/help/")
        page.mouse.down()
        page.goto(ADDRESS)
        expect(button(page)).to_have_css("pointer-events", "auto")
        button(page).hover()
        page.mouse.up()
        expect(said(page)).to_contain_text(EARLIER)
        nothing_was_sent(page)


def long_enough(page: Page) -> None:
    """Let a second go by, by the page's own clock: what is held would be full."""
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 1100))")


@pytest.mark.parametrize("width", WIDTHS)
class TestTheWayToTheButtonByKeys:
    @pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
    def test_is_short_and_a_key_that_is_still_held_fires_nothing(self, scripts: bool, width: str, opened: Open) -> None:
        page = opened(width, scripts=scripts)
        sent = posts(page)
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the button")).to_be_focused()
        page.keyboard.down("Enter")
        for _ in range(3):
            page.keyboard.down("Enter")  # as a key repeats that is held
        page.keyboard.up("Enter")
        expect(page.locator("#press")).to_be_focused()
        assert sent == []
        nothing_was_sent(page)
        page.keyboard.press("Tab")
        expect(button(page)).to_be_focused()


@pytest.mark.parametrize("width", WIDTHS)
class TestWithoutHolding:
    def test_a_click_of_assistive_technology_leads_to_a_plain_step(self, width: str, opened: Open) -> None:
        page = opened(width)
        expect(button(page)).to_have_accessible_description(containing("press without holding"))
        send = page.get_by_role("button", name="Send it")
        expect(send).not_to_be_visible()
        button(page).evaluate("each => each.click()")
        sure = page.get_by_label("Yes, cancel these orders")
        expect(sure).to_be_focused()
        expect(send).to_be_disabled()
        nothing_was_sent(page)
        sure.press("Enter")
        nothing_was_sent(page)
        sure.check()
        send.press("Enter")
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()

    @pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
    def test_enter_in_a_field_fires_nothing(self, scripts: bool, width: str, opened: Open) -> None:
        page = opened(width, scripts=scripts)
        reason = page.locator("#f-reason")
        reason.fill("Runaway algorithm")
        reason.press("Enter")
        page.get_by_role("radio", name="latched").press("Enter")
        nothing_was_sent(page)
        expect(reason).to_have_value("Runaway algorithm")

    def test_is_a_plain_button_where_there_are_no_scripts(self, width: str, opened: Open) -> None:
        page = opened(width, scripts=False)
        for left_out in (".unheld", "#reach-changes", ".reasons", ".ring"):
            expect(page.locator(left_out)).not_to_be_visible()
        page.get_by_role("radio", name="latched").check()
        page.locator("#f-reason").fill("Market event")
        assert no_sideways_scroll(page)
        hold(page, "KILL")
        kill = Kill.objects.get()
        assert (kill.latched, kill.reason) == (True, "Market event")


TRIGGERS: dict[str, tuple[str, Callable[[Page], Locator]]] = {
    "desk, all": ("/", lambda page: page.get_by_role("link", name="KILL ALL")),
    "desk, one account": ("/", lambda page: page.locator(f"#kill-{FIRST}")),
    "account, what matches": (f"/accounts/{FIRST}/", lambda page: page.locator("#cancel-match")),
    "account, one order": (f"/accounts/{FIRST}/", lambda page: page.get_by_label(containing("Cancel order")).first),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TRIGGERS)
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_double_click_on_what_leads_to_the_button_cannot_fire_it(
    scripts: bool, name: str, width: str, opened: Open
) -> None:
    address, find = TRIGGERS[name]
    page = opened(width, scripts=scripts, address=address)
    trigger = find(page)
    trigger.scroll_into_view_if_needed()
    box = trigger.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(x, y)
    page.wait_for_url("**/kills/new/**", wait_until="commit")
    button(page).wait_for(state="attached")
    page.mouse.click(x, y)
    nothing_was_sent(page)
    expect(button(page)).to_be_visible()
    if width == "desktop":
        confirm = button(page).bounding_box()
        assert confirm
        assert confirm["x"] + confirm["width"] < box["x"]


@pytest.mark.parametrize("width", WIDTHS)
class TestTheSentence:
    def test_follows_the_book_and_moves_nothing(self, width: str, opened: Open, simulator: SimulatorProcess) -> None:
        page = opened(width)
        sentence, changes = page.locator("#reach-sentence"), page.locator("#reach-changes")
        before = sentence.inner_text()
        expect(changes).to_contain_text("nothing has changed")
        page.locator("#f-reason").fill("Runaway")
        places = [page.locator(name).bounding_box() for name in ("#hold", "#f-reason", "#f-latched")]

        gone = simulator.control.book(FIRST, open=True)[0]
        simulator.control.fill(gone["id"])
        for _ in range(3):
            order = {"side": "BUY", "order_type": "STOP", "limit_price": None, "stop_price": "400", "symbol": "AAPL"}
            simulator.control.add_orders(FIRST, order={**order, "quantity": "100", "status": "NEW"})
        refresh(requests_per_second=50, now=timezone.now())
        expect(changes).to_contain_text("+3 orders, 1 gone, notional")
        expect(sentence).to_contain_text("of them protect positions (stops)")
        assert sentence.inner_text() != before
        assert places == [page.locator(name).bounding_box() for name in ("#hold", "#f-reason", "#f-latched")]
        expect(page.locator("#f-reason")).to_have_value("Runaway")
        expect(page.locator("#f-reason")).to_be_focused()
        assert no_sideways_scroll(page)

    def test_holds_still_while_the_button_is_held(self, width: str, opened: Open, simulator: SimulatorProcess) -> None:
        page = opened(width)
        expect(page.locator("#reach-changes")).to_contain_text("nothing has changed")
        button(page).hover()
        page.mouse.down()
        expect(page.locator("#reach")).to_have_attribute("data-held", "")
        expect(button(page)).to_have_attribute("data-hold", "full")
        page.mouse.up()
        expect(page).to_have_url(KILL_PAGE)

    def test_says_that_the_log_in_has_expired_without_leaving(self, width: str, opened: Open) -> None:
        page = opened(width)
        page.locator("#f-reason").fill("Runaway")
        Session.objects.all().delete()
        expect(page.locator("#logged-out")).to_be_visible()
        expect(page.locator("#f-reason")).to_have_value("Runaway")
        expect(button(page)).to_be_visible()
        assert no_sideways_scroll(page)


@pytest.mark.parametrize("width", WIDTHS)
class TestNotSent:
    def test_no_answer_in_time_is_not_known_and_trying_again_is_the_same_press(
        self, width: str, opened: Open, server: Server
    ) -> None:
        page = opened(width, url=server.url)
        server.tell(signal.SIGSTOP)
        press(page)
        expect(button(page)).to_contain_text("Sending")
        expect(trouble(page)).to_contain_text(UNKNOWN)
        expect(trouble(page)).to_contain_text("did not answer within 8 seconds")
        expect(page.get_by_role("alert").filter(has_text=UNKNOWN)).to_be_visible()
        expect(trouble(page)).to_contain_text("the server does not answer")
        expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_have_count(0)
        assert no_sideways_scroll(page)
        server.tell(signal.SIGCONT)
        page.get_by_role("button", name="Try again").click()
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL lets nobody wait for as long as that")
    def test_a_press_that_is_still_on_its_way_is_not_said_to_be_lost(self, width: str, opened: Open) -> None:
        page = opened(width)
        with transaction.atomic():  # nobody else can write, and everybody can read
            press(page)
            expect(trouble(page)).to_contain_text("It may still be on its way")
            expect(trouble(page)).to_contain_text(UNKNOWN)
            expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_have_count(0)
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()

    def test_a_lost_server_is_not_known_and_trying_again_is_the_same_press(
        self, width: str, opened: Open, server: Server
    ) -> None:
        page = opened(width, url=server.url)
        page.get_by_role("radio", name="latched").check()
        server.stop()
        press(page)
        expect(trouble(page)).to_contain_text(UNKNOWN)
        expect(trouble(page)).to_contain_text("The connection to the server was lost")
        expect(trouble(page).locator("[data-line]")).to_have_text(f"{LINE} --latched")
        again = page.get_by_role("button", name="Try again")
        again.click()
        expect(trouble(page)).to_contain_text(UNKNOWN)
        server.start()
        again.click()
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()
        assert Kill.objects.get().latched

    def test_an_answer_lost_on_its_way_is_found_by_the_key(self, width: str, opened: Open) -> None:
        page = opened(width)

        def lose(route: Route) -> None:
            if route.request.method == "POST":
                route.fetch()
                route.abort()
            else:
                route.continue_()

        page.route("**/kills/", lose)
        press(page)
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()

    def test_an_expired_log_in_is_said_and_never_swapped_in(self, width: str, opened: Open) -> None:
        page = opened(width)
        page.locator("#f-reason").fill("Runaway")
        Session.objects.all().delete()
        press(page)
        expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_be_visible()
        expect(trouble(page)).to_contain_text("You were logged out")
        expect(trouble(page).locator("[data-line]")).to_have_text(LINE)
        nothing_was_sent_as_the_page_says(page)
        assert page.locator("[name=password]").count() == 0
        with page.context.expect_page() as waiting:
            trouble(page).get_by_role("link", name="Log in in a new tab").click()
        log_in(waiting.value, "desk")
        expect(waiting.value).to_have_title(containing("Desk"))
        page.get_by_role("button", name="Try again").click()
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()
        assert Kill.objects.get().reason == "Runaway"

    def test_a_broken_server_is_asked_whether_it_was_sent_after_all(self, width: str, opened: Open) -> None:
        page = opened(width)
        with no_audit_table():
            press(page)
            expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_be_visible()
            expect(trouble(page)).to_contain_text("The server broke (error 500)")
        nothing_was_sent_as_the_page_says(page)
        page.get_by_role("button", name="Try again").click()
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()

    def test_a_broken_server_that_cannot_say_leaves_it_unknown(self, width: str, opened: Open) -> None:
        page = opened(width)
        with no_table("kills_kill"):
            press(page)
            expect(trouble(page)).to_contain_text(UNKNOWN)
            expect(trouble(page)).to_contain_text("the server answers with an error (500)")
            expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_have_count(0)
        expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_be_visible()
        assert not Kill.objects.exists()

    def test_whoever_may_not_is_told_so(self, width: str, opened: Open, people: dict[str, User]) -> None:
        page = opened(width)
        with unrecorded():
            people["desk"].groups.clear()
        press(page)
        expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_be_visible()
        expect(trouble(page)).to_contain_text("You may not engage a kill")
        assert not Kill.objects.exists()
        with page.expect_response(lambda answer: answer.headers.get("hx-refresh") == "true"):
            pass  # a poll is refused, too
        page.wait_for_function("() => !document.querySelector('.htmx-request')")
        expect(trouble(page)).to_contain_text("You may not engage a kill")

    def test_a_form_that_has_expired_is_told_and_goes_through_with_a_new_token(self, width: str, opened: Open) -> None:
        page = opened(width)
        page.context.clear_cookies(name="csrftoken")
        press(page)
        expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_be_visible()
        expect(trouble(page)).to_contain_text("The form had expired")
        nothing_was_sent_as_the_page_says(page)
        page.get_by_role("button", name="Try again").click()
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()

    def test_a_refused_field_is_named_and_can_be_put_right(self, width: str, opened: Open) -> None:
        page = opened(width)
        page.locator("#f-reason").fill("x" * 10_001)
        press(page)
        expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_be_visible()
        expect(trouble(page)).to_contain_text("Reason: is longer than 10,000 characters: shorten it")
        nothing_was_sent_as_the_page_says(page)
        page.locator("#f-reason").fill("shorter")
        press(page)
        expect(page).to_have_url(KILL_PAGE)
        assert Kill.objects.get().reason == "shorter"


def test_what_is_not_there_long_after_was_not_sent(opened: Open, server: Server) -> None:
    page = opened(url=server.url)
    server.stop()
    press(page)
    expect(trouble(page)).to_contain_text(UNKNOWN)
    server.start()
    expect(trouble(page)).to_contain_text("It may still be on its way")
    expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_have_count(0)
    expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_be_visible(timeout=SETTLED_MS)
    assert not Kill.objects.exists()
    press(page)
    expect(page).to_have_url(KILL_PAGE)
    assert was_one_kill()


@pytest.mark.parametrize("status", [503, 520])
def test_an_error_of_something_in_between_leaves_it_on_its_way(status: int, opened: Open) -> None:
    page = opened()
    page.route("**/kills/", lambda route: route.fulfill(status=status))
    press(page)
    expect(trouble(page)).to_contain_text("It may still be on its way")
    expect(trouble(page)).to_contain_text(UNKNOWN)
    expect(trouble(page)).to_contain_text(f"Something between here and the server gave up (error {status})")


def test_trying_again_repeats_what_was_pressed_and_no_other_choice(opened: Open) -> None:
    page = opened()
    sent = posts(page)
    dry_run, again = page.get_by_role("checkbox", name="dry run"), page.get_by_role("button", name="Try again")
    dry_run.check()
    page.context.clear_cookies(name="csrftoken")
    page.get_by_role("button", name="DRY RUN, nothing is sent").click()
    expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_be_visible()
    dry_run.uncheck()
    again.click()
    expect(trouble(page)).to_contain_text("The choices have changed: press the button itself.")
    expect(button(page)).to_be_focused()
    nothing_was_sent(page)
    assert len(sent) == 1
    dry_run.check()
    again.click()
    expect(page).to_have_url(KILL_PAGE)
    assert Kill.objects.get().dry_run


def press_that_arrives_and_is_not_answered(page: Page) -> None:
    """Press so that the server gets it, while the page hears of a fault and cannot look what became of it."""
    held_up: list[Request] = []

    def hold_up(route: Route) -> None:
        held_up.append(route.request)
        route.fulfill(status=500)

    page.route("**/kills/", hold_up, times=1)
    press(page)
    expect(trouble(page).get_by_role("heading", name="NOT SENT")).to_be_visible()
    page.route("**/kills/by-key/**", lambda route: route.abort())
    first = held_up[0]
    assert containing("pressed=kill").search(first.post_data or "")
    headers = {name: first.headers[name] for name in ("content-type", "x-csrftoken", "hx-request")}
    assert page.request.post(first.url, data=first.post_data, headers=headers).ok


def test_a_repeat_that_is_refused_is_not_taken_for_the_first_that_was_sent(opened: Open) -> None:
    page = opened()
    press_that_arrives_and_is_not_answered(page)
    page.get_by_role("radio", name="latched").check()
    press(page)
    expect(trouble(page)).to_contain_text("Tried again: this form was already used for another kill")
    page.unroute("**/kills/by-key/**")
    words = "What was pressed FIRST had been sent; the repeat was refused: this form was already used for another kill"
    expect(trouble(page)).to_contain_text(words)
    expect(page).to_have_url(containing("/kills/new/"))
    assert no_sideways_scroll(page)
    trouble(page).get_by_role("link", name="Open the kill").click()
    expect(page).to_have_url(KILL_PAGE)
    assert was_one_kill()
    assert not Kill.objects.get().latched


def test_a_changed_press_of_which_nothing_is_known_is_not_taken_for_the_first_that_was_sent(opened: Open) -> None:
    page = opened()
    press_that_arrives_and_is_not_answered(page)
    page.get_by_role("radio", name="latched").check()
    page.route("**/kills/", lambda route: route.abort(), times=1)
    press(page)
    expect(trouble(page)).to_contain_text(UNKNOWN)
    page.unroute("**/kills/by-key/**")
    expect(trouble(page)).to_contain_text("The first press was sent, not the changed one")
    expect(trouble(page).get_by_role("link", name="Open the kill")).to_be_visible()
    expect(page).to_have_url(containing("/kills/new/"))
    assert no_sideways_scroll(page)
    assert was_one_kill()
    assert not Kill.objects.get().latched
    trouble(page).get_by_role("link", name="Press again, as changed").click()
    expect(page.get_by_role("radio", name="latched")).to_be_checked()
    expect(trouble(page)).not_to_be_visible()
    press(page)
    expect(page).to_have_url(KILL_PAGE)
    assert list(Kill.objects.order_by("engaged_at").values_list("latched", flat=True)) == [False, True]


def nothing_was_sent_as_the_page_says(page: Page) -> None:
    assert no_sideways_scroll(page)
    nothing_was_sent(page)


class no_table:  # noqa: N801  (reads as what it is where it is used)
    """Take a table of the database away for a while: a press then breaks for a real reason."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._rename(self._name, "taken_away")

    def __exit__(self, *_: object) -> None:
        self._rename("taken_away", self._name)

    def _rename(self, old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def no_audit_table() -> no_table:
    return no_table(Entry._meta.db_table)


FORGET_HAS = """() => {
  for (const sheet of document.styleSheets)
    for (let number = sheet.cssRules.length - 1; number >= 0; number--)
      if (sheet.cssRules[number].cssText.split("{")[0].includes(":has(")) sheet.deleteRule(number);
}"""
DO_NOT_KNOW_HAS = "CSS.supports = (asked) => !String(asked).includes(':has(');"


class TestABrowserThatDoesNotKnowHas:
    def test_shows_the_button_that_the_box_says_by_a_script(self, opened: Open) -> None:
        page = opened()
        page.context.add_init_script(DO_NOT_KNOW_HAS)
        page.reload()
        page.evaluate(FORGET_HAS)
        rehearse, dry_run = page.locator("#rehearse"), page.get_by_role("checkbox", name="dry run")
        expect(button(page)).to_be_visible()
        expect(rehearse).not_to_be_visible()
        expect(page.locator("h1 .if-dry")).not_to_be_visible()
        dry_run.check()
        expect(button(page)).not_to_be_visible()
        expect(page.locator("h1 .if-real")).not_to_be_visible()
        expect(page.locator("h1 .if-dry")).to_be_visible()
        dry_run.uncheck()
        expect(rehearse).not_to_be_visible()
        dry_run.check()
        rehearse.click()
        expect(page).to_have_url(KILL_PAGE)
        assert Kill.objects.get().dry_run

    def test_shows_both_without_a_script_and_sends_nothing_that_does_not_agree(self, opened: Open) -> None:
        page = opened(scripts=False)
        page.evaluate(FORGET_HAS)
        rehearse = page.locator("#rehearse")
        expect(button(page)).to_be_visible()
        rehearse.click()
        expect(page.get_by_text("the button said dry run and the box did not: nothing was sent")).to_be_visible()
        assert not Kill.objects.exists()
        page.evaluate(FORGET_HAS)
        page.get_by_role("checkbox", name="dry run").check()
        rehearse.click()
        expect(page).to_have_url(KILL_PAGE)
        assert Kill.objects.get().dry_run


@pytest.mark.parametrize("width", WIDTHS)
class TestWhatItIs:
    def test_a_reason_that_speaks_of_a_drill_does_not_make_it_one(self, width: str, opened: Open) -> None:
        page = opened(width)
        words = page.get_by_text("This is real, whatever the reason says")
        expect(words).to_have_count(0)
        page.get_by_role("button", name="Drill").click()
        expect(words).to_be_visible()
        page.get_by_role("checkbox", name="dry run").check()
        expect(words).to_be_hidden()
        page.get_by_role("checkbox", name="dry run").uncheck()
        hold(page, "KILL")
        kill = Kill.objects.get()
        assert (kill.reason, kill.dry_run) == ("Drill", False)

    def test_latched_and_dry_together_says_that_a_press_is_refused(self, width: str, opened: Open) -> None:
        page = opened(width)
        words = page.get_by_text("a press is refused, and no dry run takes place")
        page.get_by_role("checkbox", name="dry run").check()
        expect(words).to_be_hidden()
        page.get_by_role("radio", name="latched").check()
        expect(words).to_be_visible()
        page.locator("#rehearse").click()
        expect(page.get_by_role("alert").filter(has_text="NOT SENT")).to_be_visible()
        assert not Kill.objects.exists()


@pytest.mark.parametrize("width", WIDTHS)
class TestNotSentWithoutScripts:
    def test_a_dry_run_that_was_not_ticked_sends_nothing(self, width: str, opened: Open) -> None:
        page = opened(width, scripts=False)
        page.locator("#rehearse").evaluate("button => button.form.requestSubmit(button)")
        expect(page.get_by_role("alert")).to_contain_text("NOT SENT")
        expect(page.get_by_text("the button said dry run and the box did not: nothing was sent")).to_be_visible()
        assert not Kill.objects.exists()
        hold(page, "KILL")
        assert was_one_kill()

    def test_an_expired_log_in_says_so_and_leads_back(self, width: str, opened: Open) -> None:
        page = opened(width, scripts=False)
        page.get_by_role("radio", name="latched").check()
        Session.objects.all().delete()
        button(page).click()
        expect(page.get_by_role("alert")).to_contain_text("NOT SENT: you were logged out")
        assert not Kill.objects.exists()
        assert no_sideways_scroll(page)
        page.locator("[name=username]").fill("desk")
        page.locator("[name=password]").fill("secret-enough")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("radio", name="latched")).to_be_checked()
        hold(page, "KILL")
        assert was_one_kill()

    def test_a_broken_server_says_what_is_known_and_repeats_the_same_press(self, width: str, opened: Open) -> None:
        page = opened(width, scripts=False)
        with no_audit_table():
            button(page).click()
            expect(page.get_by_role("alert")).to_contain_text("it is not known whether it was sent")
            expect(page.get_by_role("alert")).to_contain_text("If it is not there, it was NOT SENT")
            expect(page.get_by_text(LINE)).to_be_visible()
            assert no_sideways_scroll(page)
        page.get_by_role("button", name="Try again").click()
        expect(page).to_have_url(KILL_PAGE)
        assert was_one_kill()

    def test_a_form_that_has_expired_and_one_that_is_refused_say_so(
        self, width: str, opened: Open, people: dict[str, User]
    ) -> None:
        page = opened(width, scripts=False)
        page.locator("#f-reason").fill("x" * 10_001)
        button(page).click()
        expect(page.get_by_role("alert")).to_contain_text("NOT SENT")
        expect(page.get_by_text("is longer than 10,000 characters")).to_be_visible()
        page.context.clear_cookies(name="csrftoken")
        button(page).click()
        expect(page.get_by_role("alert")).to_contain_text("NOT SENT. Nothing was done. The form had expired")
        page.get_by_role("link", name="To the confirmation, with the same choices").click()
        with unrecorded():
            people["desk"].groups.clear()
        button(page).click()
        expect(page.get_by_role("alert")).to_contain_text("NOT SENT. Nothing was done: you may not engage a kill")
        assert not Kill.objects.exists()


@pytest.mark.parametrize("width", WIDTHS)
class TestTheReason:
    def test_is_chosen_or_typed_and_may_be_left_out(self, width: str, opened: Open) -> None:
        page = opened(width)
        chosen = page.get_by_role("button", name="Market event")
        chosen.click()
        expect(page.locator("#f-reason")).to_have_value("Market event")
        expect(chosen).to_have_attribute("aria-pressed", "true")
        chosen.click()
        expect(page.locator("#f-reason")).to_have_value("")
        hold(page, "KILL")
        assert Kill.objects.get().reason == ""

    @pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
    def test_is_asked_for_afterwards_and_what_is_typed_is_not_lost(
        self, scripts: bool, width: str, opened: Open
    ) -> None:
        page = opened(width, scripts=scripts)
        page.get_by_role("radio", name="latched").check()
        hold(page, "KILL")
        if not scripts:
            page.get_by_role("link", name="Say why on a page that holds still").click()
        field = page.locator("#why-reason")
        field.press_sequentially("Runaway ")
        expect(page.locator("#kill h1")).to_have_text("LATCHED") if scripts else None
        field.press_sequentially("algorithm")
        expect(field).to_have_value("Runaway algorithm")
        assert no_sideways_scroll(page)
        page.get_by_role("button", name="Keep the reason").click()
        expect(page.locator("#kill")).to_contain_text("Runaway algorithm")
        expect(page.locator("#kill")).to_contain_text("given afterwards by desk")
        expect(page.locator("#why-reason")).to_have_count(0)
