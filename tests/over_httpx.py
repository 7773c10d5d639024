"""A way to the broker that ends in a function: httpx's requests and responses say well what is on the wire."""

from collections.abc import Awaitable, Callable, Mapping

import httpx

from killswitch.broker._transport import NeverSent, Reply


class OverHttpx:
    """A transport of the broker's client. `handler` takes a request and answers it, at once or when awaited.

    An error of httpx that means that nothing was sent becomes NeverSent.
    """

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]) -> None:
        self._handler = handler

    async def send(self, method: str, url: str, headers: Mapping[str, str]) -> Reply:
        try:
            answered = self._handler(httpx.Request(method, url, headers=headers))
            response = answered if isinstance(answered, httpx.Response) else await answered
        except httpx.ConnectError as error:
            raise NeverSent from error
        return Reply(response.status_code, response.headers, response.content)

    async def aclose(self) -> None:
        """Nothing is open."""
