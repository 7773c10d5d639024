"""The real transport against a server that closes connections: nothing is sent twice, and what was sent is known."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from killswitch.broker import BrokerError, ClearStreet, OutcomeUnknown, Unreachable
from killswitch.broker.client import Timeouts

ANSWER = b'{"data": [], "metadata": {"request_id": "r"}}'
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


async def with_server(closes_after: int, use: Callable[[ClearStreet], Awaitable[None]]) -> list[str]:
    """Serve requests, closing each connection unanswered once it has answered `closes_after`. Return what arrived."""
    arrived: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(closes_after):
            arrived.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode())
            writer.write(RESPONSE)
        arrived.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = ClearStreet(api_key="k", base_url=f"http://127.0.0.1:{port}")
    try:
        await use(client)
    finally:
        await client.aclose()
        server.close()
    return arrived


@pytest.mark.parametrize("kept", [0, 1])
def test_a_delete_whose_connection_closes_is_unknown_and_sent_once(kept: int) -> None:
    async def use(client: ClearStreet) -> None:
        for _ in range(kept):
            await client.cancel_all_open_orders(1)
        with pytest.raises(OutcomeUnknown):
            await client.cancel_all_open_orders(1)

    arrived = asyncio.run(with_server(kept, use))
    assert arrived == ["DELETE /v1/accounts/1/orders HTTP/1.1"] * (kept + 1)


def test_a_closed_port_is_unreachable() -> None:
    async def run() -> None:
        client = ClearStreet(api_key="k", base_url="http://127.0.0.1:9")
        try:
            with pytest.raises(BrokerError) as caught:
                await client.cancel_all_open_orders(1)
            assert type(caught.value) is Unreachable
        finally:
            await client.aclose()

    asyncio.run(run())


def test_a_connection_that_takes_too_long_was_never_sent() -> None:
    async def run() -> None:
        with socket.socket() as listener, ExitStack() as held:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):  # nobody takes them, and there is room for no more
                waiting = held.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            port = listener.getsockname()[1]
            client = ClearStreet(
                api_key="k", base_url=f"http://127.0.0.1:{port}", timeouts=Timeouts(connect=0.3, total=20)
            )
            try:
                with pytest.raises(Unreachable) as caught:
                    await client.cancel_all_open_orders(1)
                assert not caught.value.maybe_acted
            finally:
                await client.aclose()

    asyncio.run(run())


def test_an_odd_order_id_arrives_as_it_is() -> None:
    async def use(client: ClearStreet) -> None:
        with pytest.raises(OutcomeUnknown):
            await client.cancel_open_order(1, "../a b?c/d%")

    arrived = asyncio.run(with_server(0, use))
    assert arrived == ["DELETE /v1/accounts/1/orders/..%2Fa%20b%3Fc%2Fd%25 HTTP/1.1"]
