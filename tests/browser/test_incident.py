"""A kill with a stuck order, in a browser: the call sheet for the desk, the summary and the pack for compliance."""

import re
import zipfile
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill, State
from killswitch.simulator.process import SimulatorProcess
from tests.incident.conftest import add, end, make_kill

from .test_desk import log_in, no_sideways_scroll

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def stuck(simulator: SimulatorProcess, people: dict[str, User]) -> Kill:
    killed = make_kill(scope="all orders with a very long scope, TSLA, AAPL, MSFT and others, on 2 accounts")
    add(killed, "019a3a75-f3c1-77ec-9e2f-eb89414c343c", 19816, order_type="STOP", client_order_id="algo-7-" + "x" * 60)
    add(killed, "019a3a75-f3c1-77ec-9e2f-eb89414c343d", 19817)
    return killed


def test_the_desk_reads_the_call_sheet_while_the_kill_runs(stuck: Kill, page: Page) -> None:
    log_in(page, "desk")
    page.goto(f"/kills/{stuck.id}/")
    page.get_by_role("link", name="Call sheet", exact=True).click()
    expect(page.get_by_text("stop: protects?")).to_be_visible()
    assert no_sideways_scroll(page)
    parts = page.locator(".chunks").first
    assert parts.evaluate("each => each.textContent") == "019a3a75-f3c1-77ec-9e2f-eb89414c343c"
    end(stuck, State.NOT_FLAT)
    expect(page.locator("#sheet[hx-trigger]")).to_have_count(0)
    assert no_sideways_scroll(page)


def test_compliance_takes_the_pack(stuck: Kill, page: Page, tmp_path: Any) -> None:
    end(stuck, State.NOT_FLAT)
    log_in(page, "compliance")
    page.goto(f"/kills/{stuck.id}/")
    assert no_sideways_scroll(page)
    page.get_by_role("link", name="Summary").click()
    expect(page.get_by_role("heading", name="NOT FLAT")).to_be_visible()
    assert no_sideways_scroll(page)
    page.get_by_role("link", name="Back to the kill").click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Incident pack (ZIP)").click()
    download = waiting.value
    assert re.fullmatch(r"killswitch-\d{4}-\d\d-\d\d-[0-9a-f]{8}\.zip", download.suggested_filename)
    download.save_as(tmp_path / "pack.zip")
    assert "orders.csv" in zipfile.ZipFile(tmp_path / "pack.zip").namelist()
    assert Entry.objects.get(kind=Kind.PACK_TAKEN).actor_name == "compliance"
