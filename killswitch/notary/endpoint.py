"""An HTTP endpoint to which each anchor is posted."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx

from killswitch.audit.anchors import anchor_line
from killswitch.audit.models import Anchor

from .places import Refused

# In all, whatever the other side does: one that sends a byte a second is a hanging one, too.
TOTAL_SECONDS = 15.0


class Endpoint:
    """Takes an anchor by answering with a 2xx. Its path may hold a secret and is not shown."""

    at_once = 1

    def __init__(self, url: str, *, token: str = "", seconds: float = TOTAL_SECONDS) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._seconds = seconds
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.netloc}"[:300]

    def take(self, anchors: Sequence[Anchor]) -> None:
        for anchor in anchors:
            asyncio.run(self._post(anchor_line(anchor)))

    async def _post(self, line: bytes) -> None:
        try:
            async with asyncio.timeout(self._seconds), httpx.AsyncClient(timeout=self._seconds) as client:
                answer = await client.post(self._url, content=line, headers=self._headers)
        except TimeoutError:
            raise Refused(f"no answer within {self._seconds:g} s") from None
        except httpx.HTTPError as error:
            raise Refused(f"{type(error).__name__}: {error}") from None
        if not answer.is_success:
            raise Refused(f"answered {answer.status_code}")
