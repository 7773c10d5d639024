"""Watching a kill: what a person has under their hands stays, what they must know reaches them."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from killswitch.kills.models import Kill, KilledOrder, Outcome, State
from tests.incident.conftest import add, end, make_kill

from .conftest import WIDTHS
from .test_desk import FIRST, log_in, no_sideways_scroll

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Open = Callable[..., Page]

# A stand-in for what cannot be heard here: it notes which notes were played.
NOTES = """
  window.played = [];
  window.AudioContext = class {
    state = "running"; currentTime = 0; destination = {};
    resume() { return Promise.resolve(); }
    createGain() { return {gain: {setValueAtTime() {}, exponentialRampToValueAtTime() {}}, connect: (next) => next}; }
    createOscillator() {
      const note = {frequency: {}, connect: (next) => next, start: () => played.push(note.frequency.value), stop() {}};
      return note;
    }
  };
"""


@pytest.fixture
def open_page(browser: Browser, web: str, people: dict[str, User]) -> Iterator[Open]:
    """Open a kill's page as somebody: `open_page(kill, "desk2", width="phone", scripts=False)`."""
    contexts: list[BrowserContext] = []

    def make(kill: Kill, name: str = "desk", *, width: str = "desktop", init: str = "", **options: Any) -> Page:
        context = browser.new_context(viewport=WIDTHS[width], base_url=web, **options)  # type: ignore[arg-type]
        context.set_default_timeout(40_000)
        context.add_init_script(init)
        contexts.append(context)
        page = context.new_page()
        log_in(page, name)
        page.goto(f"/kills/{kill.id}/")
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def kill(people: dict[str, User]) -> Kill:
    """A kill that runs, with thirty orders that do not go away."""
    made = make_kill(engaged_by_name="desk", scope="all orders on 3 accounts")
    for number in range(30):
        values = {"outcome": Outcome.STUCK, "pending_since": timezone.now(), "accepted_at": timezone.now()}
        add(made, f"019a3a75-f3c1-77ec-9e2f-eb89414c{number:04d}", FIRST + number % 3, **values)
    made.sweeps.update(lease_until=timezone.now() + timedelta(minutes=10))  # somebody works on it
    return made


def gone(kill: Kill, order_id: str) -> None:
    KilledOrder.objects.filter(sweep__kill=kill, order_id__endswith=order_id).update(
        outcome=Outcome.CANCELED, ended_at=timezone.now(), pending_since=None
    )


def ended_count(page: Page) -> Any:
    return page.locator(".progress .what").first


@pytest.mark.parametrize("width", WIDTHS)
class TestWhatIsUnderSomebodysHands:
    def test_stays_while_the_page_changes(self, width: str, kill: Kill, open_page: Open) -> None:
        page = open_page(kill, width=width)
        expect(ended_count(page)).to_contain_text("0 of 30 ended")
        box = page.locator("#open-box")
        page.locator("#course-figures summary").click()
        box.evaluate("box => { box.scrollLeft = 120; box.kept = true; }")
        page.locator(f"#sweep-{FIRST + 1}").focus()
        page.evaluate("scrollTo(0, 300)")
        page.evaluate("getSelection().selectAllChildren(document.querySelector('.meaning'))")
        before = page.evaluate(STANDING)
        assert before["details"] and before["top"] == 300 and before["selected"]
        if width == "phone":
            assert before["left"] == 120

        # Rows go, come, and one account moves to the top.
        gone(kill, "0007")
        add(kill, "late", FIRST + 2, outcome=Outcome.PENDING, is_late=True)
        expect(ended_count(page)).to_contain_text("1 of 31 ended")
        expect(page.locator(".loud.late")).to_be_visible()
        expect(page.locator("#kill-gone tbody tr")).to_have_count(1)
        expect(page.locator("#accounts-box tbody tr").first).to_contain_text(str(FIRST + 2))
        after = page.evaluate(STANDING)
        # What stands above may push the rest down: what is looked at stays where it is.
        assert {**after, "top": 0} == {**before, "top": 0}
        assert box.evaluate("box => box.kept")

    def test_is_not_told_of_again_and_again_where_nothing_changes(
        self, width: str, kill: Kill, open_page: Open
    ) -> None:
        Kill.objects.update(state=State.LATCHED, latched=True)
        kill.sweeps.update(state=State.LATCHED, lease_until=timezone.now() + timedelta(hours=1), listed_at=None)
        page = open_page(kill, width=width)
        with page.expect_response(lambda answer: is_poll(answer, kill) and answer.status == 204):
            pass
        expect(page.locator("#heard")).to_have_text(re.compile(r"^Heard from the server [01]\.\d s ago$"))
        first = page.locator("[data-pressed]").text_content()
        expect(page.locator("[data-pressed]")).not_to_have_text(first or "")
        assert no_sideways_scroll(page)


STANDING = """() => ({
  focus: document.activeElement.id,
  left: document.querySelector("#open-box").scrollLeft,
  top: scrollY,
  details: document.querySelector("#course-figures").open,
  selected: getSelection().toString(),
})"""


def is_poll(answer: Response, kill: Kill) -> bool:
    return answer.url.endswith(f"/kills/{kill.id}/") and "hx-request" in answer.request.headers


class TestTwoPeople:
    def test_see_the_same_and_each_other(self, kill: Kill, open_page: Open) -> None:
        first = open_page(kill)
        second = open_page(kill, "compliance", width="phone")
        expect(second.locator("#looking")).to_have_text("Also looking: desk")
        expect(first.locator("#looking")).to_have_text("Also looking: compliance")
        gone(kill, "0003")
        for page in (first, second):
            expect(ended_count(page)).to_contain_text("1 of 30 ended")
        assert no_sideways_scroll(second)
        told = [re.sub(r"for \d+ s", "", page.locator("#open-box").inner_text()) for page in (first, second)]
        assert told[0] == told[1]

    def test_do_not_see_who_has_it_in_a_tab_that_is_not_seen(self, kill: Kill, open_page: Open) -> None:
        hidden = "Object.defineProperty(document, 'hidden', {get: () => !!window.isAway});"
        away = open_page(kill, init=hidden)
        away.evaluate("window.isAway = true")
        # It follows on nevertheless: the end has to reach it.
        gone(kill, "0003")
        expect(ended_count(away)).to_contain_text("1 of 30 ended")
        with away.expect_request(lambda request: request.headers.get("x-unseen") == "1"):
            pass


@pytest.mark.parametrize(("state", "notes"), [(State.FLAT, [523, 659, 784]), (State.NOT_FLAT, [233, 196, 233, 196])])
class TestTheEnd:
    def test_reaches_title_icon_and_ear_and_stops_the_polls(
        self, state: State, notes: list[int], kill: Kill, open_page: Open
    ) -> None:
        page = open_page(kill, init=NOTES)
        expect(page).to_have_title("RUNNING: kill · Killswitch")
        expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile(r"/running\.svg$"))
        assert page.evaluate("played") == []
        page.get_by_role("button", name="Sound on").click()
        assert page.evaluate("played.splice(0)") == [659]  # a short one: it can be heard
        expect(page.get_by_role("button", name="Sound off")).to_be_visible()
        end(kill, state)
        words = str(state.label).upper()
        expect(page).to_have_title(f"{words}: kill · Killswitch")
        expect(page.locator("#kill h1")).to_have_text(words)
        expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile(rf"/{state}\.svg$"))
        assert page.evaluate("played") == notes
        expect(page.locator("#said")).to_contain_text(f"Kill {state.label}.")
        expect(page.locator("#heard")).to_have_text("Ended: the server is no longer asked.")
        expect(page.locator("#sound")).to_be_hidden()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(2_500)
        assert [url for url in asked if str(kill.id) in url] == []

    def test_is_silent_for_who_has_not_asked_for_sound(
        self, state: State, notes: list[int], kill: Kill, open_page: Open
    ) -> None:
        page = open_page(kill, init=NOTES)
        expect(page.locator("#sound")).to_have_text("Sound on")
        end(kill, state)
        expect(page.locator("#kill h1")).to_have_text(str(state.label).upper())
        assert page.evaluate("played") == []


class TestSound:
    def test_is_kept_for_the_next_page_and_can_be_switched_off(self, kill: Kill, open_page: Open) -> None:
        page = open_page(kill, init=NOTES)
        page.locator("#sound").click()
        page.reload()
        expect(page.locator("#sound")).to_have_text("Sound off")
        page.locator("#sound").click()
        expect(page.locator("#sound")).to_have_text("Sound on")
        page.reload()
        expect(page.locator("#sound")).to_have_text("Sound on")


class TestALogInThatHasRunOut:
    def test_leads_to_the_log_in_as_a_whole_page_and_back(self, kill: Kill, open_page: Open) -> None:
        page = open_page(kill)
        Session.objects.all().delete()
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        expect(page.locator("#kill")).to_have_count(0)
        page.locator("[name=username]").fill("desk")
        page.locator("[name=password]").fill("secret-enough")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#kill h1")).to_have_text("RUNNING")


class TestWithoutScripts:
    def test_the_page_loads_itself_to_the_end(self, kill: Kill, open_page: Open) -> None:
        page = open_page(kill, java_script_enabled=False)
        expect(ended_count(page)).to_contain_text("0 of 30 ended")
        gone(kill, "0003")
        expect(ended_count(page)).to_contain_text("1 of 30 ended")
        expect(page.locator("#sound")).to_be_hidden()
        end(kill, State.FLAT)
        expect(page.locator("#kill h1")).to_have_text("FLAT")
        assert page.locator("meta[http-equiv=refresh]").count() == 0


class TestPaper:
    def test_of_a4_has_everything_in_its_width(self, kill: Kill, open_page: Open) -> None:
        lost = {"lost_quantity": Decimal("1234567.5"), "lost_notional": Decimal("123456789.25")}
        long = {"client_order_id": "algo-momentum-" * 4, "request_id": "f" * 64, "symbol": "SPX 270319P05870000"}
        add(kill, "x" * 60, FIRST, outcome=Outcome.FILLED, ended_at=timezone.now(), **lost, **long)
        add(kill, "y" * 60, FIRST, replaces="z" * 60, **long)
        kill.sweeps.update(error="the broker answered HTTP 500 and a-word-without-any-end-" + "-" * 90)
        end(kill, State.NOT_FLAT)
        page = open_page(kill)
        # A4 less its margins, at 96 dots per inch.
        page.set_viewport_size({"width": 703, "height": 1000})
        page.emulate_media(media="print")
        clipped = page.evaluate(CLIPPED)
        assert clipped == []
        assert len(page.pdf(format="A4")) > 10_000


CLIPPED = """() => [...document.querySelectorAll("main *")].filter((one) => {
  const box = one.getBoundingClientRect();
  if (!box.width || !one.clientWidth || one.closest(".unseen, svg")) return false;
  return box.right > innerWidth + 1 || one.scrollWidth > one.clientWidth + 2;
}).map((one) => one.outerHTML.slice(0, 200))"""
