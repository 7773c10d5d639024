"""What every page shows: who is logged in, what they may do, which broker this is, what is latched, what runs."""

from functools import cached_property

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from killswitch import which_broker
from killswitch.access import roles
from killswitch.audit.models import Verification
from killswitch.audit.verification import broken
from killswitch.incident.contradictions import is_contradicted
from killswitch.kills.acknowledgements import unacknowledged
from killswitch.kills.meanings import Alarm
from killswitch.kills.models import Kill
from killswitch.kills.queries import as_they_stand, late_arrivals_by_kill, running_kills


class Page:
    """Asked for by templates, so that a page that does not need it pays for nothing."""

    def __init__(self, request: HttpRequest) -> None:
        self._user = request.user

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
    def held_kills(self) -> list[tuple[Kill, int]]:
        """Return what is latched, each with its late arrivals."""
        held = [kill for kill in self._kills if kill.is_held]
        late = late_arrivals_by_kill([kill.id for kill in held]) if held else {}
        return [(kill, late.get(kill.id, 0)) for kill in held]

    @cached_property
    def running_kills(self) -> list[Kill]:
        """Return what runs and ends by itself."""
        return [kill for kill in self._kills if not kill.is_held]

    @cached_property
    def _kills(self) -> list[Kill]:
        return as_they_stand(running_kills()) if self.may_see else []

    @cached_property
    def unacknowledged(self) -> list[tuple[Kill, list[Alarm]]]:
        """Return kills with alarms that nobody acknowledged, for those who can."""
        return unacknowledged(timezone.now(), contradicted=is_contradicted) if self.may_kill else []

    @cached_property
    def broken_trail(self) -> Verification | None:
        """Return the verification that found the trail broken, for those who may read it."""
        return broken() if self.may_read_trail else None

    @property
    def broker_host(self) -> str:
        return which_broker.broker_host()

    @property
    def environment(self) -> str:
        return which_broker.environment()

    @property
    def place(self) -> which_broker.Place:
        return which_broker.place()


def page(request: HttpRequest) -> dict[str, object]:
    return {"page": Page(request)} if hasattr(request, "user") else {}
