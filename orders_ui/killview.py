"""A kill as its page follows it: how it stands, what is loud, which accounts and orders."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import monotonic
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Case, Count, F, Min, Value, When
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from killswitch.audit.operations import Actor
from killswitch.command_line.arguments import break_glass_line_of
from killswitch.incident.figures import NOT_GONE, QUIET, Incident
from killswitch.kills.acknowledgements import Seen, name_of, seen
from killswitch.kills.alarms import raised
from killswitch.kills.decision import fields_of
from killswitch.kills.meanings import ALARMS_AFTERWARDS, OUTCOMES, STATES, Alarm, Meaning
from killswitch.kills.models import Kill, KilledOrder, Outcome, State, Sweep
from killswitch.kills.queries import (
    ENDED_BADLY,
    decision_of,
    outcomes_by_kill,
    seconds_since,
    sweeps_as_they_stand,
    sweeps_of,
    unwatched_by_kill,
    within,
)
from killswitch.kills.release import needs_another
from killswitch.words import counted

from .confirmation import REASONS, SELECTED_AT_MOST
from .filterbar import Field
from .marks import digest
from .plot import Axis, Plot, Segment, bar
from .rows import ROWS
from .templatetags.words import age, clock, utc

TAKES_A_CALL = (Alarm.STUCK, Alarm.ACCOUNTS, Alarm.ERRORS)
TAKES_A_SHELL = (Alarm.WAITING, Alarm.NOBODY, Alarm.ERRORS)
ACCOUNTS_NAMED = 5
# A web server takes 8,190 bytes, and what the confirmation itself asks for is longer by its marks.
LONGEST_ADDRESS = 6500
ERRORS_NAMED = 3
RELEASE_REASONS = (
    "What sent the orders is stopped",
    "The algorithm is mended and checked",
    "False alarm",
    "Instruction of risk management",
    "End of the drill",
)


# While it runs, tables are short: they go over the wire again whenever something in them has changed. What did not go
# away is shown in any case.
ROWS_WHILE_RUNNING = 50
ACCOUNTS_WHILE_RUNNING = 50
DID_NOT_GO = (*ENDED_BADLY, Outcome.WOULD_CANCEL)
# How often the ages of lists are put right while nothing else of an account changes.
LISTED_SECONDS = 5
# Of an order as a table shows it, what may become another.
THAT_CHANGE = (
    *("id", "outcome", "status", "symbol", "leaves_quantity", "filled_quantity", "attempts", "pending_since"),
    *("ended_at", "lost_quantity", "lost_notional", "is_late", "replaces", "request_id"),
)
# Of an account, what changes with every list.
NOT_NEWS = ("_state", "listed_at", "passes", "lease_until", "lease_token", "claimed_at")
STAGES = (
    ("ended", "ended"),
    ("accepted", "accepted, not ended"),
    ("asked", "asked, not answered"),
    ("waits", "not asked yet"),
    ("bad", "did not go away"),
)


class SweepRow:
    def __init__(self, sweep: Sweep, kill: Kill) -> None:
        self.sweep = sweep
        self.late: int = sweep.late  # type: ignore[attr-defined]
        self._kill = kill

    @property
    def first_after_ms(self) -> float | None:
        started = self.sweep.first_attempt_at
        return (started - self._kill.engaged_at).total_seconds() * 1000 if started else None


class KilledRow:
    """One order that a kill touched, with what it replaced or lives on as."""

    def __init__(self, order: KilledOrder, successor_id: str) -> None:
        self.order = order
        self.successor_id = successor_id

    @property
    def has_clock(self) -> bool:
        return self.order.pending_since is not None and self.order.ended_at is None

    @property
    def got_away(self) -> bool:
        return bool(self.order.lost_quantity)


@dataclass(frozen=True)
class Loud:
    """One alarm, with its details of the moment."""

    alarm: Alarm
    detail: SafeString | str = ""
    is_past: bool = False
    seen: Seen | None = None

    @property
    def name(self) -> str:
        return name_of(self.alarm)

    @property
    def meaning(self) -> Meaning:
        return ALARMS_AFTERWARDS.get(self.alarm, self.alarm.value) if self.is_past else self.alarm.value

    @property
    def takes_a_call(self) -> bool:
        return self.alarm in TAKES_A_CALL

    @property
    def takes_a_shell(self) -> bool:
        return self.alarm in TAKES_A_SHELL


class KillView(Incident):
    """A kill with its figures, its rows and what is loud about it."""

    def __init__(self, kill: Kill) -> None:
        super().__init__(kill)
        self._read_at = monotonic()

    @property
    def seconds_by_now(self) -> float:
        """Return how long after the press it is now, or was when the kill ended: some see it later than it was read."""
        return self.seconds + (monotonic() - self._read_at if self.is_running else 0.0)

    @property
    def said(self) -> str:
        """What is read out, once each time that it changes: without figures, which change all the time."""
        return " ".join([f"Kill {self.standing}.", *(loud.meaning.says for loud in self.alarms)])

    @property
    def tone(self) -> str:
        """Say which sound tells that it has come to rest. A dry run that finds something is fine."""
        if self.kill.state == State.RUNNING or self.is_unattended:
            return ""
        is_good = self.kill.state in QUIET or (self.kill.dry_run and self.kill.state == State.NOT_FLAT)
        return "good" if is_good else "bad"

    @property
    def ended_badly(self) -> bool:
        return self.kill.is_over and self.tone == "bad"

    @property
    def icon(self) -> str:
        """Return what the browser shows beside the title."""
        return f"icons/{self.look}.svg"

    @property
    def look(self) -> str:
        """Return the state that it looks like: one that nobody works on is not known to be anything."""
        return State.UNKNOWN if self.is_unattended else self.kill.state

    @cached_property
    def break_glass(self) -> str:
        """Return the command line that does the same with the broker alone."""
        return break_glass_line_of(replace(decision_of(self.kill), latched=self.kill.is_held))

    @property
    def again(self) -> str:
        """Return the address where the same can be pressed again, for real; "" where it runs or fits no address."""
        if not self.kill.is_over or len(self.kill.filter.order_ids) > SELECTED_AT_MOST:
            return ""
        fields = fields_of(replace(decision_of(self.kill), dry_run=False))
        address = f"{reverse('confirm')}?{urlencode(fields, doseq=True)}"
        return address if len(address) <= LONGEST_ADDRESS else ""

    # --- how far it is

    @cached_property
    def order_bar(self) -> list[Segment]:
        progress = self.progress
        return bar([(name, words, getattr(progress, name)) for name, words in STAGES])

    @cached_property
    def account_bar(self) -> list[Segment]:
        return bar(self.states)

    @cached_property
    def plot(self) -> Plot | None:
        """Return the plot of its course; nothing where no order was asked to go."""
        if self.kill.dry_run or not self.progress.known:
            return None
        axis = Axis.up_to(max(self.told_until, 0.1))
        return Plot(self.course(axis.end), axis, self.told_until, self.progress.known)

    # --- orders

    @cached_property
    def not_gone(self) -> list[KilledRow]:
        """Return the orders that did not go away; in a dry run those that would have been canceled."""
        return self._rows(self.orders().filter(outcome__in=DID_NOT_GO)[:ROWS])

    @cached_property
    def waiting(self) -> list[KilledRow]:
        """Return some of the orders whose end the broker has not told yet."""
        return self._rows(self.orders().filter(outcome=Outcome.PENDING)[:ROWS_WHILE_RUNNING])

    @cached_property
    def others(self) -> list[KilledRow]:
        """Return the orders that went away: those that traded on the way first, then those that came late."""
        traded = Case(When(outcome__in=(Outcome.FILLED, Outcome.PARTLY_FILLED), then=Value(0)), default=Value(1))
        gone = self.orders().exclude(outcome__in=NOT_GONE).order_by(traded, "-is_late", "sweep__account_id", "id")
        return self._rows(gone[: ROWS_WHILE_RUNNING if self.is_running else max(0, ROWS - self.did_not_go_count)])

    @cached_property
    def did_not_go_count(self) -> int:
        return sum(count for name, _, count, _ in self.outcomes if name in DID_NOT_GO)

    @property
    def waiting_count(self) -> int:
        return self.not_gone_count - self.did_not_go_count

    @property
    def gone_count(self) -> int:
        return self.order_count - self.not_gone_count

    def _rows(self, orders: Iterable[KilledOrder]) -> list[KilledRow]:
        return [KilledRow(order, self.successors.get(order.order_id, "")) for order in orders]

    # --- accounts

    @cached_property
    def sweeps(self) -> list[SweepRow]:
        """Return sweeps: accounts that still send first, then those that are not flat."""
        is_good = Case(When(state__in=QUIET, then=Value(1)), default=Value(0))
        ordered = sweeps_of(self.kill).order_by(F("late").desc(), is_good, "account_id")
        most = ACCOUNTS_WHILE_RUNNING if self.is_running else ROWS
        return [SweepRow(sweep, self.kill) for sweep in sweeps_as_they_stand(ordered[:most])]

    # --- what a poll leaves out

    @cached_property
    def marks(self) -> dict[str, str]:
        """Return what tells one version of each table from another: a page that has it is not sent it again."""
        counts = (self.is_running, self.order_count, self.not_gone_count, self.sweep_count, bool(self.lost.orders))
        listed = [row.sweep.listed_at.timestamp() // LISTED_SECONDS for row in self.sweeps if row.sweep.listed_at]
        accounts = [_shown(row.sweep) for row in self.sweeps]
        return {
            "kill-open": digest(counts, _that_change(self.not_gone)),
            "kill-waiting": digest(counts, _that_change(self.waiting)),
            "kill-accounts": digest(counts, max(listed, default=0), accounts),
            "kill-gone": digest(counts, _that_change(self.others)),
        }

    # --- what is loud

    @cached_property
    def alarms(self) -> list[Loud]:
        """Return what is loud, with who has acknowledged it."""
        louds = list(self._alarms())
        acknowledged = seen(self.kill, {loud.alarm: self._raised.get(loud.alarm, 1) for loud in louds})
        return [replace(loud, seen=acknowledged[loud.alarm]) for loud in louds]

    @cached_property
    def _raised(self) -> dict[Alarm, int]:
        return raised(self.kill)

    def _alarms(self) -> Iterator[Loud]:
        if self.contradictions:
            yield Loud(Alarm.CONTRADICTED, f"{'; '.join(self.contradictions)}.")
        if Alarm.ELSEWHERE in self._raised:
            yield Loud(Alarm.ELSEWHERE, f"Pressed for {self.kill.broker}; left alone by {self.kill.left_by}.")
        if Alarm.WAITING in self._raised:
            yield Loud(Alarm.WAITING)
        if count := self._raised.get(Alarm.NOBODY):
            yield Loud(Alarm.NOBODY, f"{counted(count, 'account')} of {self.sweep_count}.")
        if self.kill.roster_error:
            yield Loud(Alarm.ACCOUNTS, f"{self.kill.roster_error}.")
        if errors := self._errors():
            yield Loud(Alarm.ERRORS, errors)
        if stuck := self._raised.get(Alarm.STUCK):
            yield Loud(Alarm.STUCK, self._stuck_detail(stuck))
        if self.late_count:
            yield Loud(Alarm.LATE, self._late_detail(), is_past=self.kill.is_over)
        if self.lost.orders:
            yield Loud(Alarm.LOST, f"{self.lost}.")
        if throttled := self._throttled():
            yield Loud(Alarm.THROTTLED, _throttled_detail(throttled))

    def _stuck_detail(self, count: int) -> SafeString | str:
        first = self.orders().filter(outcome=Outcome.STUCK).aggregate(first=Min("pending_since"))["first"]
        if first is None:
            return f"{counted(count, 'order')}."
        if self.kill.is_over:
            return format_html("{} when the kill ended, the first since {} UTC.", counted(count, "order"), utc(first))
        return format_html("{}, the first for {}, since {} UTC.", counted(count, "order"), age(first), utc(first))

    def _late_detail(self) -> str:
        senders = [row for row in self.sweeps if row.late]
        count = counted(self.late_count, "order")
        if len(senders) == 1:
            return f"{count} on account {senders[0].sweep.account_id}."
        named = ", ".join(f"{row.sweep.account_id} ({row.late:,})" for row in senders[:ACCOUNTS_NAMED])
        more = f" and {len(senders) - ACCOUNTS_NAMED} more" if len(senders) > ACCOUNTS_NAMED else ""
        return f"{count} on accounts {named}{more}."

    def _errors(self) -> str:
        """Name what goes wrong, each thing once, with the number of accounts."""
        wrong = self.kill.sweeps.exclude(error="").values_list("error").annotate(accounts=Count("id"))
        most = wrong.order_by("-accounts", "error")[:ERRORS_NAMED]
        told = [f"{counted(count, 'account')}: {error.rstrip('.')}." for error, count in most]
        return " ".join(told)

    def _throttled(self) -> list[Sweep]:
        return list(self.kill.sweeps.filter(ended_at=None).exclude(throttled="").order_by("next_try_at"))


def _that_change(rows: Iterable[KilledRow]) -> list[tuple[object, ...]]:
    return [tuple(getattr(row.order, name) for name in THAT_CHANGE) for row in rows]


def _shown(sweep: Sweep) -> list[object]:
    return [value for name, value in vars(sweep).items() if name not in NOT_NEWS]


def _throttled_detail(sweeps: list[Sweep]) -> SafeString | str:
    where = f"account {sweeps[0].account_id}" if len(sweeps) == 1 else counted(len(sweeps), "account")
    why = f"{sweeps[0].throttled[:1].upper()}{sweeps[0].throttled[1:]}".rstrip(".")
    next_at = min((sweep.next_try_at for sweep in sweeps if sweep.next_try_at), default=None)
    if next_at is None:
        return f"{why} ({where})."
    seconds = round((next_at - timezone.now()).total_seconds())
    wait = f"in {seconds} s" if seconds > 0 else "now"
    return format_html("{} ({}). Next try at {} UTC, {}.", why, where, clock(next_at), wait)


class KillInPart:
    """A kill that reaches further than the accounts that its reader may see: what became of those, and no more."""

    def __init__(self, kill: Kill, account_ids: Collection[int]) -> None:
        self.kill = kill
        self._account_ids = account_ids

    @cached_property
    def sweeps(self) -> list[SweepRow]:
        ordered = sweeps_of(self.kill).filter(account_id__in=self._account_ids)
        return [SweepRow(sweep, self.kill) for sweep in sweeps_as_they_stand(ordered[:ROWS])]

    @property
    def is_running(self) -> bool:
        return any(row.sweep.ended_at is None for row in self.sweeps)


@dataclass(frozen=True)
class KillRow:
    """One kill among all of them."""

    kill: Kill
    counts: dict[str, int]
    accounts_flat: int
    part: dict[str, int] | None = None  # of a kill that reaches further: the states of the accounts that may be seen

    @property
    def seconds(self) -> float:
        return seconds_since(self.kill)

    @property
    def orders(self) -> int:
        return sum(self.counts.values())

    @property
    def outcomes(self) -> list[tuple[str, int, bool]]:
        """Return the outcomes that there are: words, count, and whether it is a bad one; the bad ones first."""
        known = [(str(name.label), self.counts[name], name in ENDED_BADLY) for name in Outcome if name in self.counts]
        return sorted(known, key=lambda row: not row[2])


def kill_rows(kills: Iterable[Kill], sees: Collection[int] | None = None) -> list[KillRow]:
    """Return kills as their list shows them to somebody who `sees` these accounts; None stands for all."""
    found = list(kills)
    counts, unwatched = outcomes_by_kill([kill.id for kill in found]), unwatched_by_kill()
    parts = _parts(found, sees)
    return [
        KillRow(kill, {}, 0, parts[kill.id])
        if kill.id in parts
        else KillRow(kill, counts.get(kill.id, {}), kill.accounts_flat - unwatched.get(kill.id, 0))  # type: ignore[attr-defined]
        for kill in found
    ]


def _parts(kills: list[Kill], sees: Collection[int] | None) -> dict[uuid.UUID, dict[str, int]]:
    """Return of each kill that reaches further than some accounts how those stand, in words with their number."""
    if sees is None:
        return {}
    ids = [kill.id for kill in kills]
    whole = set(within(Kill.objects.filter(pk__in=ids), sees).values_list("pk", flat=True))
    parts: dict[uuid.UUID, dict[str, int]] = {kill_id: {} for kill_id in ids if kill_id not in whole}
    for kill_id in parts:
        sweeps = sweeps_as_they_stand(Sweep.objects.filter(kill_id=kill_id, account_id__in=sees))
        parts[kill_id] = dict(Counter(State(sweep.state).label for sweep in sweeps))
    return parts


class AsksForAReason:
    """What a form has that takes a reason: what was typed, and what is wrong with it."""

    asked: dict[str, list[str]]
    errors: dict[str, str]

    @property
    def reason(self) -> Field:
        return Field("reason", self.asked.get("reason", [])[:1], self.errors.get("reason", ""))

    @property
    def other_errors(self) -> list[Field]:
        return [Field(name, [], words) for name, words in self.errors.items() if name not in ("reason", "")]

    @property
    def refusal(self) -> str:
        """Why it was refused, where that has nothing to do with a field."""
        return self.errors.get("", "")


@dataclass
class Release(AsksForAReason):
    """The form that lets a latched kill go, or why the reader does not get it."""

    kill: Kill
    reader: Actor
    may_kill: bool
    asked: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = RELEASE_REASONS

    @property
    def has_form(self) -> bool:
        return self.may_kill and not needs_another(self.kill, self.reader)

    @property
    def takes_another(self) -> bool:
        return not settings.RELEASE_BY_SAME_PERSON


@dataclass
class Why(AsksForAReason):
    """The form that asks for the reason that a kill was pressed without."""

    kill: Kill
    may_kill: bool
    asked: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = REASONS

    @property
    def is_asked(self) -> bool:
        return self.may_kill and not self.kill.reason and not self.kill.dry_run


class Help:
    """Every state and outcome with its words, for the foot of a kill's page."""

    states = [(state, str(state.label), meaning) for state, meaning in STATES.items()]
    outcomes = [(outcome, str(outcome.label), meaning) for outcome, meaning in OUTCOMES.items()]
