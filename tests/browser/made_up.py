"""A scene made of rows: kills that stand still in the state that is wanted."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from django.contrib.auth.models import Group, User
from django.template.loader import render_to_string
from django.utils import timezone
from playwright.sync_api import Page

from killswitch.access.models import AccountLimit
from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.book.models import Account
from killswitch.book.operations import refresh, save
from killswitch.broker import Listing
from killswitch.browser_rules import policy
from killswitch.health.verdict import Fault, Verdict
from killswitch.kills.acknowledgements import acknowledge
from killswitch.kills.claims import claim
from killswitch.kills.meanings import Alarm
from killswitch.kills.models import Kill, State
from killswitch.telling.models import Delivery
from tests.conftest import unrecorded
from tests.health.light import shine
from tests.incident.conftest import add, end, make_kill, record

from .states import FIRST

EMPTY = FIRST + 2


class MadeUp:
    """Holds to states.Scene. The database is the web process's own."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def book(self) -> None:
        refresh(requests_per_second=50, now=timezone.now())
        self.light("armed")

    def light(self, how: str) -> None:
        verdict, faults = LIGHTS[how]
        shine(verdict, **faults)

    def lists(self, how: str) -> None:
        accounts = Account.objects.all()
        if how == "unusual":
            accounts.filter(account_id=FIRST).update(arrivals=[0] * 8 + [4, 20, 44, 61])
            return
        at = timezone.now() - timedelta(seconds=250)
        accounts.update(listed_at=at, tried_at=at)

    def empty_account(self) -> int:
        self.book()
        save(EMPTY, Listing(items=[], whole=True), timezone.now())
        return EMPTY

    def kill(self, how: str) -> str:
        return str(KILLS[how]().id)

    def plain(self, name: str) -> str:
        address = f"/made-up/{name}/"
        status = 403 if name == "csrf" else int(name)
        body = render_to_string(f"{name}.html")
        headers = {"Content-Type": HTML, "Content-Security-Policy": policy()}
        self._page.route(f"**{address}", lambda route: route.fulfill(status=status, body=body, headers=headers))
        return address

    def place(self, how: str) -> None:
        now = timezone.now()
        append([Draft(kind=Kind.MESSAGE_TESTED, at=now, sentence="a test", actor=Actor(name="desk"))])
        since = now - timedelta(minutes=9)
        failing = {"failing_since": since, "tries": 7, "error": "it answered 503"} if how == "failing" else {}
        seen_at = since if how == "nobody" else now
        for number, name in enumerate(("mail 1", "chat 1 (pagerduty)")):
            values = failing if number else {"followed": 1000, "told_at": now}
            Delivery.objects.create(
                **{"key": name, "name": name, "position": number, "followed": 0, "seen_at": seen_at, **values}
            )

    def user(self) -> int:
        return User.objects.get(username="desk2").pk

    def team(self) -> int:
        with unrecorded():
            team = Group.objects.create(name="europe")
            AccountLimit.objects.create(group=team, sees=[FIRST, 42], kills=[FIRST + 1])
            team.user_set.add(self.user())
        return team.pk

    def limit(self, who: str) -> None:
        accounts = {"sees": [FIRST + 1], "kills": [FIRST]} if who != "desk2" else {}
        with unrecorded():
            AccountLimit.objects.create(user=User.objects.get(username=who), **accounts)


HTML = "text/html; charset=utf-8"
LONG = 600  # seconds: as a lease that somebody keeps, or let go of
LIGHTS: dict[str, tuple[Verdict, dict[str, Fault]]] = {
    "armed": (Verdict.ARMED, {}),
    "slower": (Verdict.SLOWER, {"redis": Fault.REDIS_GONE, "trail": Fault.TRAIL_UNGUARDED}),
    "not armed": (Verdict.NOT_ARMED, {"broker": Fault.KEY_REFUSED, "disk": Fault.DISK_LOW}),
}


def running() -> Kill:
    kill = make_kill(engaged_by_id=_desk(), scope="all orders on 2 accounts")
    for number, outcome in enumerate(("pending", "stuck", "canceled", "filled")):
        _order(kill, number, outcome=outcome)
    _order(kill, 4, outcome="canceled", is_late=True)
    kill.sweeps.update(first_attempt_at=kill.engaged_at, error="HTTP 500 from the broker", passes=3)
    return _held(kill)


def all_running() -> Kill:
    kill = running()
    Kill.objects.filter(pk=kill.pk).update(all_accounts=True)
    return kill


def let_go_of() -> Kill:
    kill = make_kill(engaged_by_id=_desk(), scope="all orders on 2 accounts", latched=True)
    for number, outcome in enumerate(("pending", "canceled")):
        _order(kill, number, outcome=outcome)
    now = timezone.now()
    kill.sweeps.update(first_attempt_at=kill.engaged_at, lease_until=now - timedelta(seconds=LONG), listed_at=now)
    return kill


def left_alone() -> Kill:
    kill = make_kill(engaged_by_id=_desk(), scope="all orders on 2 accounts", broker="api.example.com (OTHER)")
    _order(kill, 0, outcome="pending")
    kill.sweeps.update(lease_until=None, first_attempt_at=None)
    claim(kill.id, "worker worker@desk-2 4711")
    return kill


def flat() -> Kill:
    kill = make_kill(engaged_by_id=_desk(), reason="")
    _order(kill, 0, outcome="canceled")
    return _ended(kill, State.FLAT)


def not_flat() -> Kill:
    kill = make_kill(engaged_by_id=_desk())
    _order(kill, 0, outcome="stuck", order_type="STOP", stop_price=Decimal("187.5"))
    _order(kill, 1, outcome="still_open")
    _order(kill, 2, outcome="partly_filled", lost_quantity=Decimal(40), lost_notional=Decimal(7500))
    return _ended(kill, State.NOT_FLAT)


def acknowledged() -> Kill:
    kill = not_flat()
    now = timezone.now()
    acknowledge(kill, Alarm.LOST, count=1, actor=Actor(id=_desk(), name="desk"), now=now)
    # It was about one when somebody saw it.
    acknowledge(kill, Alarm.STUCK, count=1, actor=Actor(name="desk2"), now=now)
    _order(kill, 9, outcome="stuck")
    return kill


def unknown() -> Kill:
    kill = make_kill(engaged_by_id=_desk(), roster_error="HTTP 503 from the broker", all_accounts=True)
    _order(kill, 0, outcome="unknown")
    return _ended(kill, State.UNKNOWN)


def latched() -> Kill:
    kill = make_kill(engaged_by_id=_desk(), latched=True, state=State.LATCHED)
    _order(kill, 0, outcome="canceled", is_late=True)
    kill.sweeps.update(state=State.LATCHED, first_attempt_at=kill.engaged_at)
    return _held(kill)


def dry_run() -> Kill:
    kill = make_kill(engaged_by_id=_desk(), dry_run=True)
    _order(kill, 0, outcome="would_cancel")
    return _ended(kill, State.NOT_FLAT)


KILLS: dict[str, Callable[[], Kill]] = {
    "running": running,
    "all running": all_running,
    "let go of": let_go_of,
    "left alone": left_alone,
    "flat": flat,
    "not flat": not_flat,
    "acknowledged": acknowledged,
    "unknown": unknown,
    "latched": latched,
    "dry run": dry_run,
}


def _desk() -> int:
    return User.objects.get(username="desk").pk


def _order(kill: Kill, number: int, **fields: object) -> None:
    values = {
        "client_order_id": f"algo-momentum-{FIRST}-{number:06d}",
        "request_id": f"req-{number}",
        "price": Decimal("187.25"),
        "attempts": 1,
        "pending_since": timezone.now() - timedelta(seconds=8),
    }
    if fields["outcome"] in ("canceled", "filled", "partly_filled"):
        values["ended_at"] = timezone.now()
    add(kill, f"019a3a75-f3c1-77ec-9e2f-eb89414c34{number:02d}", FIRST + number % 2, **{**values, **fields})


def _held(kill: Kill) -> Kill:
    """Let it look as if somebody worked on it."""
    kill.sweeps.update(lease_until=timezone.now() + timedelta(seconds=LONG))
    return kill


def _ended(kill: Kill, state: State) -> Kill:
    kill.sweeps.update(state=state, ended_at=timezone.now(), first_attempt_at=kill.engaged_at)
    record(kill)
    end(kill, state)
    return kill
