"""Every page in every state under the content security policy: nothing that it needs is refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page

from killswitch.browser_rules import policy
from killswitch.simulator.process import SimulatorProcess
from tests.conftest import just_shown_who, unrecorded, wait_for

from .conftest import WIDTHS
from .made_up import HTML, MadeUp
from .states import STATES, State, at

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Kept over a reload, which some states bring.
LISTEN = """document.addEventListener("securitypolicyviolation", (event) => {
  const told = JSON.parse(sessionStorage.getItem("refused") || "[]");
  told.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} ${event.sample}`);
  sessionStorage.setItem("refused", JSON.stringify(told));
})"""
REFUSED = "JSON.parse(sessionStorage.getItem('refused') || '[]')"


@pytest.fixture
def everybody(simulator: SimulatorProcess, people: dict[str, User]) -> dict[str, User]:
    with unrecorded():
        return {**people, "nobody": User.objects.create_user("nobody")}


class Watched:
    """A page, and what its browser had to say of the policy."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console: list[str] = []
        page.add_init_script(LISTEN)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))

    def _hear(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Content-Security-Policy" in message.text:
            self.console.append(message.text)

    @property
    def refused(self) -> list[str]:
        return [*self.page.evaluate(REFUSED), *self.console]


@pytest.fixture
def watched(browser: Browser, web: str, everybody: dict[str, User]) -> Iterator[Any]:
    contexts = []

    def watch(who: str) -> Watched:
        context = browser.new_context(viewport=WIDTHS["desktop"], base_url=web)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(40_000)
        if who:
            client = Client()
            client.force_login(everybody[who])
            just_shown_who(client, everybody[who])
            context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": web}])
        return Watched(context.new_page())

    yield watch
    for context in contexts:
        context.close()


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_nothing_of_a_page_is_refused(state: State, watched: Any) -> None:
    found = watched(state.who)
    answer = found.page.goto(state.find(MadeUp(found.page)))
    assert answer.headers["content-security-policy"] == policy()
    state.then(found.page)
    assert found.refused == []


def test_what_a_poll_brings_is_not_refused(watched: Any) -> None:
    found = watched("desk")
    found.page.goto(at("/")(MadeUp(found.page)))
    with found.page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
        pass
    found.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert found.refused == []


@pytest.mark.parametrize(
    ("part", "refused"),
    [
        ("<p style='color: red'>x</p>", "style-src-attr"),
        ("<style>p { color: red }</style>", "style-src-elem"),
        ("<script>window.stolen = 1</script>", "script-src-elem"),
        ("<img src=x onerror='window.stolen = 1'>", "script-src-attr"),
        ("<img src='https://evil.example/x.png'>", "img-src"),
        ("<iframe src='/login/'></iframe>", "frame-src"),
        ("<base href='https://evil.example/'>", "base-uri"),
    ],
)
def test_what_somebody_got_into_a_page_is_refused(part: str, refused: str, watched: Any) -> None:
    found = watched("")
    headers = {"Content-Type": HTML, "Content-Security-Policy": policy()}
    found.page.route("**/got-in/", lambda route: route.fulfill(status=200, headers=headers, body=f"<body>{part}"))
    found.page.goto("/got-in/")
    wait_for(lambda: any(line.startswith(refused) for line in found.refused), f"a word about {refused}")
    assert found.page.evaluate("window.stolen") is None
