"""Keep secrets out of everything that is written for people: log lines, tracebacks, pages of errors.

What is read as a secret (`env.secret`) is known by its text, wherever it turns up. What comes with a request, as the
cookie of a session, is known by its form.
"""

import html
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from types import TracebackType
from urllib.parse import quote

HIDDEN = "[hidden]"
# What is shorter is no secret, and stands in words that have nothing to do with it.
SHORTEST = 6
LONG_LINE = 20
QUOTE = r"(?:['\"]|&#x27;|&quot;)"
# Each with words of which it takes one: most lines have none, and a kill writes a line per account.
BY_FORM = (
    (("bearer", "bas"), re.compile(r"\b(bearer|basic)(\s+)[\w.~+/=-]+", re.I), rf"\1\2{HIDDEN}"),
    (
        ("sess", "csrf"),
        re.compile(rf"((?:sessionid|csrftoken|csrfmiddlewaretoken){QUOTE}?\s*[=:,]\s*{QUOTE}?)[\w-]+", re.I),
        rf"\1{HIDDEN}",
    ),
    (("://",), re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.I), rf"\1{HIDDEN}"),
)

_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def hide(*secrets: str) -> None:
    """Let `secrets` show up in no log from now on: as they are, quoted, and a long line of them by itself."""
    global _pattern
    for secret in secrets:
        long_lines = (line.strip() for line in secret.splitlines() if len(line.strip()) >= LONG_LINE)
        _known.update(form for text in (secret, *long_lines) for form in _forms(text) if len(form) >= SHORTEST)
    # The longest first: one may be the beginning of another.
    _pattern = re.compile("|".join(map(re.escape, sorted(_known, key=len, reverse=True)))) if _known else None


def _forms(text: str) -> Iterable[str]:
    return text, quote(text), quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1], html.escape(text)


def redact(text: str) -> str:
    """Return `text` without what is secret."""
    if _pattern is not None:
        text = _pattern.sub(HIDDEN, text)
    # As the patterns see it, to which ſ is an s; there is more that is an i, so no word has one.
    folded = text.casefold()
    for words, form, instead in BY_FORM:
        if any(word in folded for word in words):
            text = form.sub(instead, text)
    return text


class Formatter(logging.Formatter):
    """Formats a record, its traceback included, and takes out what is secret last."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def watch_uncaught() -> None:
    """Let Python's own words about what nobody caught be redacted, too, unless somebody else has taken them over."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _uncaught_in_a_thread


def _uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)
    else:
        print_traceback(error)


def _uncaught_in_a_thread(hook: threading.ExceptHookArgs) -> None:
    if hook.exc_value is not None and not isinstance(hook.exc_value, SystemExit):
        name = hook.thread.name if hook.thread else "?"
        print(f"Exception in thread {name}:", file=sys.stderr)
        print_traceback(hook.exc_value)


def print_traceback(error: BaseException) -> None:
    print(redact("".join(traceback.format_exception(error))), end="", file=sys.stderr, flush=True)
