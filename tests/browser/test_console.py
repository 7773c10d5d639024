"""Nothing goes wrong unseen: the browser's console stays empty of errors whatever a page follows and answers."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from killswitch.kills.models import Kill, State
from killswitch.simulator.process import SimulatorProcess
from tests.incident.conftest import add, end, make_kill

from .chromium import WIDTHS
from .test_acknowledge import polls
from .test_desk import log_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Open = Callable[[Kill], Page]


@pytest.fixture
def said() -> list[str]:
    """What the console says as an error, or a script breaks with."""
    return []


@pytest.fixture
def open_page(
    browser: Browser, web: str, simulator: SimulatorProcess, people: dict[str, User], said: list[str]
) -> Iterator[Open]:
    context = browser.new_context(viewport=WIDTHS["desktop"], base_url=web)  # type: ignore[arg-type]
    context.set_default_timeout(40_000)

    def make(kill: Kill) -> Page:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        log_in(page, "desk2")
        page.goto(f"/kills/{kill.id}/")
        return page

    yield make
    context.close()


def stuck(**fields: object) -> Kill:
    kill = make_kill(**fields)
    add(kill, "stuck-1")
    kill.sweeps.update(first_attempt_at=kill.engaged_at, lease_until=timezone.now() + timedelta(minutes=10))
    return kill


def test_while_it_is_followed_after_its_release(open_page: Open, said: list[str]) -> None:
    kill = stuck(latched=True)
    page = open_page(kill)
    page.get_by_label("Why it is released").fill("stopped")
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_text("Released because")).to_be_visible()
    polls(page, kill, 2)
    add(kill, "late", is_late=True)
    expect(page.locator("#alarm-late")).to_be_visible()
    assert said == []


@pytest.mark.parametrize("is_over", [False, True], ids=["that runs", "that has ended"])
def test_when_an_alarm_is_acknowledged_of_a_kill(is_over: bool, open_page: Open, said: list[str]) -> None:
    kill = stuck(latched=True, released_at=timezone.now(), released_by_name="desk")
    if is_over:
        end(kill, State.NOT_FLAT)
    page = open_page(kill)
    page.get_by_role("button", name="Acknowledge as desk2: Cancels are stuck").click()
    expect(page.locator("#alarm-stuck")).to_contain_text("acknowledged by desk2")
    assert said == []
