"""Take the pictures of docs/pictures: `python -m tests.pictures`, or some: `python -m tests.pictures desk audit`."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.chromium import WIDTHS, find_chromium
from tests.browser.states import STATES

from .scene import ROOT, Demo, Pressed

FOLDER = ROOT / "docs" / "pictures"
# In the order in which they are taken: a kill runs before it ends, and nothing is armed after the last.
PICTURES = ("desk", "account", "confirm", "kill-flat", "kill-running", "kill-not-flat", "audit", "not-armed")
HEIGHTS = {"desktop": 900, "phone": 1200}
COLOURS = 128
# What changes by itself and says nothing in a picture.
SETTLE_MS = 1500


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests.pictures", description="Take the pictures of docs/.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(PICTURES)}; all without one")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.names) - set(PICTURES))
    if unknown:
        parser.error(f"there is no picture {', '.join(unknown)}")
    take([name for name in PICTURES if name in (asked.names or PICTURES)], asked.folder)
    return 0


def take(names: list[str], folder: Path) -> None:
    """Take each picture at both widths."""
    folder.mkdir(parents=True, exist_ok=True)
    states = {state.name: state for state in STATES}
    with data_folder() as data, Demo(data) as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        scene = Pressed(demo, browser)
        try:
            for name in names:
                state = states[name]
                shoot(scene, state.who, state.find(scene), folder, name)
        finally:
            demo.go_on("simulator")
            browser.close()


@contextmanager
def data_folder() -> Iterator[Path]:
    """Make a folder with a plain name where that is free: a page shows it."""
    folder = Path(tempfile.gettempdir()) / "killswitch"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def shoot(scene: Pressed, who: str, address: str, folder: Path, name: str) -> None:
    for width, size in WIDTHS.items():
        page = scene.person(who).new_page()
        page.set_viewport_size({"width": size["width"], "height": HEIGHTS[width]})
        page.goto(address)
        page.wait_for_timeout(SETTLE_MS)
        file = folder / f"{name}-{size['width']}.png"
        page.screenshot(path=file)
        page.close()
        shrink(file)
        print(f"{file} {file.stat().st_size // 1024} KiB", flush=True)


def shrink(file: Path) -> None:
    """Reduce a picture to a palette, where there is something that can."""
    if find_spec("PIL") is None:
        return
    from PIL import Image

    with Image.open(file) as picture:
        reduced = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    reduced.save(file, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
