"""What carries a request to the broker and its answer back: aiohttp, whose connections bear hundreds at once.

httpx's pool breaks down with 200 requests under way, and even its requests and responses alone take as long as all of
aiohttp: of 5,000 cancels at once every one waits for that.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import certifi
import yarl

KEEP_IDLE_SECONDS = 90
# Where OpenSSL is told which certificates to trust.
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class NeverSent(Exception):
    """No connection could be made, so no byte of the request left."""


@dataclass(frozen=True)
class Reply:
    """What came back. `headers` know no upper and lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class Transport(Protocol):
    """Sends a request once, and reads its answer to the end."""

    async def send(self, method: str, url: str, headers: Mapping[str, str]) -> Reply:
        """Send it and wait. `url` is quoted. Raises NeverSent; whatever else it raises, the request may have left."""

    async def aclose(self) -> None: ...


class AiohttpTransport:
    """The real one. `connect` is how long a connection may take, in seconds.

    It opens its session on the event loop of its first request.
    """

    def __init__(self, connect: float) -> None:
        self._connect = connect
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, url: str, headers: Mapping[str, str]) -> Reply:
        session = self._session = self._session or self._open()
        try:
            # Quoted already, and not to be quoted once more.
            quoted = yarl.URL(url, encoded=True)
            async with session.request(method, quoted, headers=headers, allow_redirects=False) as answer:
                return Reply(answer.status, answer.headers, await answer.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            # The one in the middle is a TimeoutError as well, which would read as an answer that did not come.
            raise NeverSent from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,  # the client bounds what is in flight before it comes here
            keepalive_timeout=KEEP_IDLE_SECONDS,
            ssl=_trusted(),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # The client keeps the total.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect),
        )
        # aiohttp sends a DELETE again by itself when a kept connection turns out to be closed. A request that nobody
        # announced must not leave, so that is off; tests/broker/test_transport.py holds it.
        session._retry_connection = False
        return session


def _trusted() -> ssl.SSLContext:
    """Trust what the environment says, else what browsers trust: a fresh Python on macOS has no certificates."""
    is_told = any(os.environ.get(name) for name in TRUST)
    return ssl.create_default_context(cafile=None if is_told else certifi.where())
