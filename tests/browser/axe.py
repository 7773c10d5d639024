"""What axe-core finds on a page, as sentences."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
EVERYTHING = {
    "runOnly": {"type": "tag", "values": TAGS},
    # It does not run by itself, although a level of the guidelines asks for it.
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]}


def findings(page: Page, options: dict[str, Any] = EVERYTHING) -> list[str]:
    """Return what is wrong on a page as it stands, a line for each element."""
    found = Axe().run(page, options=options).response["violations"]
    return [_sentence(violation, node) for violation in found for node in violation["nodes"]]


def assert_accessible(page: Page) -> None:
    assert findings(page) == []


def _sentence(violation: dict[str, Any], node: dict[str, Any]) -> str:
    checks = [check for kind in ("any", "all", "none") for check in node[kind]]
    whys = [check["message"] for check in checks]
    near = {each["html"][:80] for check in checks for each in check["relatedNodes"]}
    where = " ".join(str(part) for part in node["target"])
    return f"{violation['id']}: {where}: {'; '.join(whys)} ({node['html'][:160]}) beside {sorted(near)}"
