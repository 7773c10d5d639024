"""Which browser, how wide, and a hand on it."""

import os
import shutil

from playwright.sync_api import Locator, Page, expect

WIDTHS = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    return next(filter(None, map(shutil.which, names)), mac if os.path.exists(mac) else None)  # noqa: PTH110


def hold_and_let_go(page: Page, button: Locator) -> None:
    """Hold until the button says that it is full, wherever that leads."""
    button.hover()
    page.mouse.down()
    expect(button).to_have_attribute("data-hold", "full")
    page.mouse.up()


def open_banner(page: Page) -> None:
    """Open what the banner shows in one line for want of room; on a wide screen there is nothing to open."""
    for line in page.locator("#banner details:not([open]) > summary:visible").all():
        line.click()
