"""All accounts that somebody may see, with their sums: read once for all who see the same and look at the same time."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from statistics import median_low

from django.http import HttpRequest
from django.utils import timezone

from killswitch.access.accounts import Accounts, accounts_in
from killswitch.book.models import AccountList
from killswitch.book.queries import account_list, accounts
from killswitch.health.alive import BOOK_OLD
from killswitch.kills.alarms import is_unattended
from killswitch.kills.queries import abandoned_accounts, sweeping_kill_by_account

from .account_row import AccountRow
from .reach import Tally
from .together import fresh_since, keep, together

# So many orders in a minute, and so many times what comes to the account in the middle, are unusual.
UNUSUAL_LEAST = 20
UNUSUAL_TIMES = 5
KEPT = 8  # rosters: a thousand rows take some megabytes

_kept = keep(KEPT)


class Roster:
    """Accounts in the order of the book. Its rows are shared: leave them as they are."""

    def __init__(self, rows: list[AccountRow], listed: AccountList) -> None:
        self.rows = rows
        self.listed = listed
        _mark_unattended(rows)
        _mark_unusual(rows)
        self.total = Tally()
        for row in rows:
            account = row.account
            self.total.add(
                orders=account.open_orders,
                stops=account.stops,
                unpriced=account.unpriced,
                notional=account.notional or Decimal(0),
            )
        self.buys = sum(row.account.buys for row in rows)
        self.sells = sum(row.account.sells for row in rows)
        self.arrived = sum(row.arrived for row in rows)
        self.unusual = sum(row.is_unusual for row in rows)
        self.latched = sum(row.kill is not None and row.kill.is_held for row in rows)
        self.never_listed = sum(row.account.listed_at is None for row in rows)
        # When a list was made last, and when somebody asked for one; None where nobody ever did.
        self.newest_at = max((row.account.listed_at for row in rows if row.account.listed_at), default=None)
        self.tried_at = max((row.account.tried_at for row in rows if row.account.tried_at), default=None)

    @property
    def are_lists_left(self) -> bool:
        """Say whether all lists are old: not one account after the other, as they always are, but none was renewed."""
        return self.newest_at is not None and _is_long_ago(self.newest_at)

    @property
    def is_still_tried(self) -> bool:
        """Say whether somebody goes on asking for lists."""
        return self.tried_at is not None and not _is_long_ago(self.tried_at)


def roster(request: HttpRequest) -> Roster:
    """Return the accounts that the reader may see: sums, counts and searches are of those."""
    theirs = accounts_in(request)
    return together(theirs, lambda: _read(theirs), since=fresh_since(request), kept=_kept)


def _read(theirs: Accounts) -> Roster:
    kills = sweeping_kill_by_account()
    rows = [
        AccountRow(account, kills.get(account.account_id), may_kill=theirs.may_kill(account.account_id))
        for account in accounts(theirs.sees)
    ]
    return Roster(rows, account_list())


def _is_long_ago(at: datetime) -> bool:
    return timezone.now() - at > BOOK_OLD


def _mark_unattended(rows: Sequence[AccountRow]) -> None:
    """Mark the accounts on which a kill is to sweep and nobody works on it."""
    kills = {row.kill.id: row.kill for row in rows if row.kill is not None}
    if not kills:
        return
    unattended = {kill.id for kill in kills.values() if is_unattended(kill)}
    abandoned = abandoned_accounts()
    for row in rows:
        if row.kill is not None:
            row.is_unattended = row.kill.id in unattended or (row.kill.id, row.account.account_id) in abandoned


def _mark_unusual(rows: Sequence[AccountRow]) -> None:
    """Mark the accounts to which far more orders came within the last minute than to the one in the middle."""
    listed = [row for row in rows if row.account.listed_at is not None]
    if not listed:
        return
    least = max(UNUSUAL_LEAST, UNUSUAL_TIMES * median_low(row.arrived for row in listed))
    for row in listed:
        row.is_unusual = row.arrived >= least
