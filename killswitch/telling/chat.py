"""A chat or a pager, by one of apprise's addresses.

Apprise and its hundred services run in a process of their own for each message: one that hangs can be ended, what they
log or raise is never heard, and of our own secrets they are given the one address.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from .places import Message, Refused, key_of, scheme_of

# With the start of the process, on a machine that is busy with a kill.
SECONDS = 30.0
# What the process is given of the environment: how to find Python's packages and the way out, and no secret of ours.
PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
)


class Chat:
    """Takes a message once its service has taken it."""

    def __init__(self, url: str, number: int, *, seconds: float = SECONDS) -> None:
        self._url = url
        self._seconds = seconds
        self.key = key_of(url)
        self.name = f"chat {number} ({scheme_of(url)})"

    def take(self, message: Message) -> None:
        told = {"title": message.subject, "body": message.body, "tone": message.tone.value}
        answer = _ask({"urls": [self._url], **told}, self._seconds)
        if why := answer.get("refused"):
            raise Refused(str(why))


def check(urls: Sequence[str]) -> list[int]:
    """Return the numbers, from 1, of the addresses that apprise does not understand. Raises Refused."""
    return list(_ask({"urls": list(urls)}, SECONDS)["wrong"])


def _ask(question: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Ask a process of its own, and end it where it takes too long. Raises Refused."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    command = [sys.executable, "-m", "killswitch.telling.chat_process"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=seconds,
            env=environment,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise Refused(f"no answer within {seconds:g} s") from None
    except ValueError:
        # What it wrote instead may hold the address.
        raise Refused(f"the process that tells it broke off (exit code {done.returncode})") from None
    return answer
