"""Whom to tell. An address may hold a secret: a place is called by a number and its kind, and never shows more."""

import importlib.util
import re
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from django.conf import settings
from django.utils.crypto import salted_hmac

from killswitch import env
from killswitch.redaction import hide

SETTINGS = "TELL_MAIL_TO, TELL_URLS or TELL_URLS_FILE"
SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,29})://\S+", re.I)


class Tone(Enum):
    """How a message is meant; chats show it as a colour or a sign."""

    BAD = "failure"
    WARNING = "warning"
    GOOD = "success"
    INFO = "info"


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one place is told: a line that a locked phone shows, and the rest."""

    subject: str
    body: str
    tone: Tone


class Refused(Exception):
    """A place did not take a message. Says why in words that may be shown."""


class NotInstalled(Exception):
    """A place is configured and what it needs is not installed."""


class Place(Protocol):
    """One place: `key` knows it again, `name` may be shown."""

    key: str
    name: str

    def take(self, message: Message) -> None:
        """Hand the message over. Raises Refused, and whatever else went wrong."""


def key_of(address: str) -> str:
    """Return what a place is known again by, from which nobody learns its address."""
    return salted_hmac("killswitch.telling", address, algorithm="sha256").hexdigest()[:32]


def configured() -> list[Place]:
    """Return every place that the settings name. Raises NotInstalled; an odd value ends the process with one line."""
    from .mail import Mail

    places: list[Place] = []
    for number, address in enumerate(settings.TELL_MAIL_TO, 1):
        places.append(Mail(address, number))
    urls = chat_urls()
    if urls:
        if importlib.util.find_spec("apprise") is None:
            raise NotInstalled("TELL_URLS is set and apprise is not installed: pip install .[chat]")
        from .chat import Chat, check

        places += [Chat(url, number) for number, url in enumerate(urls, 1)]
        for number in check(urls):
            env.stop(
                "TELL_URLS", f"is wrong: apprise does not understand address {number} ({scheme_of(urls[number - 1])})"
            )
    return list({place.key: place for place in places}.values())


def chat_urls() -> list[str]:
    """Read the addresses of chats and pagers. Django's settings do not hold them: no page of its can show them."""
    urls = env.secret("TELL_URLS").split()
    hide(*urls, *(url.partition("://")[2] for url in urls))
    for number, url in enumerate(urls, 1):
        if not SCHEME.fullmatch(url):
            env.stop("TELL_URLS", f"is wrong: address {number} does not begin with a scheme and ://, as slack://…")
    return urls


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()
