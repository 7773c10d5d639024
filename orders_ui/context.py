"""What every page shows: who is logged in, what they may do, which broker this is, what is latched, what runs."""

from dataclasses import dataclass, replace
from functools import cached_property

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from killswitch import which_broker
from killswitch.access import roles
from killswitch.access.second_factor import lacks_second_factor
from killswitch.audit.models import Verification
from killswitch.audit.verification import broken
from killswitch.incident.contradictions import is_contradicted
from killswitch.kills.acknowledgements import unacknowledged
from killswitch.kills.alarms import is_unattended
from killswitch.kills.meanings import Alarm, standing
from killswitch.kills.models import Kill, State
from killswitch.kills.queries import as_they_stand, late_arrivals_by_kill, running_kills

from .together import follows, together

SHOWN = 5  # kills of a kind in the banner


@dataclass(frozen=True)
class Bannered:
    """A kill in the banner."""

    kill: Kill
    late: int  # late arrivals
    is_unattended: bool
    alarms: tuple[Alarm, ...] = ()  # that nobody acknowledged

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
        self._is_fresh = not follows(request)
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
    def _kills(self) -> list[Bannered]:
        kills = together("kills", _bannered, is_fresh=self._is_fresh) if self.may_see else []
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
        return together("alarms", _unacknowledged, is_fresh=self._is_fresh) if self.may_kill else []

    @cached_property
    def broken_trail(self) -> Verification | None:
        """Return the verification that found the trail broken, for those who may read it."""
        return together("trail", broken, is_fresh=self._is_fresh) if self.may_read_trail else None

    @property
    def broker_host(self) -> str:
        return which_broker.broker_host()

    @property
    def environment(self) -> str:
        return which_broker.environment()

    @property
    def place(self) -> which_broker.Place:
        return which_broker.place()


def _bannered() -> list[Bannered]:
    kills = as_they_stand(running_kills())
    late = late_arrivals_by_kill([kill.id for kill in kills if kill.is_held])
    return [Bannered(kill, late.get(kill.id, 0), is_unattended(kill)) for kill in kills]


def _unacknowledged() -> list[tuple[Kill, list[Alarm]]]:
    return unacknowledged(timezone.now(), contradicted=is_contradicted)


def page(request: HttpRequest) -> dict[str, object]:
    return {"page": Page(request)} if hasattr(request, "user") else {}
