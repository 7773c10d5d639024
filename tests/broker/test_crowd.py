"""How many requests are on their way at once: as many as the broker bears, and never only one."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import httpx
import pytest

from killswitch.broker import BrokerError, ClearStreet, _crowd
from killswitch.broker._crowd import LEAST, SHRINK_EVERY
from killswitch.broker.client import Timeouts
from tests.over_httpx import OverHttpx

MOST = 100


class Broker:
    """Counts who is there at once. `answer` is given that number and says what it answers, and after how long."""

    def __init__(self, answer: Callable[[int], tuple[int, float]]) -> None:
        self._answer = answer
        self.present = 0
        self.most = 0  # since somebody last set it back

    async def take(self, request: httpx.Request) -> httpx.Response:
        self.present += 1
        self.most = max(self.most, self.present)
        status, seconds = self._answer(self.present)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.present -= 1
        order = {"data": {"id": request.url.path.rpartition("/")[2]}}
        return httpx.Response(status, json=order if status == 200 else {"error": {"code": status, "message": "no"}})


def use(broker: Broker, work: Callable[[ClearStreet], Awaitable[None]], timeouts: Timeouts = Timeouts(total=5)) -> None:
    async def run() -> None:
        transport = OverHttpx(broker.take)
        await work(
            ClearStreet(
                api_key="k", base_url="http://street", transport=transport, max_in_flight=MOST, timeouts=timeouts
            )
        )

    asyncio.run(run())


async def cancel(client: ClearStreet, count: int) -> None:
    async def one(number: int) -> None:
        with contextlib.suppress(BrokerError):
            await client.cancel_open_order(1, f"o-{number}", is_first=True)

    await asyncio.gather(*map(one, range(count)))


def test_as_many_as_may_be_are_on_their_way_where_the_broker_bears_it() -> None:
    broker = Broker(lambda _: (200, 0.01))
    use(broker, lambda client: cancel(client, 500))
    assert broker.most == MOST


@pytest.mark.parametrize("status", [429, 503])
def test_fewer_while_the_broker_refuses_and_never_only_one(status: int) -> None:
    broker = Broker(lambda _: (status, 0.01))

    async def work(client: ClearStreet) -> None:
        for _ in range(9):
            await asyncio.gather(cancel(client, MOST), asyncio.sleep(SHRINK_EVERY))
        broker.most = 0
        await cancel(client, MOST)

    use(broker, work)
    assert broker.most == MOST * LEAST


def test_all_again_once_it_bears_them() -> None:
    refuses = [True]
    broker = Broker(lambda _: (429 if refuses[0] else 200, 0.01))

    async def work(client: ClearStreet) -> None:
        for _ in range(8):
            await asyncio.gather(cancel(client, MOST), asyncio.sleep(SHRINK_EVERY))
        refuses[0] = False
        await cancel(client, 15 * MOST)
        broker.most = 0
        await cancel(client, MOST)

    use(broker, work)
    assert broker.most == MOST


def test_fewer_where_they_make_the_broker_slow() -> None:
    broker = Broker(lambda present: (200, 0.6 if present > 30 else 0.01))

    async def work(client: ClearStreet) -> None:
        await cancel(client, 10)
        await cancel(client, 500)
        broker.most = 0
        await cancel(client, MOST)

    use(broker, work)
    assert MOST * LEAST <= broker.most < MOST


def test_silence_does_not_keep_the_others_waiting() -> None:
    broker = Broker(lambda _: (200, 60))

    async def work(client: ClearStreet) -> None:
        await cancel(client, MOST)
        broker.most = 0
        await cancel(client, MOST)

    use(broker, work, timeouts=Timeouts(total=0.3))
    assert broker.most == MOST


def test_all_is_as_it_was_when_there_has_been_no_sign_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_crowd, "RECOVERED", 0.0)
    refuses = [True]
    broker = Broker(lambda _: (429 if refuses[0] else 200, 0.01))

    async def work(client: ClearStreet) -> None:
        for _ in range(8):
            await asyncio.gather(cancel(client, MOST), asyncio.sleep(SHRINK_EVERY))
        refuses[0] = False
        await cancel(client, 1)
        broker.most = 0
        await cancel(client, MOST)

    use(broker, work)
    assert broker.most == MOST


def test_a_mass_cancel_waits_for_none_of_it() -> None:
    broker = Broker(lambda _: (429, 0.05))

    async def mass(client: ClearStreet, account: int) -> None:
        with contextlib.suppress(BrokerError):
            await client.cancel_all_open_orders(account)

    async def work(client: ClearStreet) -> None:
        for _ in range(6):
            await asyncio.gather(cancel(client, MOST), asyncio.sleep(SHRINK_EVERY))
        broker.most = 0
        await asyncio.gather(*(mass(client, account) for account in range(1, 3 * MOST)))

    use(broker, work)
    assert broker.most == 3 * MOST - 1


def test_what_is_no_part_of_a_kill_waits_for_the_cancels_but_not_for_ever() -> None:
    broker = Broker(lambda _: (200, 0.2))
    waited: list[float] = []

    async def calm(client: ClearStreet, seconds: float) -> None:
        began = asyncio.get_running_loop().time()
        await client.calm(seconds)
        waited.append(asyncio.get_running_loop().time() - began)

    async def work(client: ClearStreet) -> None:
        await calm(client, 5)  # nobody is there
        crowd = asyncio.create_task(cancel(client, 5 * MOST))
        for _ in range(20):  # turns of the loop, in which all of them come to the door
            await asyncio.sleep(0)
        assert client.is_crowded
        await calm(client, 0.1)  # they are still there
        assert client.is_crowded
        await calm(client, 60)
        assert not client.is_crowded
        await crowd

    use(broker, work)
    assert waited[0] < 0.1 <= waited[1] < waited[2] < 60
