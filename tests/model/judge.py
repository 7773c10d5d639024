"""What must always hold, looked at whenever a request leaves, something is written or a step is over.

Four things: no decision is lost; nothing is called canceled without the broker's word; every DELETE was announced
before; the audit trail only grows. Around them: who may send, what is not sent again, what evidence "flat" needs.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from killswitch.audit.models import Entry, Kind
from killswitch.kills.canceling import ATTEMPTS_PER_ORDER
from killswitch.kills.filter import OrderFilter
from killswitch.kills.models import Kill, KilledOrder, Outcome, Roster, State, Sweep
from killswitch.simulator.shapes import COMES_BACK, ENDED, ENDED_FOR_THE_DAY, Order
from tests.kills.agreement import CALLS, STATUS_OF

from .loop import Process
from .street import Listed, Request, Street

ENDS = (Kind.ATTEMPT_ANSWERED, Kind.ATTEMPT_UNANSWERED)
# What a touched order may be where the sweep is flat.
GONE = {"canceled", "partly_filled", "filled", "rejected", "expired", "replaced"}
FIRST_ATTEMPT_SECONDS = 0.05
QUIET_LISTS = 2

CHANGES = (
    "SELECT sweep_id, order_id, outcome FROM kills_killedorder ORDER BY id",
    "SELECT id, state, ended_at, kill_id FROM kills_sweep ORDER BY id",
    "SELECT id, state, ended_at, released_at, roster FROM kills_kill ORDER BY engaged_at, id",
)


class Judge:
    """Collects what should never happen. Product code catches much, so nothing is raised where it is found."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.street: Street
        self._now = now
        self.violations: list[str] = []
        self._holders: dict[uuid.UUID | None, Process] = {}
        self._must_look: set[tuple[Process, uuid.UUID, int]] = set()
        self._first_due: dict[tuple[uuid.UUID, int], tuple[Process, float]] = {}
        self._mass_canceled: set[tuple[uuid.UUID | None, uuid.UUID, int]] = set()
        self._sent: Counter[tuple[Any, ...]] = Counter()
        self._signature: list[Any] = []
        self._states: dict[int, str] = {}
        self._ended_sweeps: set[int] = set()
        self._ended_kills: set[uuid.UUID] = set()
        self._judged: set[tuple[int, str, str]] = set()
        self._entries: dict[int, tuple[Any, ...]] = {}

    def accuse(self, what: str) -> None:
        self.violations.append(what)

    # --- claims

    def before_a_claim(self) -> tuple[dict[int, uuid.UUID | None], set[int]]:
        """Return who holds which sweep, and which ones somebody has had."""
        held = Sweep.objects.filter(ended_at=None, lease_until__gte=self._now())
        had = Sweep.objects.exclude(claimed_at=None)
        return dict(held.values_list("id", "lease_token")), set(had.values_list("id", flat=True))

    def after_a_claim(self, process: Process, before: tuple[dict[int, uuid.UUID | None], set[int]]) -> None:
        held, had = before
        for sweep in Sweep.objects.filter(ended_at=None, lease_until__gte=self._now()).select_related("kill"):
            if sweep.lease_token == held.get(sweep.id) or sweep.lease_token is None:
                continue
            if held.get(sweep.id) is not None:
                self.accuse(f"{process.name} took {sweep} which another one holds")
            self._note_claimed(process, sweep, is_new=sweep.id not in had)
        # One that has only the question which accounts there are holds no sweep yet.
        open_questions = Kill.objects.filter(ended_at=None, lease_until__gte=self._now())
        for token in open_questions.values_list("lease_token", flat=True):
            self._holders.setdefault(token, process)

    def _note_claimed(self, process: Process, sweep: Sweep, *, is_new: bool) -> None:
        self._holders[sweep.lease_token] = process
        if not is_new:
            self._must_look.add((process, sweep.kill_id, sweep.account_id))
        elif sweep.kill.filter.is_for_the_broker and not sweep.kill.dry_run and not process.is_dead:
            self._first_due[sweep.kill_id, sweep.account_id] = (process, self.street.loop.time())

    def a_process_leaves(self, process: Process) -> None:
        """See that whoever was told to end, and had time to, holds nothing any more."""
        for sweep in Sweep.objects.filter(ended_at=None, lease_until__gt=self._now()):
            if self._holders.get(sweep.lease_token) is process:
                self.accuse(f"{process.name} ended and did not give back {sweep}")

    # --- requests

    def a_request_leaves(self, request: Request) -> None:
        if request.kill_id is None:
            return
        key = (request.kill_id, request.account_id)
        if request.call in CALLS:
            self._judge_delete(request, request.kill_id)
        elif request.call in ("list_orders", "get_order"):
            self._must_look.discard((request.process, *key))
        if request.account_id and key in self._first_due:
            self._judge_first(request, *self._first_due.pop(key))

    def _judge_first(self, request: Request, process: Process, at: float) -> None:
        if process is not request.process or process.frozen_at >= at:
            return
        if request.call != "cancel_all":
            self.accuse(f"{request.call} left before the first mass cancel of account {request.account_id}")
        elif request.at - at > FIRST_ATTEMPT_SECONDS:
            self.accuse(f"the first mass cancel of account {request.account_id} was held back")

    def _judge_delete(self, request: Request, kill_id: uuid.UUID) -> None:
        what = f"{request.call} {request.order_id} of account {request.account_id} by {request.process.name}"
        sweep = Sweep.objects.filter(kill_id=kill_id, account_id=request.account_id).select_related("kill").first()
        holder = self._holders.get(sweep.lease_token) if sweep and sweep.lease_token else None
        if sweep is not None and sweep.kill.dry_run:
            self.accuse(f"{what}: it is a dry run")
        if sweep is None or sweep.ended_at is not None:
            self.accuse(f"{what}: its sweep is not running")
        elif holder is not None and holder is not request.process:
            self.accuse(f"{what}: {holder.name} holds the sweep")
        elif sweep.lease_until is None or sweep.lease_until < self._now():
            self.accuse(f"{what}: its lease ran out")
        if (request.process, kill_id, request.account_id) in self._must_look:
            self.accuse(f"{what}: sent blind after a take-over")
        self._judge_announcement(request, what)
        self._judge_repeat(request, sweep, what)

    def _judge_announcement(self, request: Request, what: str) -> None:
        announced = self._announced().filter(
            kill_id=request.kill_id,
            account_id=request.account_id,
            order_id=request.order_id,
            data__contains=f'"call":"{CALLS[request.call]}"',
        )
        self._sent[_key(request)] += 1
        if announced.count() < self._sent[_key(request)]:
            self.accuse(f"{what}: not announced")
        elif not announced.exclude(Exists(_ends_of())).exists():
            self.accuse(f"{what}: what announced it was given up")

    def _judge_repeat(self, request: Request, sweep: Sweep | None, what: str) -> None:
        """What is pending, as the sender was told last and as is true, is not sent again."""
        assert request.kill_id is not None
        if request.call == "cancel_one":
            told = self.street.told.get((request.kill_id, request.order_id), [])
            own = [status for process, status in told if process is request.process]
            book = self.street.book.orders.get(request.order_id)
            if book is not None and own and own[-1] == book.status == "PENDING_CANCEL":
                self.accuse(f"{what}: sent again while pending")
        elif sweep is not None:
            key = (sweep.lease_token, request.kill_id, request.account_id)
            if key in self._mass_canceled:
                self.accuse(f"{what}: a mass cancel after one that was answered")

    def an_answer_was_heard(self, request: Request, *, is_good: bool) -> None:
        """Note an answer. A mass cancel that was answered plainly needs no other by the same holder."""
        if request.call == "cancel_all" and is_good and request.kill_id is not None:
            sweep = Sweep.objects.filter(kill_id=request.kill_id, account_id=request.account_id).first()
            if sweep is not None and self._holders.get(sweep.lease_token) is request.process:
                self._mass_canceled.add((sweep.lease_token, request.kill_id, request.account_id))

    # --- what is written

    def something_was_written(self, process: Process | None) -> None:
        """Judge what has changed. Most writes change nothing that matters, which plain SQL sees soonest."""
        signature = [_rows(query) for query in CHANGES]
        if signature == self._signature:
            return
        self._signature = signature
        for row in KilledOrder.objects.filter(outcome__in=STATUS_OF).select_related("sweep"):
            self._judge_outcome(row)
        for sweep in Sweep.objects.exclude(id__in=self._ended_sweeps).select_related("kill"):
            if sweep.state == State.LATCHED and self._states.get(sweep.id) != State.LATCHED:
                self._judge_latch(sweep, process)
            self._states[sweep.id] = sweep.state
            if sweep.ended_at is not None:
                self._ended_sweeps.add(sweep.id)
                self._judge_end(sweep, process)
        for kill in Kill.objects.exclude(id__in=self._ended_kills):
            if kill.ended_at is not None:
                self._ended_kills.add(kill.id)
            self._judge_kill(kill)

    def _judge_outcome(self, row: KilledOrder) -> None:
        key = (row.sweep_id, row.order_id, row.outcome)
        if key in self._judged:
            return
        self._judged.add(key)
        words = STATUS_OF[row.outcome]
        told = {status for _, status in self.street.told.get((row.sweep.kill_id, row.order_id), [])}
        book = self.street.book.orders.get(row.order_id)
        if book is None or not told & words:
            self.accuse(f"order {row.order_id} is called {row.outcome}, which the broker never said: {told}")
        elif row.outcome != Outcome.STUCK and book.status not in words:
            self.accuse(f"order {row.order_id} is called {row.outcome} and is {book.status}")
        elif row.outcome == Outcome.FILLED and row.filled_quantity != row.quantity:
            self.accuse(f"order {row.order_id} is called filled with {row.filled_quantity} of {row.quantity}")

    def _judge_end(self, sweep: Sweep, process: Process | None) -> None:
        outcomes = Counter(sweep.orders.values_list("outcome", flat=True))
        if outcomes[Outcome.PENDING]:
            self.accuse(f"{sweep} ended as {sweep.state} with orders without an outcome")
        if sweep.break_offs:
            self.accuse(f"{sweep} was broken off: {sweep.error}")
        self._judge_successors(sweep, process)
        if sweep.kill.is_held:
            self.accuse(f"{sweep} ended though its kill is latched")
        if sweep.state == State.FLAT:
            # What a dry run would have canceled may have ended before somebody took it over.
            if set(outcomes) - (GONE | {"would_cancel"} if sweep.kill.dry_run else GONE):
                self.accuse(f"{sweep} is called flat with {dict(outcomes)}")
            self._judge_quiet(sweep, process, 1 if sweep.kill.dry_run else QUIET_LISTS)
        elif sweep.state == State.NOT_FLAT:
            self._judge_not_flat(sweep, process)
        elif sweep.state != State.UNKNOWN:
            self.accuse(f"{sweep} ended as {sweep.state}")

    def _judge_successors(self, sweep: Sweep, process: Process | None) -> None:
        """What a replaced order lives on as is taken up where both were listed."""
        touched = set(sweep.orders.values_list("order_id", flat=True))
        for listed in self._lists(sweep, process)[-1:]:
            for order_id in sweep.orders.filter(outcome=Outcome.REPLACED).values_list("order_id", flat=True):
                successor = self.street.successors.get(order_id)
                if listed.whole and {order_id, successor} <= set(listed.orders) and successor not in touched:
                    self.accuse(f"{sweep} ended without taking up {successor}, which replaced {order_id}")

    def _judge_latch(self, sweep: Sweep, process: Process | None) -> None:
        if not sweep.kill.latched:
            self.accuse(f"{sweep} is called latched and its kill is not")
        self._judge_quiet(sweep, process, QUIET_LISTS)

    def _judge_quiet(self, sweep: Sweep, process: Process | None, count: int) -> None:
        """Quiet needs whole lists in a row that showed nothing, and nothing open that was there before them."""
        touched = set(sweep.orders.values_list("order_id", flat=True))
        last = self._lists(sweep, process)[-count:]
        if len(last) < count or not all(listed.whole for listed in last):
            self.accuse(f"{sweep} is called {sweep.state} without {count} whole lists")
        if any(self._shown(sweep, listed, touched) for listed in last):
            self.accuse(f"{sweep} is called {sweep.state} though one of its last lists shows an open order")
        if last:
            self._judge_what_is_there(sweep, last[0], touched)

    def _judge_not_flat(self, sweep: Sweep, process: Process | None) -> None:
        touched = set(sweep.orders.values_list("order_id", flat=True))
        last = self._lists(sweep, process)[-1:]
        if not last or not last[0].whole or not self._shown(sweep, last[0], touched):
            self.accuse(f"{sweep} is called not flat and its last list shows nothing open")
        elif any(
            (one.kill_id, one.account_id, one.process) == (sweep.kill_id, sweep.account_id, process)
            for one in self.street.requests
            if one.call in CALLS and one.number > last[0].number
        ):
            self.accuse(f"{sweep} is called not flat without a look at what its last cancel did")

    def _lists(self, sweep: Sweep, process: Process | None) -> list[Listed]:
        lists = self.street.lists.get((sweep.kill_id, sweep.account_id), [])
        return [listed for listed in lists if listed.process is process]

    def _shown(self, sweep: Sweep, listed: Listed, touched: set[str]) -> bool:
        shown = [order_id for order_id, order in listed.orders.items() if is_open(order)]
        return any(order_id in touched or self._is_meant(order_id, sweep.kill.filter) for order_id in shown)

    def _judge_what_is_there(self, sweep: Sweep, listed: Listed, touched: set[str]) -> None:
        for order in self.street.open_orders():
            if order.account_id != sweep.account_id or order.id not in listed.there_before:
                continue
            if order.id in touched or self._is_meant(order.id, sweep.kill.filter):
                self.accuse(f"{sweep} is called {sweep.state} while order {order.id} is {order.status}")

    def _is_meant(self, order_id: str, wanted: OrderFilter) -> bool:
        """Say whether a filter means an order, or one that it replaced."""
        while order_id:
            if is_meant(self.street.book.orders[order_id], wanted):
                return True
            order_id = next((old for old, new in self.street.successors.items() if new == order_id), "")
        return False

    def _judge_kill(self, kill: Kill) -> None:
        states = set(kill.sweeps.values_list("state", flat=True))
        if kill.is_held:
            if kill.is_over:
                self.accuse(f"{kill} is latched and ended without a release")
        elif not kill.is_over:
            if kill.state != State.RUNNING:
                self.accuse(f"{kill} runs and is called {kill.state}")
            return
        elif kill.sweeps.filter(ended_at=None).exists() or kill.roster == Roster.PENDING:
            self.accuse(f"{kill} ended before its sweeps")
        if kill.state != worst(states, kill.roster):
            self.accuse(f"{kill} is called {kill.state} and is {worst(states, kill.roster)}")

    # --- after a step, and at the end

    def look_at_what_holds(self) -> None:
        """See that latched kills hold, once everything has been well for long."""
        self.look()
        for kill in Kill.objects.filter(latched=True, released_at=None):
            assert kill.state != State.RUNNING, f"{kill} does not become quiet"
            assert not kill.is_over

    def look(self) -> None:
        """Raise what was found, and see that the trail only grew."""
        last = max(self._entries, default=0)
        if _rows("SELECT max(id) FROM audit_entry") != [(last,)]:
            for values in Entry.objects.filter(id__gt=last).order_by("id").values_list():
                self._entries[values[0]] = values
        for (_, account_id), (process, at) in self._first_due.items():
            lives = not process.is_dead and process.frozen_at < at
            if lives and self.street.loop.time() - at > FIRST_ATTEMPT_SECONDS:
                self.accuse(f"the first mass cancel of account {account_id} never left")
        assert not self.violations, "\n".join(dict.fromkeys(self.violations))

    def look_at_the_end(self, kills: Iterable[uuid.UUID]) -> None:
        """See that every decision ended and every attempt has one end, and that the trail is what it was."""
        self.look()
        lost = Kill.objects.filter(id__in=list(kills), ended_at=None)
        assert not lost, f"lost: {[str(kill) for kill in lost]}"
        assert Kill.objects.filter(id__in=list(kills)).count() == len(set(kills))
        assert list(Entry.objects.order_by("id").values_list()) == list(self._entries.values())
        self._look_at_attempts()
        self._look_at_repeats()
        self._look_at_answers()
        self._look_at_words()

    def _look_at_attempts(self) -> None:
        """See that every announced attempt has an end, and nothing else has.

        An answer may come after the note that there is none: whoever sent it was frozen, and not gone.
        """
        announced = Counter(self._announced().values_list("attempt_id", flat=True))
        ends = defaultdict(list)
        for attempt_id, kind in Entry.objects.filter(kind__in=ENDS).order_by("id").values_list("attempt_id", "kind"):
            ends[attempt_id].append(kind)
        assert set(announced.values()) <= {1}, "an attempt was announced twice"
        assert not set(announced) - set(ends), "an announced attempt has no end"
        assert not set(ends) - set(announced), "an attempt was answered that nobody announced"
        answered, unanswered = [Kind.ATTEMPT_ANSWERED], [Kind.ATTEMPT_UNANSWERED]
        for kinds in ends.values():
            assert kinds in (answered, unanswered, unanswered + answered), f"an attempt ends as {kinds}"

    def _look_at_repeats(self) -> None:
        heard: dict[Any, int] = defaultdict(int)
        for request in self.street.requests:
            if request.call == "cancel_one" and request.is_accepted:
                heard[_key(request)] += 1
        assert max(heard.values(), default=0) <= ATTEMPTS_PER_ORDER, "an order was canceled again and again"

    def _look_at_answers(self) -> None:
        """See that whoever lives on has written down every answer that it heard."""
        answered = Entry.objects.filter(kind=Kind.ATTEMPT_ANSWERED)
        told = set(answered.values_list("request_id", flat=True))
        for request in self.street.requests:
            if request.call in CALLS and request.is_accepted and not request.process.is_dead:
                assert request.request_id in told, f"{request} was answered and nobody wrote it down"

    def _look_at_words(self) -> None:
        """See that the trail tells of every outcome, arrival and successor, and marks every word of a dry run."""
        for row in KilledOrder.objects.select_related("sweep__kill"):
            told = Entry.objects.filter(kill_id=row.sweep.kill_id, order_id=row.order_id)
            last = told.filter(kind=Kind.ORDER_ENDED).last()
            assert last is not None and last.outcome == row.outcome, f"{row} is told as {last}"
            assert not row.is_late or told.filter(kind=Kind.ORDER_ARRIVED).exists(), f"{row} arrived untold"
            assert not row.replaces or told.filter(kind=Kind.ORDER_SUCCESSOR).exists(), f"{row} succeeds untold"
        for kill in Kill.objects.filter(dry_run=True):
            for entry in Entry.objects.filter(kill_id=kill.id):
                assert entry.sentence.startswith("DRY RUN: ") and entry.data["dry_run"], entry
        for kill in Kill.objects.all():
            told = Counter(Entry.objects.filter(kill_id=kill.id).values_list("kind", "account_id", "outcome"))
            assert sum(told[key] for key in told if key[0] == Kind.KILL_ENGAGED) == 1
            assert sum(told[key] for key in told if key[0] == Kind.KILL_RELEASED) == int(kill.latched)
            assert [key[2] for key in told.elements() if key[0] == Kind.KILL_ENDED] == [kill.state]
            for sweep in kill.sweeps.all():
                ends = [key[2] for key in told.elements() if key[:2] == (Kind.SWEEP_ENDED, sweep.account_id)]
                assert ends == [sweep.state], f"{sweep} ended as {sweep.state} and is told to have ended as {ends}"

    def _announced(self) -> "QuerySet[Entry]":
        return Entry.objects.filter(kind=Kind.ATTEMPT_ANNOUNCED)


def _rows(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def _ends_of() -> "QuerySet[Entry]":
    return Entry.objects.filter(kind__in=ENDS, attempt_id=OuterRef("attempt_id"))


def _key(request: Request) -> tuple[Any, ...]:
    return request.kill_id, request.call, request.account_id, request.order_id


def worst(states: set[str], roster: str) -> str:
    """Say anew what a kill is by its sweeps: as bad as the worst."""
    if roster == Roster.FAILED:
        return State.UNKNOWN
    if roster == Roster.PENDING:
        states = states | {State.RUNNING}
    order = (State.UNKNOWN, State.NOT_FLAT, State.RUNNING, State.LATCHED, State.FLAT)
    return next((state for state in order if state in states), State.UNKNOWN)


def is_open(order: dict[str, Any]) -> bool:
    if order["status"] in ENDED_FOR_THE_DAY:
        return order["time_in_force"] in COMES_BACK
    return order["status"] not in ENDED


def is_meant(order: Order, wanted: OrderFilter) -> bool:
    """Say anew whether a filter means an order: the product's own answer is what is judged."""
    return (
        (not wanted.side or order.side == wanted.side)
        and (not wanted.status or order.status in wanted.status)
        and (not wanted.instruments or order.symbol in wanted.instruments)
        and (not wanted.order_ids or order.id in wanted.order_ids)
        and str(order.client_order_id).startswith(wanted.client_order_id_prefix)
    )
