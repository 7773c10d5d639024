"""One account as a row of the desk."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from html import escape

from django.urls import reverse
from django.utils import timezone

from killswitch.book.models import Account
from killswitch.kills.meanings import standing
from killswitch.kills.models import Kill
from killswitch.words import NOTHING, dollars, figure, unpriced

from .reach import OLD_AFTER
from .rows import age_words, is_old

SPARK_HEIGHT = 12
SPARK_FULL_AT = 5  # so that one order does not look like a storm


@dataclass
class AccountRow:
    account: Account
    kill: Kill | None
    is_unattended: bool = False  # nobody works on the kill here
    is_unusual: bool = False  # more orders arrived than on others
    may_kill: bool = True  # the reader, should their role allow it at all
    _drawn: dict[str, str] = field(default_factory=dict)

    @property
    def kill_words(self) -> str:
        """Say how the kill stands here, never calmer than the banner does."""
        if self.kill is None:
            return ""
        if self.is_unattended:
            return standing(self.kill, is_unattended=True)
        if self.kill.is_held:
            return "latched"
        return "dry run" if self.kill.dry_run else "kill running"

    @property
    def name(self) -> str:
        return self.account.short_name or self.account.full_name

    @cached_property
    def arrived(self) -> int:
        return sum(self.account.arrivals)

    @property
    def is_old(self) -> bool:
        return is_old(self.account.listed_at)

    def is_sought(self, words: Sequence[str]) -> bool:
        """Say whether each word occurs in the number or the names, as the page's script does."""
        text = f"{self.account.account_id} {self.account.short_name} {self.account.full_name}".lower()
        return all(word in text for word in words)

    @cached_property
    def state(self) -> str:
        """Return everything that the row shows but for what time alone changes."""
        account = self.account
        return repr(
            (
                account.account_id,
                account.short_name,
                account.full_name,
                account.status,
                account.is_listed,
                account.listed_at,
                account.is_whole,
                account.error,
                account.open_orders,
                account.buys,
                account.sells,
                account.stops,
                account.notional,
                account.unpriced,
                account.oldest_at,
                account.arrivals,
                self.is_unusual,
                self.may_kill,
                self.kill and self.kill.id,
                self.kill_words,
            )
        )

    def html(self, form: str, *, is_hidden: bool) -> str:
        """Fill in `form`, a row with {names} where its cells go. One that is shown is drawn once for all who see it."""
        if is_hidden:
            return form.format_map(self._cells(is_hidden=True))
        if form not in self._drawn:
            self._drawn[form] = form.format_map(self._cells(is_hidden=False))
        return self._drawn[form]

    def _cells(self, *, is_hidden: bool) -> dict[str, str | int]:
        """Return each cell as HTML. What the broker wrote is escaped; everything else is made of figures here."""
        account, is_listed, now = self.account, self.account.listed_at is not None, timezone.now()
        return {
            "id": account.account_id,
            "hidden": " hidden" if is_hidden else "",
            "killing": f' class="killing {self._kill_class}"' if self.kill else "",
            "mark": self._mark(),
            "name": escape(self.name),
            "title": f' title="{escape(account.full_name)}"' if account.full_name != self.name else "",
            "status": escape(account.status or NOTHING),
            "gone": "" if account.is_listed else ' <span class="bad">no longer listed</span>',
            "orders": figure(account.open_orders) if is_listed else "unknown",
            "buys": figure(account.buys) if is_listed else NOTHING,
            "sells": figure(account.sells) if is_listed else NOTHING,
            "stops": figure(account.stops) if is_listed else NOTHING,
            "notional": dollars(account.notional) if is_listed else "unknown",
            "unpriced": f" <small>{unpriced(account.unpriced)}</small>" if account.unpriced else "",
            "oldest": _age(account.oldest_at, now) if account.oldest_at else NOTHING,
            "arrived": self._arrived() if is_listed else NOTHING,
            "spark": spark(account.arrivals) if self.arrived else "",
            "list": self._list(now),
            "pick": "" if self.may_kill else " disabled",
            "act": "" if self.may_kill else " hidden",
        }

    def _arrived(self) -> str:
        if not self.is_unusual:
            return figure(self.arrived)
        return f'<span class="mark">unusual</span> <strong>{figure(self.arrived)}</strong>'

    def _mark(self) -> str:
        if self.kill is None:
            return ""
        address = reverse("kill", args=[self.kill.id])
        mark = f'<a id="kill-of-{self.account.account_id}" class="mark {self._kill_class}" href="{address}">'
        return f" {mark}{self.kill_words}</a>"

    @property
    def _kill_class(self) -> str:
        if self.is_unattended and self.kill is not None and not self.kill.dry_run:
            return "kill-unattended"
        return self.kill_words.partition(":")[0].replace(" ", "-")

    def _list(self, now: datetime) -> str:
        account = self.account
        if account.listed_at is None:
            words = '<span class="warn">not listed yet</span>'
        else:
            words = f"{_age(account.listed_at, now, old_after=int(OLD_AFTER.total_seconds()))} old"
            if not account.is_whole:
                words += ', <span class="bad">incomplete</span>'
        if account.error:
            words += f', <span class="bad" title="{escape(account.error)}">last try failed</span>'
        return words


def _age(at: datetime, now: datetime, old_after: int | None = None) -> str:
    """Write an age that the page's script counts on, and marks once it is old."""
    seconds = max(0, int((now - at).total_seconds()))
    said = f'datetime="{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" data-age="{seconds}"'
    if old_after is not None:
        said += f' data-old-after="{old_after}"' + (' class="warn"' if seconds > old_after else "")
    return f"<time {said}>{age_words(at)}</time>"


def spark(parts: Sequence[int]) -> str:
    """Draw how many orders came in each part of the minute; say the most in words."""
    full = max(*parts, SPARK_FULL_AT)
    bars = ""
    for place, count in enumerate(parts):
        if count:
            bars += f"M{3 * place + 1} {SPARK_HEIGHT}v-{max(2, round(count * SPARK_HEIGHT / full))}"
    words = f"at most {max(parts):,} in {60 // len(parts)} s"
    return f'<svg class="spark" aria-hidden="true"><path d="{bars}"/></svg><span class="unseen">{words}: </span>'
