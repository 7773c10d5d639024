"""What every page shows: who is logged in, what they may do, which broker this is, what is latched, what runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from killswitch import which_broker
from killswitch.access import roles
from killswitch.access.accounts import Accounts, accounts_in
from killswitch.access.second_factor import lacks_second_factor
from killswitch.audit.models import Verification
from killswitch.audit.verification import broken
from killswitch.incident.contradictions import is_contradicted
from killswitch.kills.acknowledgements import unacknowledged
from killswitch.kills.alarms import is_unattended
from killswitch.kills.meanings import Alarm, standing
from killswitch.kills.models import Kill, State
from killswitch.kills.queries import as_they_stand, late_arrivals_by_kill, running_kills, within

from .in_part import KillOnMine, on_accounts
from .together import fresh_since, together

SHOWN = 5  # kills of a kind in the banner


@dataclass(frozen=True)
class Bannered:
    """A kill in the banner."""

    kill: Kill
    late: int  # late arrivals
    is_unattended: bool
    alarms: tuple[Alarm, ...] = ()  # that nobody acknowledged
    may_release: bool = True  # as far as the reader's accounts go

    @property
    def look(self) -> str:
        return State.UNKNOWN if self.is_unattended else self.kill.state

    @property
    def standing(self) -> str:
        return standing(self.kill, is_unattended=self.is_unattended)

    @property
    def is_quiet(self) -> bool:
        return self.kill.state == State.LATCHED

    @property
    def first_alarm(self) -> Alarm | None:
        """Return the alarm that is still to be said: that nobody works on it, its standing has said."""
        said = (Alarm.NOBODY, Alarm.WAITING) if self.is_unattended else ()
        return next((alarm for alarm in self.alarms if alarm not in said), None)


@dataclass(frozen=True)
class Banner:
    """Kills of one kind, as the banner lists them."""

    kills: list[Bannered]

    @property
    def shown(self) -> list[Bannered]:
        return self.kills[:SHOWN]

    @property
    def standings(self) -> str:
        """Say in a line how they stand, the loudest first."""
        loudest_first = sorted(self.kills, key=lambda each: (each.kill.dry_run, not each.is_unattended, each.is_quiet))
        return ", ".join(dict.fromkeys(each.standing for each in loudest_first)).upper()

    @property
    def alarm_count(self) -> int:
        return sum(len(each.alarms) for each in self.kills)


class Page:
    """Asked for by templates, so that a page that does not need it pays for nothing."""

    def __init__(self, request: HttpRequest) -> None:
        self._user = request.user
        self._since = fresh_since(request)
        self._request = request

    @cached_property
    def role(self) -> str:
        return roles.role_of(self._user) if isinstance(self._user, User) else ""

    @property
    def desk_note(self) -> str:
        return settings.DESK_NOTE

    @cached_property
    def may_see(self) -> bool:
        return roles.may_see(self._user)

    @cached_property
    def may_kill(self) -> bool:
        return roles.may_kill(self._user)

    @cached_property
    def may_read_trail(self) -> bool:
        return roles.may_read_trail(self._user)

    @cached_property
    def may_manage_users(self) -> bool:
        return roles.may_manage_users(self._user)

    @cached_property
    def lacks_second_factor(self) -> bool:
        return lacks_second_factor(self._request)

    @cached_property
    def held_kills(self) -> list[Bannered]:
        """Return what is latched."""
        return [each for each in self._kills if each.kill.is_held]

    @cached_property
    def running_kills(self) -> list[Bannered]:
        """Return what runs and ends by itself."""
        return [each for each in self._kills if not each.kill.is_held]

    @property
    def held(self) -> Banner:
        return Banner(self.held_kills)

    @property
    def running(self) -> Banner:
        return Banner(self.running_kills)

    @cached_property
    def kills_in_part(self) -> list[KillOnMine]:
        """Return what runs or is latched on some accounts of the reader's and on others, or left some of theirs bad."""
        sees = self.accounts.sees
        if sees is None or not self.may_see:
            return []
        return together(("in part", sees), lambda: on_accounts(sees), since=self._since)

    @cached_property
    def accounts(self) -> Accounts:
        """Return the accounts that the reader may see and kill."""
        return accounts_in(self._request)

    @cached_property
    def _kills(self) -> list[Bannered]:
        if not self.may_see:
            return []
        theirs = self.accounts
        kills = together(("kills", theirs), lambda: _bannered(theirs), since=self._since)
        alarms = {kill.id: tuple(alarms) for kill, alarms in self._unacknowledged}
        return [replace(each, alarms=alarms.get(each.kill.id, ())) for each in kills]

    @cached_property
    def unacknowledged(self) -> list[tuple[Kill, list[Alarm]]]:
        """Return the kills with alarms that nobody acknowledged that stand neither in `held` nor in `running`."""
        shown = {each.kill.id for each in (*self.held.shown, *self.running.shown)}
        return [(kill, alarms) for kill, alarms in self._unacknowledged if kill.id not in shown]

    @cached_property
    def _unacknowledged(self) -> list[tuple[Kill, list[Alarm]]]:
        # For those who can acknowledge them.
        if not self.may_kill:
            return []
        sees = self.accounts.sees
        return together(("alarms", sees), lambda: _unacknowledged(sees), since=self._since)

    @cached_property
    def broken_trail(self) -> Verification | None:
        """Return the verification that found the trail broken, for those who may read it."""
        return together("trail", broken, since=self._since) if self.may_read_trail else None

    @property
    def broker_host(self) -> str:
        return which_broker.broker_host()

    @property
    def environment(self) -> str:
        return which_broker.environment()

    @property
    def place(self) -> which_broker.Place:
        return which_broker.place()


def _bannered(theirs: Accounts) -> list[Bannered]:
    kills = as_they_stand(within(running_kills(), theirs.sees))
    late = late_arrivals_by_kill([kill.id for kill in kills if kill.is_held])
    releases = _to_release(theirs)
    return [Bannered(kill, late.get(kill.id, 0), is_unattended(kill), may_release=releases(kill)) for kill in kills]


def _to_release(theirs: Accounts) -> Callable[[Kill], bool]:
    """Return what says whether all accounts of a kill may be killed by its reader."""
    if not theirs.is_limited:
        return lambda _: True
    found = set(within(running_kills(), theirs.kills).values_list("pk", flat=True))
    return lambda kill: kill.pk in found


def _unacknowledged(sees: frozenset[int] | None) -> list[tuple[Kill, list[Alarm]]]:
    kills = within(Kill.objects.all(), sees)
    return unacknowledged(timezone.now(), contradicted=is_contradicted, among=kills)


def page(request: HttpRequest) -> dict[str, object]:
    """Return one for all that is drawn for a request, so that its parts say the same."""
    if not hasattr(request, "user"):
        return {}
    kept: Page | None = getattr(request, "_page", None)
    if kept is None:
        kept = request._page = Page(request)  # type: ignore[attr-defined]
    return {"page": kept}
