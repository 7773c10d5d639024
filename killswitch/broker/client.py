"""The Clear Street order API, asynchronous. Every call is one request per page: no redirects, no hidden retries."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from killswitch import env

from ._clock import BrokerClock
from ._crowd import Crowd, NoCrowd
from ._decode import (
    Envelope,
    Metadata,
    T,
    Unreadable,
    read_date,
    read_envelope,
    read_many,
    read_one,
    read_retry_after,
)
from ._transport import AiohttpTransport, NeverSent, Reply, Transport
from .errors import (
    BadRequest,
    BrokerError,
    BrokerFailed,
    NoPermission,
    NoSuchAccount,
    NoSuchOrder,
    NothingMatches,
    OutcomeUnknown,
    RefusedKey,
    Throttled,
    Unreachable,
)
from .types import NO_ORDER_IDS, Account, Execution, Order

PRODUCTION = "https://api.clearstreet.com"
PAGE_SIZE = 1000
MAX_PAGES = 10_000  # a list that never ends is a broken list
CALM_LOOK = 0.05  # seconds
STRAINED = (429, 503)  # too many requests, and what gateways say of too many

D = TypeVar("D")
Guard = Callable[[], None]


class Lane(Enum):
    """Which requests wait for which."""

    MASS_CANCEL = auto()
    FIRST_CANCEL = auto()
    OTHER = auto()


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[D]):
    """What the broker answered. `latency` is in seconds."""

    data: D
    http_status: int
    request_id: str
    latency: float
    unreadable: int = 0  # items of a list that carried no readable id
    clock_offset: float | None = None  # the broker's clock minus ours, in seconds; None where it did not say


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[D]):
    """A list as far as it could be fetched. Only a `whole` one says what is not there. `latency` is in seconds."""

    items: list[D]
    whole: bool
    error: BrokerError | None = None
    requests: int = 0
    request_ids: tuple[str, ...] = ()
    latency: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long one request may take, in seconds."""

    connect: float = 2.0
    total: float = 5.0


@dataclass
class _Page:
    envelope: Envelope
    http_status: int
    latency: float
    clock_offset: float | None


@dataclass
class _Pages(Generic[D]):
    """A list in the making."""

    items: dict[object, D] = field(default_factory=dict)
    unreadable: int = 0
    expected: int | None = None
    tokens: set[str] = field(default_factory=set)
    requests: int = 0
    request_ids: list[str] = field(default_factory=list)
    latency: float = 0.0


class ClearStreet:
    """A client for one key. Use it on one event loop; call `aclose()` at the end.

    Args:
        api_key: the bearer key; it is sent to the broker and nowhere else.
        base_url: scheme and host, such as `https://api.clearstreet.com`.
        timeouts: after `total` seconds a request is given up and its outcome called unknown.
        max_in_flight: how many requests may be on their way at once, first cancels of single orders counted apart;
            fewer while the broker shows strain. Mass cancels are not counted at all: there is one per account, and none
            waits for another.
        transport: another way to the broker, for tests.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = PRODUCTION,
        timeouts: Timeouts = Timeouts(),
        max_in_flight: int = 200,
        transport: Transport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeouts = timeouts
        self._key = api_key.encode()
        self.clock_offset: float | None = None  # as the last answer showed it; see Answer
        self.clock = BrokerClock()  # as many answers show it
        self._lanes: dict[Lane, Crowd] = {
            Lane.MASS_CANCEL: NoCrowd(),
            Lane.FIRST_CANCEL: Crowd(max_in_flight, heeds_latency=True),
            Lane.OTHER: Crowd(max_in_flight),
        }
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "killswitch",
        }
        self._transport = transport or AiohttpTransport(timeouts.connect)

    @classmethod
    def from_environment(cls) -> "ClearStreet":
        """Make a client from CLEAR_STREET_API_KEY, CLEAR_STREET_BASE_URL and CLEAR_STREET_TIMEOUT_SECONDS."""
        return cls(
            api_key=env.needed_secret("CLEAR_STREET_API_KEY"),
            base_url=os.environ.get("CLEAR_STREET_BASE_URL") or PRODUCTION,
            timeouts=Timeouts(total=float(os.environ.get("CLEAR_STREET_TIMEOUT_SECONDS") or Timeouts.total)),
        )

    @property
    def is_crowded(self) -> bool:
        """Say whether as many first cancels are on their way as may be: more wait for their turn."""
        return self._lanes[Lane.FIRST_CANCEL].is_full

    async def calm(self, seconds: float) -> None:
        """Wait while it is crowded, but no longer than so many seconds: what is no part of a kill lets cancels go."""
        for _ in range(round(seconds / CALM_LOOK)):
            if not self.is_crowded:
                return
            await asyncio.sleep(CALM_LOOK)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def warm(self, connections: int) -> None:
        """Use so many connections at once, so that they are open, TLS and all, when they are needed. Raises nothing."""
        await asyncio.gather(*(self.version() for _ in range(connections)), return_exceptions=True)

    async def version(self) -> Answer[str]:
        """Ask for the API's version. Needs no key, so it shows whether the broker can be reached."""
        page = await self._request("GET", "/v1/version")
        try:
            version = msgspec.json.decode(page.envelope.data)["version"]
        except (msgspec.DecodeError, KeyError, TypeError):
            version = ""
        return _answer(page, str(version))

    async def accounts(self) -> Listing[Account]:
        """List the accounts that the key may see."""
        return await self._list(Account, "/v1/accounts", {})

    async def orders(
        self,
        account_id: int,
        *,
        order_ids: Iterable[str] = (),
        before_page: Callable[[], Awaitable[None]] | None = None,
        on_page: Callable[[list[Order]], None] | None = None,
    ) -> Listing[Order]:
        """List the orders of an account, ended ones included.

        `before_page` is awaited before each request, `on_page` is given the orders of each page as it comes. Never
        filtered by status: a list of the statuses that are open today misses the one that is added tomorrow.
        """
        ids = ",".join(order_ids)
        params = {"order_ids": ids} if ids else {}
        return await self._list(Order, f"/v1/accounts/{account_id}/orders", params, before_page, on_page)

    async def executions(
        self,
        account_id: int,
        *,
        since: datetime | None = None,
        instrument_ids: Iterable[str] = (),
        before_page: Callable[[], Awaitable[None]] | None = None,
    ) -> Listing[Execution]:
        """List the fills of an account, newest first, from `since` by the broker's clock on."""
        params = {"from": f"{since:%Y-%m-%dT%H:%M:%S.%fZ}" if since else "", "instrument_ids": ",".join(instrument_ids)}
        given = {name: value for name, value in params.items() if value}
        return await self._list(Execution, f"/v1/accounts/{account_id}/executions", given, before_page)

    async def order(self, account_id: int, order_id: str) -> Answer[Order]:
        """Read one order. Raises NoSuchOrder and every other BrokerError."""
        page = await self._request("GET", _order_path(account_id, order_id))
        return _answer(page, _read_order(page))

    async def cancel_all_open_orders(
        self,
        account_id: int,
        *,
        side: str = "",
        order_type: str = "",
        instrument_type: str = "",
        instrument_ids: Iterable[str] = (),
        guard: Guard | None = None,
    ) -> Answer[list[Order]]:
        """Ask the broker to cancel every open order that matches: accepted, which is not yet canceled.

        It waits for no other request. `guard` is called at the last moment and may raise instead of letting the
        request leave. Raises NothingMatches where nothing was open, and every other BrokerError.
        """
        params = {
            "side": side,
            "type": order_type,
            "instrument_type": instrument_type,
            "instrument_ids": ",".join(instrument_ids),
        }
        path = f"/v1/accounts/{account_id}/orders"
        given = {name: value for name, value in params.items() if value}
        page = await self._request("DELETE", path, given, lane=Lane.MASS_CANCEL, guard=guard)
        try:
            orders, unreadable = read_many(Order, page.envelope.data)
        except Unreadable as error:
            raise _unknown(page, error) from error
        return _answer(page, orders, unreadable)

    async def cancel_open_order(
        self, account_id: int, order_id: str, *, is_first: bool = False, guard: Guard | None = None
    ) -> Answer[Order]:
        """Ask the broker to cancel one order: accepted, or already ended. The order's status says which.

        The first cancel of an order does not queue behind repeats and lists. `guard` as above. Raises NoSuchOrder and
        every other BrokerError.
        """
        lane = Lane.FIRST_CANCEL if is_first else Lane.OTHER
        page = await self._request("DELETE", _order_path(account_id, order_id), lane=lane, guard=guard)
        return _answer(page, _read_order(page))

    async def _list(
        self,
        kind: type[T],
        path: str,
        params: Mapping[str, str],
        before_page: Callable[[], Awaitable[None]] | None = None,
        on_page: Callable[[list[T]], None] | None = None,
    ) -> Listing[T]:
        pages: _Pages[T] = _Pages()
        error: BrokerError | None = None
        try:
            async for page in self._pages(path, params, pages, before_page):
                items, unreadable = read_many(kind, page.envelope.data)
                pages.items.update((item.id, item) for item in items)
                pages.unreadable += unreadable
                if on_page is not None:
                    on_page(items)
        except BrokerError as failure:
            error = failure
        except Unreadable as failure:
            error = OutcomeUnknown(str(failure))
        error = error or _why_not_whole(pages)
        return Listing(
            items=list(pages.items.values()),
            whole=error is None,
            error=error,
            requests=pages.requests,
            request_ids=tuple(pages.request_ids),
            latency=pages.latency,
        )

    async def _pages(
        self,
        path: str,
        params: Mapping[str, str],
        pages: _Pages[T],
        before_page: Callable[[], Awaitable[None]] | None,
    ) -> AsyncIterator[_Page]:
        token: str | None = None
        while True:
            if before_page is not None:
                await before_page()
            query = {**params, "page_size": str(PAGE_SIZE)} | ({"page_token": token} if token else {})
            pages.requests += 1
            page = await self._request("GET", path, query)
            metadata = page.envelope.metadata or Metadata()
            pages.request_ids.append(page.envelope.request_id)
            pages.latency += page.latency
            if pages.expected is None:
                pages.expected = metadata.total_items
            yield page
            token = metadata.next_page_token
            if not token:
                return
            if token in pages.tokens or pages.requests >= MAX_PAGES:
                raise OutcomeUnknown("the list does not end: the broker gave the same page again")
            pages.tokens.add(token)

    async def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        lane: Lane = Lane.OTHER,
        guard: Guard | None = None,
    ) -> _Page:
        crowd = self._lanes[lane]
        async with crowd:
            if guard is not None:
                guard()
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._timeouts.total):
                    reply = await self._transport.send(method, self.base_url + path + _query(params), self._headers)
            except TimeoutError:
                raise OutcomeUnknown(
                    f"no answer within {self._timeouts.total:g} s", latency=time.monotonic() - started
                ) from None
            except Exception as error:
                # Whatever the transport raises, its text may carry the request: only its kind is passed on.
                raise _transport_error(error, self.base_url, time.monotonic() - started) from None
            # An answer that repeats the key must not carry it into a table or onto a page.
            body = reply.body.replace(self._key, b"***")
            latency = time.monotonic() - started
            if reply.status in STRAINED:
                crowd.strained()
            else:
                crowd.answered(latency)
            return _read_page(reply, body, latency, self._note_clock(reply.headers.get("Date"), latency))

    def _note_clock(self, date: str | None, latency: float) -> float | None:
        """Return the broker's clock minus ours, in seconds, to about half a second."""
        told = read_date(date)
        if told is None:
            return None
        now = time.time()
        self.clock.note(told, sent_at=now - latency, answered_at=now)
        # The header names the second that had begun when the answer was made, halfway through the exchange.
        self.clock_offset = round(told + 0.5 - (now - latency / 2), 1)
        return self.clock_offset


def _answer(page: _Page, data: D, unreadable: int = 0) -> Answer[D]:
    return Answer(
        data=data,
        http_status=page.http_status,
        request_id=page.envelope.request_id,
        latency=page.latency,
        unreadable=unreadable,
        clock_offset=page.clock_offset,
    )


def _query(params: Mapping[str, str] | None) -> str:
    return f"?{urlencode(params, quote_via=quote)}" if params else ""


def _order_path(account_id: int, order_id: str) -> str:
    if order_id in NO_ORDER_IDS:
        # In a path, "." is the account itself: this would cancel all of it.
        raise BadRequest(f"“{order_id}” is not the id of an order: nothing was sent")
    return f"/v1/accounts/{account_id}/orders/{quote(order_id, safe='')}"


def _read_order(page: _Page) -> Order:
    try:
        return read_one(Order, page.envelope.data)
    except Unreadable as error:
        raise _unknown(page, error) from error


def _unknown(page: _Page, error: Exception) -> OutcomeUnknown:
    return OutcomeUnknown(
        str(error),
        http_status=page.http_status,
        request_id=page.envelope.request_id,
        latency=page.latency,
        clock_offset=page.clock_offset,
    )


def _why_not_whole(pages: _Pages[T]) -> BrokerError | None:
    if pages.unreadable:
        return OutcomeUnknown(f"{pages.unreadable} of the list's items could not be read")
    if pages.expected is not None and len(pages.items) < pages.expected:
        return OutcomeUnknown(f"the broker counts {pages.expected} but listed {len(pages.items)}")
    return None


def _transport_error(error: Exception, base_url: str, latency: float) -> BrokerError:
    if isinstance(error, NeverSent):
        return Unreachable(f"no connection to {base_url}", latency=latency)
    return OutcomeUnknown(f"sent, but no answer came back ({type(error).__name__})", latency=latency)


def _read_page(reply: Reply, body: bytes, latency: float, clock_offset: float | None) -> _Page:
    try:
        envelope = read_envelope(body)
    except Unreadable as error:
        if reply.is_success:
            raise OutcomeUnknown(
                str(error), http_status=reply.status, latency=latency, clock_offset=clock_offset
            ) from error
        envelope = Envelope()
    status = reply.status
    if reply.is_success and envelope.error is not None:
        status = _status_of(envelope)
    if reply.is_success and status == reply.status:
        return _Page(envelope, status, latency, clock_offset)
    raise _error(reply, envelope, status, latency, clock_offset)


def _status_of(envelope: Envelope) -> int:
    """The HTTP status that an `error` inside a 200 stands for; 200 names no status at all."""
    try:
        code = int(envelope.error.code) if envelope.error and envelope.error.code is not None else 0
    except ValueError:
        code = 0
    return code if 400 <= code < 600 else 0


def _error(reply: Reply, envelope: Envelope, status: int, latency: float, clock_offset: float | None) -> BrokerError:
    message = envelope.message
    kind = _error_kind(status, message)
    return kind(
        message or f"HTTP {reply.status} without a reason",
        http_status=reply.status,
        request_id=envelope.request_id,
        latency=latency,
        retry_after=read_retry_after(reply.headers.get("Retry-After"), time.time()),
        clock_offset=clock_offset,
    )


def _error_kind(status: int, message: str) -> type[BrokerError]:
    if status == 404:
        return _not_found_kind(message)
    if status >= 500:
        return BrokerFailed
    kinds: dict[int, type[BrokerError]] = {401: RefusedKey, 403: NoPermission, 429: Throttled, 408: OutcomeUnknown}
    return kinds.get(status, BadRequest if 400 <= status < 500 else OutcomeUnknown)


def _not_found_kind(message: str) -> type[BrokerError]:
    # Only the words tell the three apart. Words that nobody knows must not read as "nothing was open".
    words = message.lower()
    if "no orders match" in words:
        return NothingMatches
    if words.startswith("order ") and "not found" in words:
        return NoSuchOrder
    return NoSuchAccount
