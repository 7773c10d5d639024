"""A passkey in a real browser, with the authenticator that Chromium makes up, under the content security policy."""

import re
from collections.abc import Iterator

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from .chromium import WIDTHS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

KEY = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, web: str) -> Iterator[Page]:
    """A page of a browser with a key. A passkey belongs to a name, so the address is no number."""
    address = web.replace("127.0.0.1", "localhost")
    context = browser.new_context(viewport=WIDTHS[request.param], base_url=address)  # type: ignore[arg-type]
    context.set_default_timeout(40_000)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})
    yield page
    context.close()
    assert not [text for text in said if "Content Security Policy" in text]


def with_password(page: Page) -> None:
    page.goto("/login/")
    page.locator("[name=username]").fill("desk")
    page.locator("[name=password]").fill("secret-enough")
    page.get_by_role("button", name="Log in").click()


def add_passkey(page: Page) -> None:
    page.goto("/second-factor/passkeys/new/")
    page.locator("[name=password]").fill("secret-enough")
    page.get_by_role("button", name="Go on").click()
    page.locator("[name=name]").fill("my laptop")
    page.locator("[name=passwordless]").check()
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()


def log_out(page: Page) -> None:
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_logs_in_alone_and_shows_again_who_it_is(page: Page, people: dict[str, User]) -> None:
    with_password(page)
    add_passkey(page)
    assert Authenticator.objects.filter(user=people["desk"], type="webauthn").count() == 1
    log_out(page)
    page.get_by_role("button", name="Use a passkey instead").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.goto("/login/again/passkey/?next=/help/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page).to_have_url(re.compile("/help/$"))


def test_is_a_second_factor_beside_the_password(page: Page, people: dict[str, User]) -> None:
    with_password(page)
    add_passkey(page)
    log_out(page)
    with_password(page)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_that_the_browser_does_not_give_is_said_on_the_page(page: Page, people: dict[str, User]) -> None:
    page.goto("/login/")
    page.evaluate("() => { navigator.credentials.get = () => Promise.reject(new DOMException('no')) }")
    page.get_by_role("button", name="Use a passkey instead").click()
    expect(page.get_by_text("The passkey was not taken")).to_be_visible()
