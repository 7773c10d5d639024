"""The pictures of docs/ are taken by a command."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from .browser.chromium import find_chromium
from .conftest import ROOT

pytestmark = pytest.mark.browser


def size_of(picture: Path) -> tuple[int, int]:
    kind, width, height = struct.unpack(">8s8xII", picture.read_bytes()[:24])
    assert kind == b"\x89PNG\r\n\x1a\n"
    return width, height


def test_a_picture_is_taken_of_the_product_as_it_runs(tmp_path: Path) -> None:
    if find_chromium() is None and not os.environ.get("CI"):
        pytest.skip("no Chromium here")
    command = [sys.executable, "-m", "tests.pictures", "desk", "--folder", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=240)
    pictures = sorted(tmp_path.iterdir())
    assert [each.name for each in pictures] == ["desk-1440.png", "desk-390.png"]
    assert [size_of(each) for each in pictures] == [(1440, 900), (390, 1200)]


def test_every_picture_that_a_page_shows_is_one_of_them() -> None:
    taken = {each.name for each in (ROOT / "docs/pictures").iterdir()}
    assert "(docs/pictures/" in (ROOT / "README.md").read_text()
    for name in ("desk", "account", "confirm", "kill-running", "kill-flat", "kill-not-flat", "audit", "not-armed"):
        assert {f"{name}-1440.png", f"{name}-390.png"} <= taken
    assert sum(each.stat().st_size for each in (ROOT / "docs/pictures").iterdir()) < 3_000_000
