"""The page that explains the others: the words of states, outcomes and alarms are those of the pages themselves."""

from collections.abc import Mapping

from killswitch.access.role_names import ADMINISTRATOR, COMPLIANCE, RISK_DESK
from killswitch.kills.meanings import AFTER_THE_RELEASE, IN_A_DRY_RUN, OUTCOMES, STATES, WHILE_LATCHED, Alarm, Meaning
from killswitch.kills.models import Outcome, State

Rows = list[tuple[str, str, Meaning]]

ROLES = (
    (RISK_DESK, "sees orders and kills, kills, releases what another person latched, sets when drills are due"),
    (COMPLIANCE, "sees orders and kills, reads and exports the audit trail, takes incident packs"),
    (ADMINISTRATOR, "sees orders and kills, makes users and gives them their roles"),
)
BUTTONS = (
    ("KILL ALL", "leads to the confirmation of a kill of every order on every account"),
    ("KILL", "beside an account: leads to the confirmation for that account"),
    ("Cancel the … that match", "leads to the confirmation for what the filter of an account shows"),
    ("Cancel selected", "leads to the confirmation for the orders that are ticked"),
    ("KILL, on the confirmation", "fires. Everything before it only shows what would happen"),
    ("Kill again", "on a kill that has ended: leads to the confirmation of the same accounts and orders"),
    ("latched", "keeps sweeping new orders until somebody releases the kill"),
    ("dry run", "does everything but the cancel itself: nothing is sent"),
    ("Release", "lets a latched kill go; it sweeps until it is quiet once more, and ends"),
    ("Acknowledge as …", "beside an alarm: says by name that you have seen it. It changes nothing about the kill"),
    ("Send a test message", "under Messages: tells everybody who is told of kills, by mail and chat"),
    ("Refresh", "asks anew. Pages follow by themselves; this is for when they are held still"),
)
WORDS = (
    ("open order", "one that can still trade: anything but filled, canceled, rejected, expired or replaced"),
    ("kill", "one decision by one person: which accounts, which orders, why"),
    ("sweep", "what a kill does on one account: passes until no matching order is open"),
    ("mass cancel", "one request that cancels everything that matches in one account"),
    ("attempt", "one request to the broker, with its answer or without one"),
    ("late arrival", "an order that arrived after the kill began"),
    ("got away", "what traded while the cancel was on its way"),
    ("leaves", "what of an order’s quantity can still trade"),
    (
        "open notional",
        "leaves times price in US dollars; orders of unknown worth (no price, or legs) are counted beside it",
    ),
    ("stop", "an order that waits for a price; often it protects a position, and is canceled like any other"),
    ("client order id", "the name that the sender gave an order: how it begins names an algorithm or a trader"),
    ("time in force", "how long an order holds: DAY, GTC (until canceled), GTD (until a date), IOC, FOK, OPG, CLS"),
    ("list", "what the broker named when last asked; an old or incomplete one says so, and no kill waits for one"),
    ("anchor", "the last entry of the audit trail, signed and kept elsewhere: a changed record shows against it"),
)


class Help:
    """Everything that the page shows, as tables."""

    roles = ROLES
    buttons = BUTTONS
    words = WORDS

    @property
    def states(self) -> Rows:
        return _rows(STATES)

    @property
    def outcomes(self) -> Rows:
        return _rows(OUTCOMES)

    @property
    def while_latched(self) -> Rows:
        released = ("running", "after the release", AFTER_THE_RELEASE)
        return [*((key, f"{words}, latched", meaning) for key, words, meaning in _rows(WHILE_LATCHED)), released]

    @property
    def in_a_dry_run(self) -> Rows:
        return [("dry", f"dry run: {words}", meaning) for _, words, meaning in _rows(IN_A_DRY_RUN)]

    @property
    def alarms(self) -> list[Meaning]:
        return [alarm.value for alarm in Alarm]


def _rows(meanings: Mapping[State, Meaning] | Mapping[Outcome, Meaning]) -> Rows:
    return [(key.value, str(key.label), meaning) for key, meaning in meanings.items()]
