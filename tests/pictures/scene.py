"""A scene of real parts: the demo with its simulator, and kills that are pressed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, BrowserContext

from killswitch.simulator.process import Control

ROOT = Path(__file__).parents[2]
FIRST = 19816
# A cancel that the broker does not carry out is called stuck soon, so that nobody waits for the picture.
HURRY = {"KILL_STUCK_SECONDS": "15", "KILL_PATIENCE_SECONDS": "20", "DEMO_RUNAWAY_AFTER": "off"}
START_SECONDS = 180
FORM = "application/x-www-form-urlencoded"
Kills = dict[str, Callable[[], str]]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Return what `condition` gives once it is true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.1)
    return value


class Demo:
    """The demo in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CLEAR_STREET")}
        settings = {"DEMO_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "killswitch.settings"}
        with (folder / "out").open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "killswitch.demo"],
                cwd=ROOT,
                env={**outside, **HURRY, **settings},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> "Demo":
        told = self._folder / "demo.json"
        try:
            wait_for(lambda: told.exists() or self._process.poll() is not None, "the demo", START_SECONDS)
            if self._process.poll() is not None:
                raise RuntimeError((self._folder / "out").read_text())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.told: dict[str, Any] = json.loads(told.read_text())
        log = (self._folder / "logs" / "simulator.log").read_text()
        self.simulator = Control(log.split("listening on ", 1)[1].split()[0])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(40)

    def pause(self, name: str) -> None:
        os.kill(self.told["processes"][name], signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        os.kill(self.told["processes"][name], signal.SIGCONT)


class Pressed:
    """Holds to tests.browser.states.Scene, by pressing real kills."""

    def __init__(self, demo: Demo, browser: Browser) -> None:
        self._demo = demo
        self._browser = browser
        self._known: dict[str, str] = {}
        self._logged_in: dict[str, BrowserContext] = {}
        demo.simulator.flow()
        for number in range(24):
            self._algorithm(FIRST + number % 2, number)

    def person(self, name: str) -> BrowserContext:
        """Return a browser in which somebody is logged in."""
        if name not in self._logged_in:
            context = self._browser.new_context(base_url=self._demo.told["url"], timezone_id="Europe/London")
            page = context.new_page()
            page.goto("/login/")
            page.locator("[name=username]").fill(name)
            page.locator("[name=password]").fill(self._demo.told["users"][name])
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url(re.compile("/$"))
            page.close()
            self._logged_in[name] = context
        return self._logged_in[name]

    # --- what states ask for

    def book(self) -> None:
        """Wait until every account was listed, which beat sees to, and the light is on."""
        page = self.person("desk").new_page()
        page.goto("/")
        page.get_by_text("not listed yet").first.wait_for(state="detached", timeout=60_000)
        page.locator("#light").get_by_text("ARMED", exact=True).wait_for(timeout=60_000)
        page.close()

    def kill(self, how: str) -> str:
        if how not in self._known:
            self._known[how] = {"flat": self._flat, "running": self._running, "not flat": self._not_flat}[how]()
        return self._known[how]

    def lists(self, how: str) -> None:
        raise NotImplementedError("no picture shows it")

    def empty_account(self) -> int:
        raise NotImplementedError("no picture shows it")

    def plain(self, name: str) -> str:
        raise NotImplementedError("no picture shows it")

    def user(self) -> int:
        raise NotImplementedError("no picture shows it")

    def team(self) -> int:
        raise NotImplementedError("no picture shows it")

    def limit(self, who: str) -> None:
        raise NotImplementedError("no picture shows it")

    def place(self, how: str) -> None:
        raise NotImplementedError("no picture shows it")

    def light(self, how: str) -> None:
        """Freeze the broker and wait until that shows. It stays so: take this picture last."""
        self._demo.pause("simulator")
        page = self.person("desk").new_page()
        page.goto("/")
        page.locator("#light").get_by_text(how.upper(), exact=True).wait_for(timeout=60_000)
        page.close()

    # --- kills

    def _flat(self) -> str:
        kill = self._press(account=[FIRST + 2, FIRST + 3, FIRST + 4], side="SELL", reason="Wrong price or quantity")
        wait_for(lambda: self._state(kill) == "flat", "a flat kill")
        return kill

    def _running(self) -> str:
        """A kill of the algorithm, two of whose cancels the broker accepts and does not carry out."""
        stuck = [order["id"] for order in self._demo.simulator.book(FIRST, open=True)][-2:]
        self._demo.simulator.add_fault(match={"order_id": stuck}, do={"cancel": "stuck"})
        return self._press(all_accounts="on", client_order_id_prefix="algo-momentum-", reason="Runaway algorithm")

    def _not_flat(self) -> str:
        kill = self.kill("running")
        wait_for(lambda: self._state(kill) != "running", "an end that is not flat")
        return kill

    def _press(self, **fields: Any) -> str:
        """Press a kill as a program would, and return its id."""
        page = self.person("desk").new_page()
        page.goto("/kills/new/?all_accounts=on")
        token = page.locator("[name=csrfmiddlewaretoken]").last.input_value()
        form = urlencode({**fields, "csrfmiddlewaretoken": token}, doseq=True)
        answer = page.request.post("/kills/", data=form, headers={"Content-Type": FORM})
        page.close()
        found = re.search(r"/kills/([0-9a-f-]{36})/", answer.url)
        if found is None:
            raise RuntimeError(f"the kill was not taken: {answer.status} {answer.url}")
        return found.group(1)

    def _state(self, kill: str) -> str:
        return str(self.person("desk").request.get(f"/kills/{kill}.json").json()["state"])

    def _algorithm(self, account_id: int, number: int) -> None:
        order = {"symbol": "TSLA", "side": "BUY", "client_order_id": f"algo-momentum-{account_id}-{number:06d}"}
        self._demo.simulator.add_orders(account_id, order=order)
