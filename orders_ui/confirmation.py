"""What a kill would do, by the open book as last seen. The kill itself waits for none of this."""

import uuid
from dataclasses import replace
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from killswitch import which_broker
from killswitch.access.accounts import Accounts
from killswitch.command_line.arguments import break_glass_line_of
from killswitch.kills.decision import DECISION_FIELDS, Decision, InvalidDecision, Values, read_decision
from killswitch.kills.filter import scope_sentence

from .filterbar import Field
from .reach import Changes, Opening, Reach

EVERYTHING = Accounts()
# What is chosen on the confirmation itself; the rest is the scope, which it carries unseen.
OPTIONS = ("reason", "latched", "dry_run", "idempotency_key")
OFF = ("", "off", "false", "0")
# No press waits longer than this for the database: what is not there by then was not sent.
SETTLES_AFTER_SECONDS = 22
# More do not fit an address; the filter has no such limit.
SELECTED_AT_MOST = 120
REASONS = (
    "Runaway algorithm",
    "Wrong price or quantity",
    "Lost connection to the trading system",
    "Position or risk limit exceeded",
    "Market event",
    "Instruction of risk management",
    "Drill",
)


class Confirmation:
    """The page between a decision and the press: what was asked for, field by field, and what it would reach."""

    def __init__(
        self,
        asked: Values,
        *,
        decision: Decision | None = None,
        errors: dict[str, str] | None = None,
        accounts: Accounts = EVERYTHING,
    ) -> None:
        self._asked = {name: [value for value in values if value.strip()] for name, values in asked.items()}
        self.errors = errors or {}
        self.decision = decision or self._decision_without(OPTIONS)
        self._accounts = accounts
        self.idempotency_key = uuid.uuid4()
        self.made_for = which_broker.in_words()
        self.reasons = REASONS
        self.settles_after = SETTLES_AFTER_SECONDS
        self.preview = Preview(self.decision, self._scope_of_polls()) if self.decision else None

    def _decision_without(self, names: tuple[str, ...]) -> Decision | None:
        """Read what is asked apart from `names`, so that a bad reason does not hide what would be canceled."""
        if not self.errors.keys() <= set(names):
            return None
        try:
            return read_decision({name: values for name, values in self._asked.items() if name not in names})
        except InvalidDecision:
            return None

    @property
    def may_latch(self) -> bool:
        """Say whether what arrives later can be meant: single orders cannot be latched."""
        return not (self._asked.get("order_id") and not self._asked.get("latched"))

    @property
    def button(self) -> str:
        """Return what the button says: KILL ALL is for everything, not for what is narrowed down."""
        decision = self.decision
        return "KILL ALL" if decision and decision.all_accounts and decision.filter.is_empty else "KILL"

    @property
    def sentence(self) -> str:
        if self.decision is None:
            return ""
        account_ids = list(self.decision.account_ids)
        return scope_sentence(self.decision.filter, account_ids, self.decision.all_accounts)

    @property
    def all_of_theirs(self) -> str:
        """Say that these are all the accounts that the reader may kill; empty where they are not, or all there are."""
        decision, theirs = self.decision, self._accounts.kills
        if decision is None or theirs is None or set(decision.account_ids) != theirs:
            return ""
        return f"all {len(theirs):,} accounts that you may kill" if len(theirs) > 1 else "the one that you may kill"

    @property
    def reason(self) -> Field:
        return Field("reason", self._asked.get("reason", [])[:1], self.errors.get("reason", ""))

    @property
    def is_called_drill(self) -> bool:
        """Say whether the reason speaks of a drill: without the box for a dry run it is none."""
        return "drill" in self.reason.value.lower()

    @property
    def latched(self) -> Field:
        return self._flag("latched")

    @property
    def dry_run(self) -> Field:
        return self._flag("dry_run")

    @property
    def takes_another(self) -> bool:
        """Say whether it takes another person to release what is latched."""
        return not settings.RELEASE_BY_SAME_PERSON

    def _flag(self, name: str) -> Field:
        """Return a box that is ticked unless it was plainly off: what is odd is shown, with its error."""
        given = [value for value in self._asked.get(name, []) if value.strip().lower() not in OFF]
        return Field(name, given[:1], self.errors.get(name, ""))

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """Return what the form carries unseen: everything, once it is understood."""
        if self.decision is None:
            return []
        return [(name, value) for name, values in self._scope().items() for value in values]

    @property
    def fields(self) -> list[Field]:
        """Return what has to be put right, as fields that can be edited; nothing that was asked for is left out."""
        if self.decision is not None:
            return []
        names = dict.fromkeys([*self._scope(), *(name for name in self.errors if name not in OPTIONS)])
        return [Field(name, self._asked.get(name, []), self.errors.get(name, "")) for name in names]

    @property
    def carried(self) -> list[tuple[str, str]]:
        """Return what the form in which something is put right carries unseen: what is chosen once that is done."""
        chosen = (name for name in OPTIONS if name != "idempotency_key")
        return [(name, value) for name in chosen for value in self._asked.get(name, [])]

    @property
    def other_errors(self) -> list[tuple[str, str]]:
        """Return what is wrong with what is chosen, while the scope has to be put right first."""
        return [(Field(name, []).label, why) for name, why in self.errors.items() if name in OPTIONS]

    @property
    def key_error(self) -> str:
        return self.errors.get("idempotency_key", "")

    @property
    def has_unknown_fields(self) -> bool:
        """Say whether a name is not understood at all. Then there is nothing here that could be pressed."""
        return not self.errors.keys() <= DECISION_FIELDS

    @property
    def break_glass(self) -> dict[str, str]:
        """Return the command line that does the same with the broker alone, for each way of firing it."""
        if self.decision is None:
            return {}
        plain = replace(self.decision, reason="", latched=False, dry_run=False)
        ways = {"once": plain, "latched": replace(plain, latched=True), "dry": replace(plain, dry_run=True)}
        return {name: break_glass_line_of(decision) for name, decision in ways.items()}

    @property
    def way_back(self) -> str:
        if self.decision is not None and len(self.decision.account_ids) == 1:
            return reverse("account", args=[self.decision.account_ids[0]])
        return reverse("desk")

    def _scope(self) -> dict[str, list[str]]:
        return {name: values for name, values in self._asked.items() if values and name not in OPTIONS}

    def _scope_of_polls(self) -> dict[str, list[str]]:
        """Return the scope as an address carries it: a long list of accounts does not fit, and all of theirs is one."""
        scope = self._scope()
        return {**scope, "all_accounts": ["on"], "account": []} if self.all_of_theirs else scope


class Preview:
    """What a decision reaches in the book right now, and the address that asks again."""

    def __init__(self, decision: Decision, scope: Values, opening: Opening | None = None) -> None:
        self.decision = decision
        self.reach = Reach.of(decision, opening)
        self._scope = scope
        self._opening = opening or self.reach.opening(timezone.now())
        self.changes: Changes | None = self.reach.changes(opening)

    @property
    def address(self) -> str:
        opened = self._opening.fields() if self._opening else {}
        return f"{reverse('reach')}?{urlencode({**self._scope, **opened}, doseq=True)}"
