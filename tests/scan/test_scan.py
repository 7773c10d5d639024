"""A scan of the running product: the real web process, over the wire, by somebody who means it ill."""

import time
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

import pytest
from django.utils import timezone

from killswitch.access.roles import ADMINISTRATOR, COMPLIANCE, RISK_DESK
from killswitch.book.operations import refresh
from killswitch.browser_rules import policy
from killswitch.kills.models import Kill
from tests.faults.stack import Stack
from tests.test_every_url import METHODS, NOBODY, TABLE, expected

from .conftest import Attacker, Form, Forms

pytestmark = pytest.mark.django_db(transaction=True)

Be = Callable[[str], Attacker]
WHO = {"": NOBODY, "desk": RISK_DESK, "compliance": COMPLIANCE, "admin": ADMINISTRATOR}
TAG = "<zq7 onload=x>"
INJECTIONS = (
    f"\"'>{TAG}",
    "' OR 1=1; DROP TABLE kills_kill; --",
    "{{ 61234|add:61234 }}{% debug %}${61234*2}",
    "\r\nX-Injected: yes",
    "\x00\ud7ff%00",
    "../../../../etc/passwd",
    "9" * 400,
)
PARAMETERS = (
    *("q", "page", "side", "status", "account", "order_id", "instruments", "sort", "since", "until", "next", "person"),
    *("kind", "symbol", "kill", "before", "after", "quarter", "year", "parts", "order", "client_order_id_prefix"),
)
RULES = {
    "content-security-policy": policy(),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def test_every_method_of_every_page_does_what_the_table_says_and_every_answer_has_its_headers(
    attacker: Be, addresses: dict[str, str]
) -> None:
    wrong = []
    for name, who in WHO.items():
        somebody = attacker(name)
        for url, address in addresses.items():
            for method in METHODS:
                if address in ("/logout/", "/login/") and method == "POST":
                    continue  # would end the session
                fields = {"csrfmiddlewaretoken": somebody.token} if method == "POST" else None
                headers = {} if method in ("GET", "HEAD", "POST") else {"X-CSRFToken": somebody.token}
                answer = somebody.http.request(method, address, data=fields, headers=headers)
                told = {403: "refused", 405: "no such method", 500: "broken"}.get(answer.status_code, "through")
                told = "log-in" if answer.headers.get("Location", "").startswith("/login/?next=") else told
                if told != expected(TABLE[url], who, method):
                    wrong.append(f"{who}: {method} {address}: {told}")
                if missing := {rule for rule, value in RULES.items() if answer.headers.get(rule) != value}:
                    wrong.append(f"{method} {address}: without {missing}")
                if "server" in answer.headers and any(each.isdigit() for each in answer.headers["server"]):
                    wrong.append(f"{address}: names its version")
    assert wrong == []


def test_no_form_goes_through_without_its_token(attacker: Be, addresses: dict[str, str]) -> None:
    for name in ("desk", "compliance", "admin"):
        somebody = attacker(name)
        for address in addresses.values():
            for headers in ({}, {"Origin": "https://evil.example"}, {"X-CSRFToken": "x" * 64}):
                answer = somebody.http.post(address, data={"all_accounts": "on", "reason": "x"}, headers=headers)
                assert answer.status_code == 403, address
                assert "NOT SENT" in answer.text
    assert Kill.objects.count() == 1


def looks_wrong(answer) -> str:  # type: ignore[no-untyped-def]
    """Say what is wrong with the answer to an injection, nothing where it is as it should be."""
    if answer.status_code >= 500 and answer.status_code != 503:
        return f"answered {answer.status_code}"
    if "html" in answer.headers.get("content-type", "") and TAG in answer.text:
        return "repeats a tag as it came"
    if "x-injected" in answer.headers:
        return "lets a header in"
    if "root:x:" in answer.text or "122468" in answer.text:
        return "ran what it was sent"
    return ""


def test_nothing_that_is_typed_into_a_form_breaks_a_page_or_comes_back_as_markup(
    attacker: Be, addresses: dict[str, str]
) -> None:
    wrong, tried = [], 0
    for name in ("", "desk", "compliance", "admin"):
        somebody, seen = attacker(name), set()
        for address in addresses.values():
            page = somebody.http.get(address)
            if "html" not in page.headers.get("content-type", ""):
                continue
            for form in Forms(page.text).found:
                action = form.action or urlsplit(address).path
                if action == "/logout/" or (action, form.method, *form.fields) in seen:
                    continue
                seen.add((action, form.method, *form.fields))
                for field in form.fields:
                    for sent in INJECTIONS:
                        answer = send(somebody, form, action, {**form.fields, field: sent})
                        tried += 1
                        if why := looks_wrong(answer):
                            wrong.append(f"{name}: {form.method} {action} {field}={sent[:40]!r}: {why}")
    assert wrong == []
    assert tried > 500


def send(somebody: Attacker, form: Form, action: str, fields: dict[str, str]):  # type: ignore[no-untyped-def]
    if form.method == "GET":
        return somebody.http.get(action, params=fields)
    return somebody.http.post(action, data={"csrfmiddlewaretoken": somebody.token, **fields})


def test_no_parameter_breaks_a_page_or_comes_back_as_markup(attacker: Be, addresses: dict[str, str]) -> None:
    wrong = []
    for name in ("", "desk", "compliance", "admin"):
        somebody = attacker(name)
        for address in addresses.values():
            for sent in INJECTIONS:
                query = urlencode(dict.fromkeys(PARAMETERS, sent), errors="replace")
                for url in (
                    f"{address}{'&' if '?' in address else '?'}{query}",
                    f"{address}?{urlencode({sent: sent})}",
                ):
                    if why := looks_wrong(somebody.http.get(url)):
                        wrong.append(f"{name}: {address} {sent[:40]!r}: {why}")
    assert wrong == []


def test_words_of_the_broker_are_shown_as_words(attacker: Be, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = {"client_order_id": f"algo-{TAG}", "symbol": "TSLA"}
    stack.control.add_orders(19816, order=evil)
    monkeypatch.setenv("CLEAR_STREET_BASE_URL", stack.simulator.url)
    refresh(requests_per_second=50, now=timezone.now())
    somebody = attacker("desk")
    shown = somebody.http.get("/accounts/19816/").text
    assert "algo-&lt;zq7" in shown
    for page in (
        "/",
        "/accounts/19816/",
        f"/accounts/19816/?{urlencode({'client_order_id_prefix': evil['client_order_id']})}",
    ):
        assert TAG not in somebody.http.get(page).text


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "https:evil.example",
        "javascript:x",
    ],
)
def test_the_log_in_leads_nowhere_else(address: str, attacker: Be) -> None:
    somebody = attacker("")
    for page in ("/login/", f"/login/?{urlencode({'next': address})}"):
        answer = somebody.post(page, username="desk", password="secret-enough", next=address)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        somebody.http.cookies.clear()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", ""])
def test_another_name_of_the_host_is_refused(host: str, attacker: Be) -> None:
    for headers in ({"Host": host}, {"Host": "127.0.0.1", "X-Forwarded-Host": host}):
        answer = attacker("").http.get("/", headers=headers)
        assert answer.status_code == 400 if headers["Host"] == host else answer.status_code == 302
        assert "evil" not in answer.text + answer.headers.get("Location", "")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/static/../manage.py",
            "/static/%2e%2e/manage.py",
            "/static/..%2fmanage.py",
            "/static/css/..%5c..%5cmanage.py",
        ),
        *("/static//etc/passwd", "/static/%00", "/static/js/../../killswitch/settings.py", "/../../etc/passwd"),
    ],
)
def test_no_file_is_read_but_what_is_to_be_served(path: str, attacker: Be) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    answer = attacker("").raw(request.encode())
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert b"execute_from" not in answer and b"root:" not in answer


def test_a_method_is_what_it_is_whatever_else_says_so(attacker: Be) -> None:
    somebody = attacker("desk")
    for headers in ({"X-HTTP-Method-Override": "POST"}, {"X-Method-Override": "POST"}, {"X-HTTP-Method": "POST"}):
        answer = somebody.http.get("/kills/", params={"_method": "POST", "all_accounts": "on"}, headers=headers)
        assert answer.status_code == 200
    assert not Kill.objects.exists()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 20_000_000,
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"a" * 20_000_000,
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-Many: a\r\n" * 200_000 + b"\r\n",
    ],
    ids=["line", "header", "headers"],
)
def test_what_is_far_too_long_is_given_up_at_once(request_: bytes, attacker: Be) -> None:
    somebody, began = attacker(""), time.monotonic()
    answer = somebody.raw(request_)
    assert time.monotonic() - began < 10
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"414", b"431")
    assert somebody.http.get("/healthz").status_code == 200


def test_a_form_that_is_far_too_large_is_refused(attacker: Be) -> None:
    somebody = attacker("desk")
    large = somebody.post("/kills/", reason="x" * 4_000_000)
    many = somebody.http.post(
        "/kills/", content=b"csrfmiddlewaretoken=x&" + b"order_id=a&" * 30_000, headers={"Content-Type": FORM}
    )
    assert {large.status_code, many.status_code} <= {400, 403, 413}
    assert not Kill.objects.exists()


FORM = "application/x-www-form-urlencoded"


def test_over_a_proxy_that_ends_tls_everything_else_is_sent_away(stack: Stack) -> None:
    address = stack.web(HTTPS_ONLY="on", PROXY_SAYS_HTTPS="on", HSTS_SECONDS="600")
    somebody = Attacker(address)
    plain = somebody.http.get("/login/")
    assert (plain.status_code, plain.headers["Location"]) == (301, address.replace("http:", "https:") + "/login/")
    page = somebody.http.get("/login/", headers={"X-Forwarded-Proto": "https"})
    assert page.status_code == 200
    assert page.headers["Strict-Transport-Security"] == "max-age=600; includeSubDomains"
    cookie = page.headers["Set-Cookie"]
    assert cookie.startswith("__Host-csrftoken=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    somebody.http.close()
