"""The transport under httpx: aiohttp's connections, because httpx's own pool breaks down at 200 requests at once."""

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

KEEP_IDLE_SECONDS = 90
# aiohttp says these when no connection could be made, so nothing was sent.
NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def make_transport() -> httpx.AsyncBaseTransport:
    """Make a transport that opens its session on the event loop of its first request."""
    return AiohttpTransport(client=_open_session)


def _open_session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # the client bounds what is in flight before it comes here
        keepalive_timeout=KEEP_IDLE_SECONDS,
        ssl=httpx.create_ssl_context(),
    )
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    # aiohttp sends a DELETE again by itself when a kept connection turns out to be closed. A request that nobody
    # announced must not leave, so that is off; tests/broker/test_transport.py holds it.
    session._retry_connection = False
    return session


def was_never_sent(error: Exception) -> bool:
    """Say whether `error` means that no byte of the request left.

    httpx-aiohttp 0.2 reports a connection that was dropped *after* sending as `httpx.ConnectTimeout`, so the cause
    decides where there is one.
    """
    if isinstance(error.__cause__, aiohttp.ClientError | OSError):
        return isinstance(error.__cause__, NEVER_SENT)
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol)
