"""Every page in every state that it has: one list for what is held against WCAG and what pictures are taken of."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from playwright.sync_api import Page, Route

from .chromium import hold_and_let_go

FIRST = 19816


class Scene(Protocol):
    """Makes what a state shows, and says where it stands."""

    def book(self) -> None:
        """Let the open book be as the broker has it."""

    def light(self, how: str) -> None:
        """Let the armed light be "armed", "slower", "not armed"."""

    def lists(self, how: str) -> None:
        """Let the lists of open orders be "old", or tell of "unusual" arrivals on one account."""

    def empty_account(self) -> int:
        """Return an account that was listed and has no open order."""

    def kill(self, how: str) -> str:
        """Return the id of a kill that is "running", "flat", "not flat", "latched", "dry run" …"""

    def plain(self, name: str) -> str:
        """Return the address of a page for the moment when nothing else works."""

    def place(self, how: str) -> None:
        """Let somebody be told who is "well", "failing", or of whom "nobody" takes care any more."""

    def user(self) -> int:
        """Return the number of a user who can be changed."""

    def team(self) -> int:
        """Return the number of a team with accounts, some of them unknown, in which that user is."""

    def limit(self, who: str) -> None:
        """Let somebody see the first account and the next, and kill on the first alone."""


def _nothing(page: Page) -> None:
    pass


@dataclass(frozen=True)
class State:
    name: str
    who: str  # whose log-in; "" is nobody's
    find: Callable[[Scene], str]
    then: Callable[[Page], None] = _nothing
    status: int = 200


def at(address: str, *, book: bool = True) -> Callable[[Scene], str]:
    def find(scene: Scene) -> str:
        if book:
            scene.book()
        return address

    return find


def kill(how: str, page: str = "") -> Callable[[Scene], str]:
    return lambda scene: f"/kills/{scene.kill(how)}/{page}"


def beside(how: str, address: str) -> Callable[[Scene], str]:
    """Show a page while there is such a kill."""

    def find(scene: Scene) -> str:
        scene.book()
        scene.kill(how)
        return address

    return find


def listed(how: str) -> Callable[[Scene], str]:
    """Show the desk with lists that are so."""

    def find(scene: Scene) -> str:
        scene.book()
        scene.lists(how)
        return "/"

    return find


def lit(how: str, address: str) -> Callable[[Scene], str]:
    """Show a page while the armed light shows this."""

    def find(scene: Scene) -> str:
        scene.book()
        scene.light(how)
        return address

    return find


def told(how: str, address: str = "/telling/") -> Callable[[Scene], str]:
    """Show a page while messages go to a place in such a way."""

    def find(scene: Scene) -> str:
        scene.book()
        scene.place(how)
        return address

    return find


def limited(who: str, address: str, *, beside: str = "") -> Callable[[Scene], str]:
    """Show a page to somebody whose accounts are limited, while there is such a kill."""

    def find(scene: Scene) -> str:
        scene.book()
        scene.limit(who)
        return address.format(scene.kill(beside) if beside else "")

    return find


def submit(form: str, **fields: str) -> Callable[[Page], None]:
    """Send a form as it is, apart from `fields`, whatever the browser thinks of it."""

    def send(page: Page) -> None:
        for name, value in fields.items():
            page.locator(f"{form} [name={name}]").fill(value)
        with page.expect_navigation():
            page.locator(form).evaluate("form => form.submit()")

    return send


def open_filters(page: Page) -> None:
    """Open the boxes of a filter; not the one of saved filters, which lies over what is below it."""
    page.evaluate("document.querySelectorAll('.filter details').forEach((each) => { each.open = true; })")


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def select_two(page: Page) -> None:
    boxes = page.locator("input[name=order_id]")
    boxes.nth(0).check()
    boxes.nth(1).check()


def press_key(key: str, *, then_type: str = "") -> Callable[[Page], None]:
    def press(page: Page) -> None:
        page.keyboard.press(key)
        page.keyboard.type(then_type)
        if then_type:
            page.locator("[role=option]").first.wait_for()

    return press


def click_without_holding(page: Page) -> None:
    page.locator("#hold").evaluate("each => each.click()")


def press_and_hear_nothing(page: Page) -> None:
    def lose(route: Route) -> None:
        route.abort() if route.request.method == "POST" else route.continue_()

    page.route("**/kills/", lose)
    hold_and_let_go(page, page.locator("#hold"))
    page.get_by_role("alert").filter(has_text="NO ANSWER").wait_for()


def press_too_early(page: Page) -> None:
    page.evaluate("document.querySelector('form.confirm').getAnimations()[0].currentTime = 100")
    page.locator("#hold").dispatch_event("keydown", {"key": " "})
    page.get_by_role("status").filter(has_text="Too early").wait_for()


def press_twice_and_change_it_between(page: Page) -> None:
    def answer(route: Route) -> None:
        told = {"kill": f"/kills/{uuid.uuid4()}/", "is_of_these_fields": False, "csrf_token": "x"}
        route.fulfill(json=told if "latched=on" in route.request.url else {**told, "kill": None})

    page.route("**/kills/by-key/**", answer)
    page.route("**/kills/", lambda route: route.fulfill(status=500))
    hold_and_let_go(page, page.locator("#hold"))
    page.get_by_role("alert").filter(has_text="NOT SENT").wait_for()
    page.get_by_role("radio", name="latched").check()
    hold_and_let_go(page, page.locator("#hold"))
    page.get_by_role("alert").filter(has_text="THE FIRST WAS SENT").wait_for()


def press_without_a_log_in(page: Page) -> None:
    page.context.clear_cookies(name="sessionid")
    hold_and_let_go(page, page.locator("#hold"))
    page.get_by_role("alert").filter(has_text="NOT SENT").wait_for()


def first_entry(page: Page) -> None:
    page.locator("table.trail tbody th a").first.click()
    page.wait_for_load_state()


STATES = [
    State("log-in", "", at("/login/", book=False)),
    State("log-in-refused", "", at("/login/", book=False), submit("#log-in", username="desk", password="wrong")),
    State("log-in-after-a-press", "", at("/login/?next=/&not_sent=1", book=False)),
    State("desk", "desk", at("/")),
    State("desk-by-the-slower-way", "desk", lit("slower", "/")),
    State("not-armed", "desk", lit("not armed", "/")),
    State("light-armed", "desk", lit("armed", "/light/")),
    State("light-by-the-slower-way", "compliance", lit("slower", "/light/")),
    State("light-not-armed", "desk", lit("not armed", "/light/")),
    State("light-not-known", "desk", at("/light/", book=False)),
    State("desk-without-accounts", "desk", at("/", book=False)),
    State("desk-with-old-lists", "desk", listed("old")),
    State("desk-with-unusual-arrivals", "desk", listed("unusual")),
    State("desk-while-one-runs", "desk", beside("running", "/")),
    State("desk-while-one-is-latched", "desk2", beside("latched", "/")),
    State("desk-for-compliance", "compliance", at("/")),
    State("desk-without-a-role", "nobody", at("/"), status=403),
    State("account", "desk", at(f"/accounts/{FIRST}/")),
    State("account-filtered", "desk", at(f"/accounts/{FIRST}/?side=SELL&status=NEW"), open_filters),
    State("account-selected", "desk", at(f"/accounts/{FIRST}/"), select_two),
    State("account-without-orders", "desk", lambda scene: f"/accounts/{scene.empty_account()}/"),
    State("account-never-listed", "desk", at("/accounts/99999/")),
    State("account-filter-error", "desk", at(f"/accounts/{FIRST}/?side=UP&colour=red"), status=400),
    State("confirm", "desk", at("/kills/new/?all_accounts=on")),
    State("confirm-part", "desk", at(f"/kills/new/?account={FIRST}&side=SELL&order_type=LIMIT&instruments=TSLA")),
    State("confirm-without-holding", "desk", at(f"/kills/new/?account={FIRST}"), click_without_holding),
    State("confirm-no-answer", "desk", at(f"/kills/new/?account={FIRST}"), press_and_hear_nothing),
    State("confirm-logged-out", "desk", at(f"/kills/new/?account={FIRST}"), press_without_a_log_in),
    State("confirm-too-early", "desk", at(f"/kills/new/?account={FIRST}"), press_too_early),
    State("confirm-first-was-sent", "desk", at(f"/kills/new/?account={FIRST}"), press_twice_and_change_it_between),
    State("confirm-dry-run", "desk", at(f"/kills/new/?account={FIRST}&dry_run=on")),
    State("confirm-called-a-drill", "desk", at(f"/kills/new/?account={FIRST}&reason=Drill")),
    State("confirm-error", "desk", at(f"/kills/new/?account={FIRST}&account=x&side=UP"), status=400),
    State("confirm-unknown-field", "desk", at(f"/kills/new/?account={FIRST}&colour=red"), status=400),
    State(
        "confirm-not-sent",
        "desk",
        at(f"/kills/new/?account={FIRST}&latched=on&dry_run=on"),
        submit("form.confirm"),
        status=400,
    ),
    State("confirm-refused", "compliance", at("/kills/new/?all_accounts=on"), status=403),
    State("kill-running", "desk", kill("running"), open_all),
    State("kill-let-go-of", "desk2", kill("let go of"), open_all),
    State("kill-left-alone", "desk", kill("left alone"), open_all),
    State("kill-flat", "desk", kill("flat")),
    State("kill-not-flat", "desk", kill("not flat")),
    State("kill-unknown", "desk", kill("unknown")),
    State("kill-latched", "desk2", kill("latched")),
    State("kill-latched-by-oneself", "desk", kill("latched")),
    State("kill-not-released", "desk2", kill("latched", "release/"), submit("#release form", reason="")),
    State("kill-dry-run", "desk", kill("dry run")),
    State("kill-acknowledged", "desk", kill("acknowledged")),
    State("kill-for-compliance", "compliance", kill("not flat")),
    State("call-sheet", "desk", kill("not flat", "call-sheet/")),
    State("summary", "compliance", kill("not flat", "summary/")),
    State("kills-none", "desk", at("/kills/")),
    State("kills", "desk", beside("not flat", "/kills/")),
    State("drills", "desk", beside("dry run", "/drills/")),
    State("drills-error", "desk", at("/drills/"), submit("main .plan form", every_days="often")),
    State("audit", "compliance", beside("flat", "/audit/")),
    State("audit-found-nothing", "compliance", at("/audit/?q=nothing-like-it")),
    State("audit-error", "compliance", at("/audit/?since=yesterday&colour=red"), open_all, status=400),
    State("audit-entry", "compliance", beside("not flat", "/audit/"), first_entry),
    State("audit-verification", "compliance", at("/audit/verification/")),
    State("palette", "desk", at("/"), press_key("/", then_type="kill t")),
    State("keys", "desk", at("/"), press_key("?")),
    State("go", "desk", at("/go/")),
    State("go-to-one-of-several", "desk", at("/go/?q=kill+t")),
    State("go-not-understood", "compliance", at("/go/?q=kill+TSLA")),
    State("help", "desk", at("/help/", book=False)),
    State("help-without-a-role", "nobody", at("/help/", book=False)),
    State("messages-to-nobody", "desk", at("/telling/")),
    State("messages", "desk", told("well")),
    State("messages-failing", "desk", told("failing")),
    State("messages-failing-on-the-desk", "desk", told("failing", "/")),
    State("messages-of-a-teller-that-is-gone", "compliance", told("nobody")),
    State("users", "admin", at("/users/")),
    State("user", "admin", lambda scene: f"/users/{scene.user()}/"),
    State("user-error", "admin", lambda scene: f"/users/{scene.user()}/", submit("main form", password="x")),
    State("new-user", "admin", at("/users/new/")),
    State("new-user-error", "admin", at("/users/new/"), submit("main form")),
    State("own-password", "desk", at("/login/password/", book=False)),
    State("own-password-error", "desk", at("/login/password/", book=False), submit("main form", password="x")),
    State("user-accounts", "admin", lambda scene: f"/users/{scene.team() and scene.user()}/accounts/", open_all),
    State(
        "user-accounts-error",
        "admin",
        lambda scene: f"/users/{scene.user()}/accounts/",
        submit("main form", sees="19816, all", kills="x"),
    ),
    State("teams", "admin", lambda scene: "/teams/" if scene.team() else ""),
    State("teams-none", "admin", at("/teams/")),
    State("team", "admin", lambda scene: f"/teams/{scene.team()}/"),
    State("team-error", "admin", at("/teams/new/"), submit("main form", name="risk desk", kills="x")),
    State("limited-desk", "desk", limited("desk", "/")),
    State("limited-desk-without-an-account", "desk2", limited("desk2", "/")),
    State("limited-confirm", "desk", limited("desk", "/kills/new/?all_accounts=on")),
    State("limited-refused", "desk", limited("desk", f"/kills/new/?account={FIRST + 2}"), status=403),
    State("limited-kill-in-part", "desk", limited("desk", "/kills/{}/", beside="all running")),
    State("limited-kills", "desk", limited("desk", "/kills/", beside="all running")),
    State("limited-entry", "compliance", limited("compliance", "/audit/", beside="flat"), first_entry),
    State("second-factor", "desk", at("/second-factor/", book=False)),
    State("second-factor-codes", "desk", at("/second-factor/app/", book=False)),
    State("second-factor-passkey", "desk", at("/second-factor/passkeys/new/", book=False)),
    State("show-who-you-are", "desk", at("/login/again/password/?next=/&not_sent=1", book=False)),
    State("error-400", "desk", lambda scene: scene.plain("400"), status=400),
    State("error-403", "desk", at("/users/"), status=403),
    State("error-404", "desk", at("/nowhere/"), status=404),
    State("error-500", "desk", lambda scene: scene.plain("500"), status=500),
    State("error-csrf", "desk", lambda scene: scene.plain("csrf"), status=403),
]
