"""Two accounts with unmistakable words, and everything that a page could tell of them."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.contrib.auth.models import User
from django.utils import timezone

from killswitch.access.models import AccountLimit
from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.book.models import Account
from killswitch.book.operations import save
from killswitch.broker import Listing, Order
from killswitch.health.models import Finding
from killswitch.health.verdict import Verdict
from killswitch.kills.decision import Decision
from killswitch.kills.filter import OrderFilter
from killswitch.kills.models import Acknowledgement, Kill, KilledOrder, Outcome, State, Sweep
from tests.conftest import unrecorded
from tests.health.light import shine

ANN = Actor(id=999_001, name="ann-of-the-desk", source="web 10.0.0.1")


@dataclass(frozen=True)
class Told:
    """An account and every word that stands for it."""

    account_id: int
    word: str

    @property
    def name(self) -> str:
        return f"{self.word}-short"

    @property
    def symbol(self) -> str:
        return self.word.upper()[:9]

    @property
    def order_id(self) -> str:
        return f"{self.word}-order-1"

    @property
    def request_id(self) -> str:
        return f"{self.word}-request"

    @property
    def words(self) -> tuple[str, ...]:
        return (str(self.account_id), self.word, self.symbol)


MINE = Told(700_100_211, "minefield")
OTHERS = Told(800_900_377, "zeppelins")
# That two accounts have an order of the same id is not known to happen, and would be told of by either.
SHARED_ORDER = "order-of-both"
# Nothing is called so.
NOBODYS = Told(600_300_459, "quagmires")


@dataclass(frozen=True)
class Kills:
    """Kills by what they reach. Each runs or is over, has alarms, and stands in the record."""

    mine: Kill
    others: Kill
    latched: Kill
    dry: Kill
    both: Kill
    all: Kill


def make_book() -> None:
    now = timezone.now()
    for told in (MINE, OTHERS):
        save(told.account_id, Listing(items=[_order(told)], whole=True), now)
        Account.objects.filter(account_id=told.account_id).update(
            short_name=told.name, full_name=f"{told.word} full name", is_listed=True
        )


def _order(told: Told) -> Order:
    return Order(
        id=told.order_id,
        account_id=told.account_id,
        client_order_id=f"{told.word}-algo-1",
        symbol=told.symbol,
        instrument_type="COMMON_STOCK",
        side="BUY",
        order_type="LIMIT",
        time_in_force="DAY",
        status="NEW",
        quantity=Decimal(100),
        leaves_quantity=Decimal(100),
        filled_quantity=Decimal(0),
        limit_price=Decimal("10.50"),
        created_at=(timezone.now() - timedelta(minutes=5)).isoformat(),
    )


def make_kills() -> Kills:
    return Kills(
        mine=_kill(MINE),
        others=_kill(OTHERS),
        latched=_kill(OTHERS, latched=True, state=State.LATCHED, ended_at=None),
        dry=_kill(OTHERS, dry_run=True),
        both=_kill(OTHERS, MINE, ended_at=None, state=State.RUNNING),
        all=_kill(OTHERS, MINE, all_accounts=True),
    )


def _kill(*accounts: Told, **values: object) -> Kill:
    now, told = timezone.now(), accounts[0]
    named = f"all orders in {told.symbol} on account {told.account_id}"
    kill = Kill.objects.create(
        **{
            "idempotency_key": uuid.uuid4(),
            "engaged_at": now - timedelta(minutes=1),
            "engaged_by_name": ANN.name,
            "engaged_by_id": ANN.id,
            "scope": named,
            "filter_data": OrderFilter(instruments=(told.symbol,)).as_data(),
            "reason": f"because of {told.word}",
            "state": State.NOT_FLAT,
            "ended_at": now - timedelta(seconds=10),
            "roster_error": f"could not ask for {told.account_id}" if values.get("all_accounts") else "",
            **values,
        }
    )
    for each in accounts:
        sweep = Sweep.objects.create(
            kill=kill,
            account_id=each.account_id,
            state=kill.state,
            error=f"went wrong on {each.account_id}",
            ended_at=kill.ended_at,
            first_attempt_at=kill.engaged_at,
        )
        for outcome, late in ((Outcome.STUCK, False), (Outcome.CANCELED, True)):
            KilledOrder.objects.create(
                sweep=sweep,
                order_id=f"{each.word}-{outcome}-of-a-kill",
                client_order_id=f"{each.word}-algo-2",
                symbol=each.symbol,
                outcome=outcome,
                is_late=late,
                pending_since=kill.engaged_at,
                updated_at=now,
            )
    Acknowledgement.objects.create(kill=kill, alarm="late", count=1, by_name=ANN.name, at=now)
    _record(kill, accounts, named)
    return kill


def _record(kill: Kill, accounts: tuple[Told, ...], named: str) -> None:
    single = accounts[0].account_id if len(accounts) == 1 and not kill.all_accounts else None
    data = {"accounts": [each.account_id for each in accounts], "reason": kill.reason}
    about = {"at": kill.engaged_at, "actor": ANN, "kill_id": kill.id}
    drafts = [Draft(kind=Kind.KILL_ENGAGED, account_id=single, sentence=f"ann: {named}", data=data, **about)]
    for each in accounts:
        drafts += [
            Draft(
                kind=Kind.ORDER_ENDED,
                account_id=each.account_id,
                sentence=f"{each.word} ended",
                order_id=each.order_id,
                client_order_id=f"{each.word}-algo-1",
                request_id=each.request_id,
                symbol=each.symbol,
                attempt_id=uuid.uuid4(),
                data={"of": each.word},
                **about,
            )
        ]
    append([*drafts, Draft(kind=Kind.KILL_ENDED, sentence=f"the kill ended: {named}", data=data, **about)])


def make_rest() -> None:
    """Write what is of no kill and names accounts all the same."""
    now = timezone.now()
    shine(Verdict.FLAWED)
    Finding.objects.update_or_create(
        part="accounts", defaults={"says": f"missing: {OTHERS.account_id}", "checked_at": now, "since": now}
    )
    told = (
        (Kind.DENIED, "ann may not kill on"),
        (Kind.KILL_REFUSED, "A kill was refused on"),
        (Kind.LIGHT_CHANGED, "the light changed for"),
        (Kind.USER_CHANGED, "admin changed the limit to"),
        (Kind.TRAIL_EXPORTED, "ann exported"),
    )
    append(
        [
            Draft(
                kind=Kind.ORDER_ENDED,
                at=now,
                actor=ANN,
                account_id=each.account_id,
                order_id=SHARED_ORDER,
                sentence=f"the order of both ended on {each.account_id}",
            )
            for each in (MINE, OTHERS)
        ]
    )
    append(
        [
            Draft(kind=kind, at=now, actor=ANN, sentence=f"{words} {OTHERS.account_id} {OTHERS.word}")
            for kind, words in told
        ]
    )


def entry_of(told: Told) -> Entry:
    return Entry.objects.filter(account_id=told.account_id, kind=Kind.ORDER_ENDED).latest("id")


def limit(user: User, *, sees: list[int] | None = None, kills: list[int] | None = None) -> AccountLimit:
    with unrecorded():
        return AccountLimit.objects.create(user=user, sees=sees or [], kills=kills or [])


def decision(*told: Told, **values: object) -> Decision:
    return Decision(account_ids=tuple(each.account_id for each in told), **values)  # type: ignore[arg-type]
