"""A poll is answered with what has changed since the page was last told, and with nothing where nothing has.

Every answer leaves marks on the page, one per part, and the page's script sends them back with the next poll. A poll
that brings none is answered in full.
"""

import hashlib
import re
from collections.abc import Mapping

from django.http import HttpRequest

HEADER = "X-Seen"
LONGEST = 1000
# Ages count on in the browser, and each rendering makes a new token: neither is news.
NO_NEWS = re.compile(r'data-(?:age|pressed|as-of)="[^"]*">[^<]*<|name="csrfmiddlewaretoken" value="[^"]*"')


def digest(*values: object) -> str:
    """Return a short text that differs where the values do."""
    return hashlib.blake2b(repr(values).encode(), digest_size=6).hexdigest()


def digest_of_page(text: str) -> str:
    """Return a digest of what a part of a page shows, whatever only counts on in it."""
    return digest(NO_NEWS.sub("", text))


def written(marks: Mapping[str, str]) -> str:
    return " ".join(f"{name}:{mark}" for name, mark in marks.items())


def seen(request: HttpRequest) -> dict[str, str]:
    """Return the marks that the page has from the answer before."""
    pairs = (part.partition(":") for part in request.headers.get(HEADER, "")[:LONGEST].split())
    return {name: mark for name, _, mark in pairs}
