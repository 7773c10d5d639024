"""Which browser, and how wide."""

import os
import shutil

WIDTHS = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    return next(filter(None, map(shutil.which, names)), mac if os.path.exists(mac) else None)  # noqa: PTH110
