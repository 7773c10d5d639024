"""One message to one chat, in a process of its own: a question as JSON on its input, an answer on its output.

Knows no Django, and says nothing that a service or apprise has said but a status: their words hold addresses.
"""

import json
import logging
import os
import re
import sys
from typing import Any

STATUS = re.compile(r"error=(\d{3})\b")


def main() -> None:
    # Loading apprise is work for half a second, and the kill that it tells of may be under way on the same processors.
    os.nice(5)
    question = json.load(sys.stdin)
    answer_to = os.fdopen(os.dup(1), "w")
    # Whatever a service's code prints or logs goes nowhere.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    logging.disable(logging.NOTSET)
    logging.getLogger().addHandler(logging.NullHandler())
    json.dump(_send(question) if "body" in question else _check(question), answer_to)
    answer_to.flush()


def _check(question: dict[str, Any]) -> dict[str, Any]:
    from apprise import Apprise

    return {"wrong": [number for number, url in enumerate(question["urls"], 1) if not Apprise().add(url)]}


def _send(question: dict[str, Any]) -> dict[str, Any]:
    from apprise import Apprise, NotifyFormat

    said: list[str] = []
    handler = _Listening(said)
    logging.getLogger("apprise").addHandler(handler)
    service = Apprise()
    if not service.add(question["urls"][0]):
        return {"refused": "apprise does not understand its address"}
    title, body, tone = question["title"], question["body"], question["tone"]
    if service.notify(body, title=title, notify_type=tone, body_format=NotifyFormat.TEXT):
        return {}
    return {"refused": _why(said)}


class _Listening(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


def _why(said: list[str]) -> str:
    """Say why it was not taken, by what apprise logged."""
    told = " ".join(said)
    if status := STATUS.search(told):
        return f"it answered {status[1]}"
    if "onnection error" in told:
        return "it could not be reached, or did not answer"
    return "it did not take the message"


if __name__ == "__main__":
    main()
