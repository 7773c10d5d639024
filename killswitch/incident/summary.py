"""What one page says of a kill, and all that its pack is made of."""

from datetime import datetime
from functools import cached_property

from killswitch.audit.verification import broken
from killswitch.kills.models import Kill

from .call_sheet import CallSheet
from .contradictions import of_everything
from .excerpt import Excerpt
from .figures import Incident
from .timeline import People, Timeline


class Summary:
    """One kill, as it was at `at`. Make it inside one moment, so that its parts fit together."""

    def __init__(self, kill: Kill, at: datetime) -> None:
        self.at = at
        self.incident = Incident(kill)
        self.kill = self.incident.kill
        self.timeline = Timeline(self.incident)
        self.people = People(self.kill)
        self.sheet = CallSheet(self.incident)

    @cached_property
    def excerpt(self) -> Excerpt:
        return Excerpt.of(self.kill)

    @cached_property
    def late_reason(self) -> Excerpt | None:
        """Return the entry of a reason that was given long after the end, which stands apart in the pack."""
        return Excerpt.of_late_reason(self.kill, self.excerpt.up_to)

    @cached_property
    def contradictions(self) -> list[str]:
        """Say where the tables that this is made of are not what the audit trail recorded."""
        return of_everything(self.kill)

    @cached_property
    def broken(self) -> str:
        """Say that the audit trail itself was found not to hold."""
        found = broken()
        return "" if found is None else found.words

    @property
    def broker(self) -> str:
        return self.kill.broker or "not recorded"

    @property
    def name(self) -> str:
        """What the pack is called: the day of the press (UTC) and the beginning of the kill's id."""
        return f"killswitch-{self.kill.engaged_at:%Y-%m-%d}-{str(self.kill.id)[:8]}"
