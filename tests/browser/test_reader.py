"""A reader who has never seen the product: from a symbol and a day to the incident pack in at most four clicks."""

import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor
from killswitch.kills.decision import read_decision
from killswitch.kills.models import Kill
from killswitch.kills.operations import engage
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import wait_for

from .conftest import FIRST
from .test_desk import containing, log_in, no_sideways_scroll

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MOST = 4
SYMBOL = "TSLA"


class Clicks:
    """Counts what the reader clicks; typing is not counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0

    def on(self, what: Locator) -> None:
        self.count += 1
        what.click()

    def see(self, what: Locator) -> None:
        """Wait until the next page shows something, on a page that does not have to be moved sideways."""
        expect(what).to_be_visible()
        assert no_sideways_scroll(self.page)


@pytest.fixture
def kill(simulator: SimulatorProcess, people: dict[str, User]) -> Kill:
    """A kill of one account that ended flat, beside one of another account that is none of the reader's business."""
    for order in simulator.control.book(FIRST + 1, open=True):
        if order["symbol"] == SYMBOL:
            simulator.control.fill(order["id"])
    simulator.control.add_orders(FIRST, order={"side": "BUY", "status": "NEW", "symbol": SYMBOL})
    wanted, _ = (press(account_id) for account_id in (FIRST, FIRST + 1))
    wait_for(lambda: Kill.objects.exclude(state="flat").count() == 0, "both kills to end flat")
    return wanted


def press(account_id: int) -> Kill:
    decision = read_decision({"account": [str(account_id)], "reason": ["Runaway algorithm 🛑"]})
    return engage(decision=decision, known_account_ids=(), actor=Actor(name="desk"), now=timezone.now())


@pytest.fixture
def reader(page: Page, kill: Kill) -> Clicks:
    log_in(page, "compliance")
    return Clicks(page)


class TestANewReader:
    def test_gets_from_a_symbol_and_a_day_to_the_incident_pack(self, reader: Clicks, kill: Kill) -> None:
        page = reader.page
        reader.on(page.get_by_role("link", name="Audit trail"))
        reader.see(page.get_by_role("heading", name="Audit trail"))
        page.get_by_label("Symbol").fill(SYMBOL)
        for label in ("Since", "Until"):
            page.get_by_label(label).fill(f"{kill.engaged_at:%Y-%m-%d}")
        reader.on(page.get_by_role("button", name="Search"))
        here = page.locator("#kills-here")
        expect(here).to_contain_text("1 kill on this page")
        reader.see(here)
        reader.on(here.get_by_role("link"))
        expect(page).to_have_url(containing(f"/kills/{kill.id}/"))
        pack = page.get_by_role("link", name="Incident pack")
        reader.see(pack)
        with page.expect_download() as download:
            reader.on(pack)
        assert reader.count <= MOST
        with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as files:
            assert files.testzip() is None
            assert any(name.endswith(".jsonl") for name in files.namelist())
        assert Entry.objects.filter(kind=Kind.PACK_TAKEN, kill_id=kill.id).count() == 1

    def test_takes_the_search_away_from_where_it_stands(self, reader: Clicks, kill: Kill) -> None:
        page = reader.page
        page.goto(f"/audit/?symbol={SYMBOL.lower()}")
        with page.expect_download() as download:
            reader.on(page.get_by_role("link", name="JSON Lines", exact=True))
        told = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
        assert {line["symbol"] for line in told} == {SYMBOL}
        assert download.value.suggested_filename == (
            f"audit-trail-excerpt-{told[0]['sequence']}-to-{told[-1]['sequence']}.jsonl"
        )
        assert Entry.objects.get(kind=Kind.TRAIL_EXPORTED).data["search"] == {"symbol": SYMBOL.lower()}

    def test_follows_an_order_through_its_life(self, reader: Clicks, kill: Kill) -> None:
        page = reader.page
        page.goto(f"/audit/?symbol={SYMBOL}")
        page.locator("[data-label=Order] a").first.click()
        expect(page.get_by_role("heading", name="canceled")).to_be_visible()
        assert no_sideways_scroll(page)
        rows = page.locator("table.trail tbody tr")
        expect(rows.last).to_contain_text("canceled")
        rows.first.get_by_role("rowheader").get_by_role("link").click()
        expect(page.get_by_text("its hash holds")).to_be_visible()
        assert no_sideways_scroll(page)
        page.locator("a[rel=next]").click()
        expect(page.get_by_text("its hash holds")).to_be_visible()

    def test_is_told_what_to_write_and_loses_nothing(self, reader: Clicks, kill: Kill) -> None:
        page = reader.page
        page.goto("/audit/")
        page.get_by_label("Symbol").fill(SYMBOL)
        page.get_by_label("Since").fill("yesterday")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_text("Write a day or a time")).to_be_visible()
        expect(page.get_by_label("Symbol")).to_have_value(SYMBOL)
        assert no_sideways_scroll(page)
        page.get_by_label("Since").fill("2026-01-01")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("table.trail tbody tr").first).to_contain_text(SYMBOL)
        expect(page).to_have_url(re.compile(rf"/audit/\?since=2026-01-01&symbol={SYMBOL}$"))
