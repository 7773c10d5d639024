"""Every page in every state: WCAG 2.2 AA as far as axe-core sees it, narrow, enlarged, and with the keyboard alone."""

from collections.abc import Iterator
from itertools import product
from typing import Any, Literal

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page

from killswitch.simulator.process import SimulatorProcess
from tests.conftest import just_shown_who, unrecorded

from .axe import COLOURS, EVERYTHING, findings
from .conftest import WIDTHS
from .made_up import MadeUp
from .states import STATES, State

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# What is right in the light is wrong in the dark by its colours alone.
SCHEMES: dict[Literal["light", "dark"], dict[str, Any]] = {"light": EVERYTHING, "dark": COLOURS}
# 320 px, and what is left of a wide screen at 200 %.
NARROW = {"320 px": 320, "200 %": 720}
# Every thing that can be pressed or typed into and is not hidden, disabled or inside a closed box. Of several of which
# one is chosen, Tab goes to that one.
REACHABLE = """() => [...(document.querySelector("dialog[open]") || document).querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
  .filter((each) => !each.matches(":disabled, [type=radio]:not(:checked)")
    && each.checkVisibility({visibilityProperty: true}))"""
NAME = "(each.id || each.name || each.textContent.trim().slice(0, 40) || each.outerHTML.slice(0, 80))"
SHOWN = "each.isConnected && each.checkVisibility({visibilityProperty: true})"
# From the top of the page, wherever the focus was.
FROM_THE_TOP = """() => {
  document.activeElement.blur();
  window.scrollTo(0, 0);
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute("tabindex");
}"""
WIDEST = """() => [...document.querySelectorAll("body *")]
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll"))
  .map((each) => `${each.tagName}#${each.id}.${each.className}`).slice(0, 5).join(" ")"""


@pytest.fixture
def everybody(simulator: SimulatorProcess, people: dict[str, User]) -> dict[str, User]:
    with unrecorded():
        return {**people, "nobody": User.objects.create_user("nobody")}


@pytest.fixture(params=STATES, ids=lambda state: state.name)
def state(request: pytest.FixtureRequest) -> State:
    found: State = request.param
    return found


@pytest.fixture
def visit(browser: Browser, web: str, everybody: dict[str, User], state: State) -> Iterator[Page]:
    """The page in the state that the test is called with."""
    context = browser.new_context(viewport=WIDTHS["desktop"], base_url=web)  # type: ignore[arg-type]
    context.set_default_timeout(40_000)
    if state.who:
        client = Client()
        client.force_login(everybody[state.who])
        just_shown_who(client, everybody[state.who])
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": web}])
    page = context.new_page()
    answer = page.goto(state.find(MadeUp(page)))
    assert answer is not None and answer.status == state.status, answer
    state.then(page)
    yield page
    context.close()


def test_every_state_is_accessible_and_fits(visit: Page) -> None:
    page, wrong = visit, []
    for (width, size), (scheme, options) in product(WIDTHS.items(), SCHEMES.items()):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=scheme)
        # At the end of a page what stays at its foot lies over nothing.
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        wrong += [f"{width}, {scheme}: {words}" for words in findings(page, options)]
    for name, width in NARROW.items():
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("document.documentElement.scrollWidth")
        wrong += [f"{name}: the page is {wide} px wide: {page.evaluate(WIDEST)}"] if wide > width else []
    page.set_viewport_size(WIDTHS["desktop"])  # type: ignore[arg-type]
    wrong += by_keyboard(page)
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def by_keyboard(page: Page) -> list[str]:
    """Go through a page with Tab. Return what is not reached, and what is reached without being seen to be."""
    page.evaluate(FROM_THE_TOP)
    wanted = page.evaluate(
        f"""() => {{
          window.wanted = ({REACHABLE})();
          return window.wanted.map((each, at) => {{ each.reach = at; return {NAME}; }});
        }}"""
    )
    unreached, unseen = dict(enumerate(wanted)), []
    for _ in range(len(wanted) + 20):
        page.keyboard.press("Tab")
        at, is_seen = page.evaluate(FOCUSED)
        if at is not None and at in unreached:
            name = unreached.pop(at)
            unseen += [] if is_seen else [name]
        if not unreached:
            break
    # What went away meanwhile, as the link to more rows does once they are there, is not missed.
    missed = [name for at, name in unreached.items() if page.evaluate(f"(each => {SHOWN})(window.wanted[{at}])")]
    return [f"not reached by Tab: {name}" for name in missed] + [f"focus not seen: {name}" for name in unseen]


FOCUSED = """() => {
  const each = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(each);
  const isSeen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 1;
  return [each.reach ?? null, isSeen];
}"""
