"""What the armed light shows: the parts, what can be wrong with each, and what that comes to. Words and rule alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from django.db.models import TextChoices

BREAK_GLASS = "python manage.py kill --break-glass --all-accounts"


class Verdict(TextChoices):
    """From the best to the worst."""

    ARMED = "armed", "ARMED"
    FLAWED = "flawed", "ARMED, WITH A FAULT"
    UNGUARDED = "unguarded", "ARMED, WITHOUT ITS SAFETY NET"
    SLOWER = "slower", "ARMED, BY THE SLOWER WAY"
    NOT_KNOWN = "not_known", "NOT KNOWN"
    NOT_ARMED = "not_armed", "NOT ARMED"

    @classmethod
    def of(cls, value: str) -> "Verdict":
        """Return the verdict of a row; what this version does not know is not known."""
        return cls(value) if value in cls.values else cls.NOT_KNOWN

    @property
    def badness(self) -> int:
        return list(Verdict).index(self)

    @property
    def means(self) -> str:
        return MEANS[self]

    @property
    def is_armed(self) -> bool:
        return self.badness < Verdict.NOT_KNOWN.badness

    @property
    def tone(self) -> str:
        if self == Verdict.ARMED:
            return "green"
        return "amber" if self.is_armed else "red"


MEANS: Mapping[Verdict, str] = {
    Verdict.ARMED: "Every part answers: a press reaches the broker within a fraction of a second.",
    Verdict.FLAWED: "A kill goes through as ever. Something beside its way is not as it should be.",
    Verdict.UNGUARDED: "A kill goes through as ever. If something fails in the middle of it, nobody takes over.",
    Verdict.SLOWER: "A kill goes through, by seconds later.",
    Verdict.NOT_KNOWN: "Nobody looks, the broker is silent, or the page hears nothing. Treat it as not armed.",
    Verdict.NOT_ARMED: "A kill would not go through. The line for the shell stands beside it, ready to be copied.",
}


class Part(TextChoices):
    """A part of the way from button to broker, or of what keeps it whole."""

    BROKER = "broker", "Broker"
    ACCOUNTS = "accounts", "Accounts"
    REDIS = "redis", "Redis"
    WORKER = "worker", "Worker"
    WATCHDOG = "watchdog", "Watchdog"
    KILLS = "kills", "Kills under way"
    DATABASE = "database", "Database"
    DISK = "disk", "Disk"
    BOOK = "book", "Open book"
    TRAIL = "trail", "Audit trail"
    CLOCK = "clock", "Clock"
    LOOKOUT = "lookout", "Lookout"

    @property
    def checked(self) -> str:
        return CHECKED[self]


CHECKED: Mapping[Part, str] = {
    Part.BROKER: "The broker is asked for its version, and with our key for the accounts.",
    Part.ACCOUNTS: "The accounts that the key sees, held against those that were known.",
    Part.REDIS: "Redis is asked, and takes a task for the workers.",
    Part.WORKER: "A task goes through the queue of the kills; the worker that takes it says so, with the broker’s "
    "address, and asks the broker.",
    Part.WATCHDOG: "Each watchdog says when it has looked for kills that nobody takes up, with the broker’s address, "
    "and asks the broker.",
    Part.KILLS: "Whether a kill was left alone, since whoever was to carry it out is set to another broker.",
    Part.DATABASE: "What the lookout finds is written, and the time taken.",
    Part.DISK: "Free space where the database, journals and logs lie.",
    Part.BOOK: "How old the lists of open orders are, and whether they are whole.",
    Part.TRAIL: "The last verification of the audit trail, its anchors, and whether a notary is at work.",
    Part.CLOCK: "The clock of this machine against the time in the broker’s answers.",
    Part.LOOKOUT: "When all of this was last looked at.",
}

CALL = "Call the broker’s desk"


@dataclass(frozen=True)
class Meaning:
    part: Part
    verdict: Verdict
    says: str
    do: str


class Fault(Enum):
    """What can be wrong: what it means for a kill, and what to do. Details of the moment stand beside the part."""

    DATABASE_GONE = Meaning(
        Part.DATABASE,
        Verdict.NOT_ARMED,
        "The database takes nothing in: a press cannot be committed, so nothing would be sent.",
        "Bring the database back. The kill from a shell does not need it.",
    )
    KEY_REFUSED = Meaning(
        Part.BROKER,
        Verdict.NOT_ARMED,
        "The key is refused: the broker would take no cancel from us.",
        f"{CALL}. Whoever manages the broker’s keys has to give a new one; with that, the kill from a shell works "
        "at once.",
    )
    BROKER_GONE = Meaning(
        Part.BROKER,
        Verdict.NOT_ARMED,
        "The broker does not answer: no cancel would get there.",
        f"{CALL}. The kill from a shell works on any machine that reaches the broker.",
    )
    NO_ACCOUNTS = Meaning(
        Part.ACCOUNTS,
        Verdict.NOT_ARMED,
        "The key sees no account: a kill would reach nothing.",
        f"{CALL}, and have the accounts given to the key.",
    )
    NOBODY = Meaning(
        Part.WORKER,
        Verdict.NOT_ARMED,
        "Nobody would carry out a kill: no worker can be reached, and no watchdog can step in.",
        "Start a worker and python manage.py watchdog. Until then a kill from a shell carries itself out.",
    )
    WORKER_CUT_OFF = Meaning(
        Part.WORKER,
        Verdict.NOT_ARMED,
        "A worker does not get through to the broker: a kill that it takes up would go nowhere.",
        "Stop that worker: another one, or the watchdog, takes up its kills. Then mend its network or its key.",
    )
    WORKER_ELSEWHERE = Meaning(
        Part.WORKER,
        Verdict.NOT_ARMED,
        "A worker asks another broker: what the desk shows may be of there, and it leaves every kill alone that is "
        "pressed for here.",
        "Stop that worker now. Start it again with the CLEAR_STREET_BASE_URL and the key of all the others.",
    )
    WATCHDOG_ELSEWHERE = Meaning(
        Part.WATCHDOG,
        Verdict.NOT_ARMED,
        "A watchdog asks another broker: it leaves every kill alone that is pressed for here.",
        "Stop that watchdog now. Start it again with the CLEAR_STREET_BASE_URL and the key of all the others.",
    )
    LOOKOUT_ELSEWHERE = Meaning(
        Part.LOOKOUT,
        Verdict.NOT_ARMED,
        "This page and the lookout are set to different brokers: nobody has looked whether a kill that is pressed here "
        "would go through.",
        "See which of the two addresses is wrong, below under Lookout, and start that process again with the "
        "CLEAR_STREET_BASE_URL and the key of all the others. The kill from a shell reaches the broker that its own "
        "settings name.",
    )
    KILL_LEFT = Meaning(
        Part.KILLS,
        Verdict.FLAWED,
        "A kill lies untouched: it was pressed for another broker than the one that was to carry it out is set to.",
        f"{CALL}, or kill from a shell that is set to the right broker. Then start that process again with the "
        "CLEAR_STREET_BASE_URL and the key of all the others.",
    )
    DISK_FULL = Meaning(
        Part.DISK,
        Verdict.NOT_ARMED,
        "A disk is as good as full: a kill may not be written down, and then it is not sent.",
        "Make room now.",
    )
    UNCHECKED_VITAL = Meaning(
        Part.LOOKOUT,
        Verdict.NOT_KNOWN,
        "A part that every kill needs could not be checked: whether it would go through is not known.",
        "Treat it as not armed. The log of the lookout says why.",
    )
    BROKER_SILENT = Meaning(
        Part.BROKER,
        Verdict.NOT_KNOWN,
        "The broker, asked twice at once, has been silent for some seconds: whether a cancel would get there is not "
        "known.",
        f"Treat it as not armed: press all the same, and if it stays silent: {CALL[0].lower()}{CALL[1:]}.",
    )
    NOBODY_LOOKS = Meaning(
        Part.LOOKOUT,
        Verdict.NOT_KNOWN,
        "Nobody looks: whether a kill would go through is not known.",
        "Treat it as not armed. Start manage.py lookout, and see that the database takes in what it writes.",
    )
    REDIS_GONE = Meaning(
        Part.REDIS,
        Verdict.SLOWER,
        "Redis does not answer: the watchdog takes up a kill within about 3 s.",
        "Bring Redis back. Press as ever meanwhile.",
    )
    WORKER_GONE = Meaning(
        Part.WORKER,
        Verdict.SLOWER,
        "No worker answers: the watchdog takes up a kill within about 3 s.",
        "Start a worker, or look at its log. Press as ever meanwhile.",
    )
    WORKER_STUCK = Meaning(
        Part.WORKER,
        Verdict.SLOWER,
        "The worker’s own loop does not answer: a kill that it takes up waits until the watchdog takes it over, some "
        "ten seconds later.",
        "Stop that worker and start it again. Press as ever meanwhile.",
    )
    WORKER_SLOW = Meaning(
        Part.WORKER,
        Verdict.SLOWER,
        "The workers take long to take up a task: a kill waits for them, or for the watchdog, for some seconds.",
        "Start another worker, or look at what they do. Press as ever meanwhile.",
    )
    BROKER_SLOW = Meaning(
        Part.BROKER,
        Verdict.SLOWER,
        "The broker answers slowly or makes us wait: cancels go out at once, and are confirmed later.",
        "Ask the broker’s desk whether something is wrong there. Press as ever meanwhile.",
    )
    DATABASE_SLOW = Meaning(
        Part.DATABASE,
        Verdict.SLOWER,
        "The database is slow: each step of a kill waits until it is written down.",
        "Look at what keeps the database busy. Press as ever meanwhile.",
    )
    WATCHDOG_GONE = Meaning(
        Part.WATCHDOG,
        Verdict.UNGUARDED,
        "No watchdog is alive: if a worker dies or Redis fails, nobody takes over.",
        "Start python manage.py watchdog.",
    )
    WATCHDOG_CUT_OFF = Meaning(
        Part.WATCHDOG,
        Verdict.UNGUARDED,
        "A watchdog does not get through to the broker: what it takes over would go nowhere.",
        "Mend its network or its key.",
    )
    WATCHDOG_STUCK = Meaning(
        Part.WATCHDOG,
        Verdict.UNGUARDED,
        "The watchdog’s own loop does not answer: what it takes over would stay undone.",
        "Stop that watchdog and start it again.",
    )
    TRAIL_BROKEN = Meaning(
        Part.TRAIL,
        Verdict.FLAWED,
        "The audit trail does not hold: entries were changed after they were written. Kills go through.",
        "Tell compliance now, and change nothing: see under Audit trail.",
    )
    TRAIL_UNGUARDED = Meaning(
        Part.TRAIL,
        Verdict.FLAWED,
        "The audit trail is not looked after: it is not verified or its anchors do not get out. Kills go through.",
        "See that python manage.py notary runs, and what stands under Audit trail.",
    )
    ACCOUNTS_UNSURE = Meaning(
        Part.ACCOUNTS,
        Verdict.FLAWED,
        "The broker’s list of accounts is not whole, or one that had open orders is missing in it.",
        "Compare the accounts with the broker’s desk. A kill still takes every account that was ever known.",
    )
    DISK_LOW = Meaning(Part.DISK, Verdict.FLAWED, "A disk is filling up.", "Make room before it is full.")
    BOOK_OLD = Meaning(
        Part.BOOK,
        Verdict.FLAWED,
        "Lists of open orders are old or not whole: what the desk shows is not all. A kill does not wait for them.",
        "See that beat and a worker run, and what stands at the accounts on the desk.",
    )
    CLOCK_OFF = Meaning(
        Part.CLOCK,
        Verdict.FLAWED,
        "The clock of this machine is not the broker’s: times in the record will not fit theirs.",
        "Set the clock right (chrony or NTP).",
    )
    UNCHECKED = Meaning(
        Part.LOOKOUT,
        Verdict.FLAWED,
        "A part could not be checked.",
        "The log of the lookout says why.",
    )

    @property
    def code(self) -> str:
        return self.name.lower()

    @property
    def verdict(self) -> Verdict:
        return self.value.verdict

    @classmethod
    def of(cls, code: str) -> "Fault | None":
        """Return the fault of a row; one that this version does not know says nothing of the part."""
        return cls.__members__.get(code.upper(), cls.UNCHECKED) if code else None


VITAL = frozenset({Part.BROKER, Part.WORKER, Part.WATCHDOG, Part.DATABASE})
CANNOT_BE_RUNG_FOR = frozenset({Fault.REDIS_GONE, Fault.WORKER_GONE, Fault.WORKER_STUCK})
DO_NOT_GET_THROUGH = frozenset({Fault.BROKER_GONE, Fault.KEY_REFUSED, Fault.DATABASE_GONE})
WATCHDOG_NO_HELP = frozenset({Fault.WATCHDOG_GONE, Fault.WATCHDOG_CUT_OFF, Fault.WATCHDOG_STUCK})


@dataclass(frozen=True)
class Judgement:
    """What it all comes to. `faults` are those that say something, the worst first."""

    verdict: Verdict
    faults: tuple[Fault, ...]

    def what_comes_of(self, fault: Fault | None) -> Fault | None:
        """Return what a part's fault comes to beside the others."""
        leaves_nobody = fault in CANNOT_BE_RUNG_FOR | WATCHDOG_NO_HELP and Fault.NOBODY in self.faults
        return Fault.NOBODY if leaves_nobody else fault


def unchecked(part: Part) -> Fault:
    return Fault.UNCHECKED_VITAL if part in VITAL else Fault.UNCHECKED


def judge(found: Mapping[Part, Fault | None]) -> Judgement:
    """Say what it comes to that these parts stand so. A part that is not named was not checked."""
    told = {part: found[part] if part in found else unchecked(part) for part in Part if part != Part.LOOKOUT}
    faults = _together({part: fault for part, fault in told.items() if fault is not None})
    worst = max((fault.verdict for fault in faults), key=lambda verdict: verdict.badness, default=Verdict.ARMED)
    return Judgement(worst, tuple(fault for fault in _worst_first() if fault in faults))


def _together(faults: Mapping[Part, Fault]) -> set[Fault]:
    """Take those for one that come to more together, and leave out what only follows from another."""
    told = set(faults.values())
    if told & CANNOT_BE_RUNG_FOR and told & WATCHDOG_NO_HELP:
        told = {Fault.NOBODY, *(told - CANNOT_BE_RUNG_FOR - WATCHDOG_NO_HELP - {Fault.WORKER_SLOW})}
    if Fault.REDIS_GONE in told:
        told -= {Fault.WORKER_GONE, Fault.WORKER_SLOW}
    if told & DO_NOT_GET_THROUGH:
        told -= {Fault.WORKER_CUT_OFF, Fault.WATCHDOG_CUT_OFF}
    follow = {part for part in (Part.ACCOUNTS, Part.CLOCK) if faults.get(Part.BROKER) in DO_NOT_GET_THROUGH}
    if not any(fault == Fault.UNCHECKED for part, fault in faults.items() if part not in follow):
        told.discard(Fault.UNCHECKED)
    return told


def _worst_first() -> Iterable[Fault]:
    return sorted(Fault, key=lambda fault: -fault.verdict.badness)
