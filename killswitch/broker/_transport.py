"""The transport under httpx: aiohttp's connections, because httpx's own pool breaks down at 200 requests at once.

Written here and not taken from a bridge between the two: what a bridge and httpx's client do around each request takes
longer than the request itself, and of 5,000 cancels at once every one waits for that.
"""

import aiohttp
import httpx
import yarl

KEEP_IDLE_SECONDS = 90
# aiohttp says these when no connection could be made, so nothing was sent.
NEVER_SENT = (
    *(aiohttp.ClientConnectorError, aiohttp.InvalidURL),
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol),
)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends a request once, and reads its answer to the end. `connect` is how long a connection may take, in seconds.

    It opens its session on the event loop of its first request. Raises httpx.ConnectTimeout, and what aiohttp raises.
    """

    def __init__(self, connect: float) -> None:
        self._connect = connect
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = self._session = self._session or self._open()
        # The path is quoted already, and must not be once more.
        url = yarl.URL(str(request.url), encoded=True)
        try:
            async with session.request(request.method, url, headers=request.headers, allow_redirects=False) as answer:
                body = await answer.read()
                return httpx.Response(answer.status, headers=answer.raw_headers, content=body)
        except aiohttp.ConnectionTimeoutError as error:
            # A TimeoutError as well, which would read as an answer that did not come.
            raise httpx.ConnectTimeout("no connection") from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,  # the client bounds what is in flight before it comes here
            keepalive_timeout=KEEP_IDLE_SECONDS,
            ssl=httpx.create_ssl_context(),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # The client keeps the total.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect),
            auto_decompress=False,  # httpx does
        )
        # aiohttp sends a DELETE again by itself when a kept connection turns out to be closed. A request that nobody
        # announced must not leave, so that is off; tests/broker/test_transport.py holds it.
        session._retry_connection = False
        return session


def was_never_sent(error: Exception) -> bool:
    """Say whether `error` means that no byte of the request left."""
    return isinstance(error, NEVER_SENT)
