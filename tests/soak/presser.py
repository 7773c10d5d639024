"""People of the risk desk: they log in, press, press twice, latch and release, by HTTP like everybody."""

import queue
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from killswitch.simulator.process import Control

from .stack import PASSWORD, SoakFailed

PRESS_EVERY = (0.3, 4.0)  # seconds
TRIES = 4
TRY_AGAIN_AFTER = 1.0  # seconds
PRESS_SECONDS = 30.0
HELD_FOR = (3.0, 25.0)  # seconds that a latched kill is left alone
NOBODYS_ORDER = "00000000-0000-7000-8000-000000000000"
PREFIXES = ("vwap-", "mm-", "arb-", "twap-", "manual-")
SYMBOLS = ("TSLA", "AAPL")
SIDES = ("BUY", "SELL", "SELL_SHORT")


@dataclass
class Press:
    """One decision as somebody made it, and how it was answered."""

    by: str
    account_ids: list[int] = field(default_factory=list)  # none: all accounts
    side: str = ""
    symbol: str = ""
    prefix: str = ""
    order_ids: list[str] = field(default_factory=list)
    latched: bool = False
    dry_run: bool = False
    kind: str = ""
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    answers: list[str] = field(default_factory=list)  # statuses, or what went wrong
    kill_ids: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)

    def form(self) -> dict[str, list[str]]:
        given = {
            "account": [str(account_id) for account_id in self.account_ids],
            "all_accounts": [] if self.account_ids else ["on"],
            "side": [self.side],
            "instruments": [self.symbol],
            "client_order_id_prefix": [self.prefix],
            "order_id": self.order_ids,
            "latched": ["on"] if self.latched else [],
            "dry_run": ["on"] if self.dry_run else [],
        }
        wanted = {name: values for name, values in given.items() if any(values)}
        return {**wanted, "reason": [f"soak: {self.kind}"], "idempotency_key": [self.key]}

    def is_about(self, order: dict[str, str]) -> bool:
        """Say whether an order of the simulator's book is meant: read from the form, not from the product's filter."""
        return (
            (not self.account_ids or order["account_id"] in self.account_ids)
            and self.side in ("", order["side"])
            and self.symbol in ("", order.get("symbol"))
            and (order.get("client_order_id") or "").startswith(self.prefix)
            and (not self.order_ids or order["id"] in self.order_ids)
        )


class Person:
    """Somebody with a browser's cookies and no browser."""

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self._http = httpx.Client(base_url=address, timeout=PRESS_SECONDS, limits=httpx.Limits(max_connections=20))
        self._http.get("/login/")
        answer = self.post("/login/", {"username": [name], "password": [PASSWORD]})
        if answer.status_code != 302:
            raise SoakFailed(f"{name} could not log in: {answer.status_code}")

    def post(self, path: str, form: dict[str, list[str]]) -> httpx.Response:
        token = self._http.cookies.get("csrftoken", "")
        return self._http.post(path, data={"csrfmiddlewaretoken": token, **form})

    def get(self, path: str) -> httpx.Response:
        return self._http.get(path)

    def close(self) -> None:
        self._http.close()


# Kind, how often it is chosen, and what is pressed.
Make = Callable[["Presser"], Press]


class Presser(threading.Thread):
    """Presses at random until it is stopped. `presses` is everything that anybody ever pressed."""

    def __init__(
        self,
        people: list[Person],
        control: Control,
        accounts: list[int],
        rng: random.Random,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(name="presser", daemon=True)
        self._people = people
        self._control = control
        self._accounts = accounts
        self._rng = rng
        self._say = say
        self._fingers = ThreadPoolExecutor(8, thread_name_prefix="finger")
        self._held: queue.PriorityQueue[tuple[float, str, Press]] = queue.PriorityQueue()
        self._stopping = threading.Event()
        self._under_way: list[Future[None]] = []
        self.presses: list[Press] = []
        self.releases: Counter[str] = Counter()
        self.released_by_the_same: list[str] = []
        self.error: BaseException | None = None

    # --- pressing

    def run(self) -> None:
        try:
            while not self._stopping.wait(self._rng.uniform(*PRESS_EVERY)):
                self._press_something()
                self._release_due(time.monotonic())
            for future in self._under_way:
                future.result()
            self._release_due(float("inf"))
            self._fingers.shutdown()
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """Press nothing more. Ends by itself when what was pressed is answered and what is latched is released."""
        self._stopping.set()

    def press(self, press: Press, *, twice: bool = False) -> list[Future[None]]:
        """Press a button, or press it twice at once."""
        self.presses.append(press)
        person = next(person for person in self._people if person.name == press.by)
        return [self._fingers.submit(self._send, person, press) for _ in range(2 if twice else 1)]

    def _press_something(self) -> None:
        kind = self._rng.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
        press = KINDS[kind][1](self)
        press.kind = kind
        self._say(f"press: {kind}")
        self._under_way += self.press(press, twice=self._rng.random() < 0.15)

    def _send(self, person: Person, press: Press) -> None:
        """Press until it is answered, with the same key, as somebody does who sees an error."""
        for _ in range(TRIES):
            started = time.monotonic()
            answer, kill_id = self._try(person, press)
            press.seconds.append(time.monotonic() - started)
            press.answers.append(answer)
            if kill_id:
                press.kill_ids.add(kill_id)
                if press.latched:
                    self._held.put((time.monotonic() + self._rng.uniform(*HELD_FOR), kill_id, press))
                return
            self._say(f"press answered with {answer}")
            time.sleep(TRY_AGAIN_AFTER)

    def _try(self, person: Person, press: Press) -> tuple[str, str]:
        try:
            response = person.post("/kills/", press.form())
        except httpx.HTTPError as error:
            return type(error).__name__, ""
        is_taken = response.status_code == 303
        return str(response.status_code), response.headers["Location"].split("/")[2] if is_taken else ""

    # --- releasing

    def _release_due(self, now: float) -> None:
        while not self._held.empty():
            due, kill_id, press = self._held.get()
            if due > now:
                self._held.put((due, kill_id, press))
                return
            self._release(kill_id, press)

    def _release(self, kill_id: str, press: Press) -> None:
        """Let a second person release a kill; at times the one who pressed tries first, who may not."""
        same = next(person for person in self._people if person.name == press.by)
        other = next(person for person in self._people if person.name != press.by)
        if self._rng.random() < 0.3 and self._ask_release(same, kill_id) == "303":
            self.released_by_the_same.append(f"kill {kill_id} was released by {press.by}, who engaged it")
            return
        for _ in range(TRIES):
            answer = self._ask_release(other, kill_id)
            # Somebody who pressed twice holds it twice: the second release is refused, and it is released.
            if answer in ("303", "400"):
                return
            time.sleep(TRY_AGAIN_AFTER)

    def _ask_release(self, person: Person, kill_id: str) -> str:
        try:
            answer = str(person.post(f"/kills/{kill_id}/release/", {"reason": ["soak: over"]}).status_code)
        except httpx.HTTPError as error:
            answer = type(error).__name__
        self.releases[answer] += 1
        self._say(f"release by {person.name} answered with {answer}")
        return answer

    # --- what is pressed

    def someone(self) -> str:
        return self._rng.choice(self._people).name

    def some_accounts(self, most: int) -> list[int]:
        return self._rng.sample(self._accounts, self._rng.randint(1, min(most, len(self._accounts))))

    def one_of(self, values: tuple[str, ...]) -> str:
        return self._rng.choice(values)

    def some_orders(self) -> Press:
        """Name a few open orders of one account, and at times one that nobody knows."""
        account_id = self._rng.choice(self._accounts)
        ids = [order["id"] for order in self._control.book(account_id, open=True)]
        named = self._rng.sample(ids, min(len(ids), self._rng.randint(1, 5)))
        if not named or self._rng.random() < 0.1:
            named.append(NOBODYS_ORDER)
        return Press(self.someone(), [account_id], order_ids=named)


KINDS: dict[str, tuple[int, Make]] = {
    "one account": (25, lambda p: Press(p.someone(), p.some_accounts(1))),
    "some accounts": (8, lambda p: Press(p.someone(), p.some_accounts(20))),
    "all accounts": (4, lambda p: Press(p.someone())),
    "side": (10, lambda p: Press(p.someone(), p.some_accounts(20), side=p.one_of(SIDES))),
    "side on all accounts": (2, lambda p: Press(p.someone(), side=p.one_of(SIDES))),
    "instrument": (8, lambda p: Press(p.someone(), p.some_accounts(40), symbol=p.one_of(SYMBOLS))),
    "instrument on all accounts": (3, lambda p: Press(p.someone(), symbol=p.one_of(SYMBOLS))),
    "prefix": (8, lambda p: Press(p.someone(), p.some_accounts(10), prefix=p.one_of(PREFIXES))),
    "prefix on all accounts": (2, lambda p: Press(p.someone(), prefix=p.one_of(PREFIXES))),
    "orders": (15, lambda p: p.some_orders()),
    "latched": (6, lambda p: Press(p.someone(), p.some_accounts(5), latched=True)),
    "latched side on all accounts": (1, lambda p: Press(p.someone(), side=p.one_of(SIDES), latched=True)),
    "dry run": (4, lambda p: Press(p.someone(), p.some_accounts(20), dry_run=True)),
}
