"""Commit a kill from a shell, as the page does."""

import threading
from collections.abc import Callable

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connection, connections
from django.utils import timezone

from killswitch.audit.person import actor
from killswitch.book.queries import known_account_ids
from killswitch.kills.decision import Decision
from killswitch.kills.models import Kill
from killswitch.kills.operations import engage, record_refusal

SLOW_SECONDS = 3.0
CONNECT_SECONDS = 5


class NotSent(Exception):
    """Nothing was committed: nobody will send anything."""


class MaybeSent(Exception):
    """The database went away while it was to commit, so the kill may be carried out or not."""


def press(decision: Decision, on_slow: Callable[[], None]) -> Kill:
    """Commit the kill and ring. `on_slow` is called where the database takes long. Raises NotSent and MaybeSent."""
    slow = threading.Timer(SLOW_SECONDS, on_slow)
    slow.daemon = True
    slow.start()
    try:
        known = _look(decision)
        return _engage(decision, known)
    except KeyboardInterrupt:
        raise MaybeSent("interrupted while it was being committed") from None
    finally:
        slow.cancel()


def _look(decision: Decision) -> list[int]:
    """Touch the tables that a kill needs, before anything is written: what fails here was never sent."""
    try:
        _bound_the_connecting()
        Kill.objects.exists()
        return known_account_ids() if decision.all_accounts else []
    except (DatabaseError, ImproperlyConfigured, OSError) as error:
        raise NotSent(reason(error)) from None


def _bound_the_connecting() -> None:
    """A database host that is gone must not be waited for until TCP gives up."""
    if connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"].setdefault("connect_timeout", CONNECT_SECONDS)


def _engage(decision: Decision, known: list[int]) -> Kill:
    try:
        return engage(decision=decision, known_account_ids=known, actor=actor("shell"), now=timezone.now())
    except DatabaseError as error:
        kill = _find(decision, error)
        if kill is None:
            raise NotSent(reason(error)) from None
        return kill


def _find(decision: Decision, why: DatabaseError) -> Kill | None:
    """Ask anew whether a kill was committed, after an error that does not say."""
    connections.close_all()
    try:
        if not Kill.objects.filter(idempotency_key=decision.idempotency_key).exists():
            return None
        return Kill.objects.get(idempotency_key=decision.idempotency_key)
    except DatabaseError:
        raise MaybeSent(reason(why)) from None


def reason(error: BaseException) -> str:
    """Return the first line of what the database says."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def note_refusal(asked: dict[str, list[str]], why: str) -> bool:
    """Write in the audit trail that a kill was refused. Return whether it could be written."""
    try:
        _bound_the_connecting()
        record_refusal(actor=actor("shell"), why=why, asked=asked, now=timezone.now())
    except (DatabaseError, ImproperlyConfigured, OSError):
        return False
    return True
