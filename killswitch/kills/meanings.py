"""What each state, each outcome and each alarm means and what to do: the words of the page and of docs/operators.md."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from killswitch.words import NOTHING

from .filter import INSTRUMENT_TYPES, ORDER_TYPES, SIDES, STATUSES, TIMES_IN_FORCE
from .models import Kill, Outcome, State

KNOWN = {*SIDES, *ORDER_TYPES, *INSTRUMENT_TYPES, *STATUSES, *TIMES_IN_FORCE}


@dataclass(frozen=True)
class Meaning:
    says: str
    do: str


CALL = "call the broker’s desk and read out the orders below, with their request ids"
ASK = "call the broker’s desk and ask what is open on the accounts below"  # where there is no order to read out

STATES: Mapping[State, Meaning] = {
    State.RUNNING: Meaning(
        "Cancels are on their way or being checked: flat once the broker, asked again, lists nothing that matches.",
        "Follow it to its end. What does not go away stands first below.",
    ),
    State.LATCHED: Meaning(
        "The broker, asked again, lists no matching open order. What arrives from now on is canceled too, until the "
        "kill is released.",
        "Stop what sends the orders. When it has stopped, have the kill released.",
    ),
    State.FLAT: Meaning(
        "The broker, asked again, lists no matching open order.",
        "New orders are not canceled: that takes a latched kill.",
    ),
    State.NOT_FLAT: Meaning(
        "Matching orders were still open when the broker was last asked.", f"Kill again, or {CALL}."
    ),
    State.UNKNOWN: Meaning(
        "What is open is not known for certain: the accounts below say why.",
        f"Treat it as not flat: kill again, or {CALL}.",
    ),
}
# What is latched and not quiet sweeps on.
WHILE_LATCHED: Mapping[State, Meaning] = {
    State.RUNNING: Meaning(
        "Cancels are on their way or being checked, and it sweeps on after that until it is released.",
        "Stop what sends the orders. It is quiet once it says LATCHED.",
    ),
    State.NOT_FLAT: Meaning(
        "Matching orders are still open at the broker, and it keeps canceling.", f"Do not wait for it: {CALL}."
    ),
    State.UNKNOWN: Meaning(
        "What is open is not known for certain, and it keeps asking: the accounts below say why.",
        f"Treat it as not flat: {CALL}.",
    ),
}
AFTER_THE_RELEASE = Meaning(
    "It has been released: it sweeps until it is quiet once more, and ends.",
    "Follow it to its end. New orders are not canceled after that.",
)
# Whatever its state says was to come, nobody brings it about.
UNATTENDED = Meaning(
    "Neither a worker nor the watchdog works on it: nothing more is sent, and nobody asks the broker what is open.",
    "Treat it as not flat. If this stays for more than a few seconds, do not wait: the line below does the same from a "
    "shell, or call the broker’s desk.",
)
UNATTENDED_DRY_RUN = Meaning(
    "Neither a worker nor the watchdog works on it. Nothing is sent.",
    "It goes on once one of them is started.",
)
IN_A_DRY_RUN: Mapping[State, Meaning] = {
    State.RUNNING: Meaning("Looking up what would be canceled. Nothing is sent.", "Follow it to its end."),
    State.FLAT: Meaning(
        "Nothing was sent. The broker lists no matching open order: nothing would have been canceled.",
        "Nothing is left to do.",
    ),
    State.NOT_FLAT: Meaning(
        "Nothing was sent. The orders below would have been canceled; they are still open at the broker.",
        "To cancel them, press the real kill.",
    ),
    State.UNKNOWN: Meaning(
        "Nothing was sent. What would be canceled is not known for certain: the accounts below say why.",
        "Try another dry run. A real kill does not wait for a list.",
    ),
}

OUTCOMES: Mapping[Outcome, Meaning] = {
    Outcome.PENDING: Meaning(
        "The cancel is on its way, or the broker has accepted it and not carried it out yet.",
        "Wait: the broker is asked again and again.",
    ),
    Outcome.CANCELED: Meaning("The broker says that it is canceled.", "Nothing is left to do."),
    Outcome.PARTLY_FILLED: Meaning(
        "Part of it traded while the cancel was on its way; the rest is canceled.",
        "Deal with what traded: quantity and notional stand under “Got away”.",
    ),
    Outcome.FILLED: Meaning(
        "All of it traded before the cancel was carried out.",
        "Deal with what traded: quantity and notional stand under “Got away”.",
    ),
    Outcome.REJECTED: Meaning("The order itself was rejected: it is not open.", "Nothing is left to do."),
    Outcome.EXPIRED: Meaning("It ran out by itself: it is not open.", "Nothing is left to do."),
    Outcome.REPLACED: Meaning(
        "Another order took its place, and is canceled too.",
        "See what became of that one: both lines name each other. Where none is named, look for it at the broker.",
    ),
    Outcome.STILL_OPEN: Meaning(
        "It is open although its cancel was sent again and again, or time ran out.",
        "Call the broker’s desk and read out the order and its request id.",
    ),
    Outcome.STUCK: Meaning(
        "The broker accepted the cancel and has not carried it out within the deadline.",
        "Call the broker’s desk and read out the order and its request id. It is watched on while the kill runs.",
    ),
    Outcome.NOT_FOUND: Meaning(
        "The broker does not know this order.", "Check its number and account, and look for it at the broker."
    ),
    Outcome.UNKNOWN: Meaning(
        "There was no usable answer, and looking it up failed.", "Treat it as open: call the broker’s desk."
    ),
    Outcome.WOULD_CANCEL: Meaning(
        "A dry run: nothing was sent. The real kill would have asked the broker to cancel it.",
        "It is still open. To cancel it, press the real kill.",
    ),
}


class Alarm(Enum):
    """What a kill's page says loudly. Details of the moment stand between the two sentences."""

    CONTRADICTED = Meaning(
        "This page does not fit the audit trail: what it shows was changed after it was recorded.",
        "Go by its entries in the audit trail, and tell compliance.",
    )
    ELSEWHERE = Meaning(
        "It was pressed for another broker than the one that was to carry it out is set to: nothing was sent there.",
        "Have that process stopped, and started again with the CLEAR_STREET_BASE_URL and the key of all the others. Do "
        "not wait for it: cancel at the broker directly, or kill from a shell that is set to the right broker.",
    )
    WAITING = Meaning(
        "Committed; waiting for a worker.",
        "The watchdog takes it up if none does. If this stays, neither runs: cancel at the broker directly.",
    )
    NOBODY = Meaning(
        "Nobody works on it at the moment.",
        "A worker or the watchdog takes it up within seconds. If this stays, neither runs: cancel at the broker "
        "directly.",
    )
    ACCOUNTS = Meaning(
        "The broker did not say which accounts there are.",
        "Call the broker’s desk: accounts unknown here may have open orders.",
    )
    ERRORS = Meaning(
        "Something does not go through.",
        "A refused key or permission needs whoever manages the broker’s keys; everything else is tried again. The line "
        "for the shell, beside it, does the same with the broker alone.",
    )
    STUCK = Meaning(
        "Cancels are stuck at the broker.", "Call the broker’s desk and read out the orders and request ids below."
    )
    LATE = Meaning(
        "Orders arrived after the kill began.",
        "What arrives while it runs is canceled too. Stop what sends them: nothing here can block new orders.",
    )
    LOST = Meaning(
        "Orders traded while their cancel was on its way.",
        "These are trades now: see “Got away” below and tell whoever carries the positions.",
    )
    THROTTLED = Meaning(
        "The broker makes us wait.", "Nothing to do here: repeats go slower until it lets us, first cancels never wait."
    )


# Once a kill is over, what it asked people to do meanwhile is past.
ALARMS_AFTERWARDS: Mapping[Alarm, Meaning] = {
    Alarm.LATE: Meaning(
        "Orders arrived after the kill began.",
        "What became of them stands below. New orders are not canceled any more: that takes a latched kill.",
    ),
}


def standing(kill: Kill, *, is_unattended: bool = False) -> str:
    """Say in a few words how a kill stands: "flat", "not flat, latched", "dry run: not flat"."""
    words = "nobody works on it" if is_unattended else str(State(kill.state).label)
    if kill.is_held and (is_unattended or kill.state != State.LATCHED):
        words += ", latched"
    return f"dry run: {words}" if kill.dry_run else words


def meaning_of(kill: Kill, *, has_orders: bool = True, is_unattended: bool = False) -> Meaning:
    """Say what the state of a kill means and what to do. `has_orders` says whether there are any to read out."""
    if is_unattended:
        return UNATTENDED_DRY_RUN if kill.dry_run else UNATTENDED
    meaning = _meaning_of(kill)
    return meaning if has_orders else replace(meaning, do=meaning.do.replace(CALL, ASK))


def _meaning_of(kill: Kill) -> Meaning:
    state = State(kill.state)
    if kill.dry_run:
        return IN_A_DRY_RUN.get(state, STATES[state])
    if kill.is_held:
        return WHILE_LATCHED.get(state, STATES[state])
    if kill.released_at is not None and not kill.is_over:
        return AFTER_THE_RELEASE
    return STATES[state]


def wire(value: str | None) -> str:
    """Turn a word of the wire into one for people; one that nobody knows stays as it came."""
    if not value:
        return NOTHING
    return value.replace("_", " ") if value in KNOWN else value
