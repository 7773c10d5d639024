"""Somebody with a browser: a session, a form with its token and key, a press."""

import re
import uuid
from typing import Any

import httpx
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


class Person:
    """A user who is logged in at the web process at `address`."""

    def __init__(self, address: str, user: User) -> None:
        login = Client()
        login.force_login(user)
        self._http = httpx.Client(base_url=address, timeout=30)
        self._http.cookies.set(settings.SESSION_COOKIE_NAME, login.cookies[settings.SESSION_COOKIE_NAME].value)

    def close(self) -> None:
        self._http.close()

    def open_form(self, **asked: Any) -> dict[str, str]:
        """Load the page that asks whether it is meant, and return what its form would send."""
        page = self._http.get("/kills/new/", params=asked)
        assert page.status_code == 200, page.text
        fields = dict(HIDDEN.findall(page.text))
        assert {"csrfmiddlewaretoken", "idempotency_key"} <= fields.keys()
        return fields | {name: str(value) for name, value in asked.items()}

    def token(self) -> dict[str, str]:
        """Return what a form of any page carries against forgery."""
        [token] = set(re.findall(r'name="csrfmiddlewaretoken" value="([^"]*)"', self._http.get("/kills/").text))
        return {"csrfmiddlewaretoken": token}

    def send(self, form: dict[str, str]) -> httpx.Response:
        """Press the button of a form, on a connection of its own."""
        with httpx.Client(base_url=self._http.base_url, cookies=self._http.cookies, timeout=30) as http:
            return http.post("/kills/", data=form)

    def get(self, address: str) -> httpx.Response:
        return self._http.get(address)

    def kill_page(self, kill_id: uuid.UUID) -> str:
        return self._http.get(f"/kills/{kill_id}/").text

    def kill_json(self, kill_id: uuid.UUID) -> dict[str, Any]:
        told: dict[str, Any] = self._http.get(f"/kills/{kill_id}.json").json()
        return told


def kill_of(response: httpx.Response) -> uuid.UUID:
    """Return the number of the kill that a press led to."""
    assert response.status_code == 303, f"{response.status_code}: {response.text[:500]}"
    return uuid.UUID(response.headers["Location"].split("/")[2])
