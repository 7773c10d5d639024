"""What a page shows of the verification of the trail."""

from functools import cached_property
from typing import Any

from django.utils import timezone

from killswitch.audit.models import Entry, Verification
from killswitch.audit.verification import DAILY, standing

RECENT = 50


class VerificationView:
    """How it stands right now."""

    def __init__(self) -> None:
        self._standing = standing()
        self.last, self.broken = self._standing.last, self._standing.broken
        self.under_way, self.is_waited_for = self._standing.under_way, self._standing.is_waited_for
        self.failed = self._standing.failed

    @property
    def is_old(self) -> bool:
        """Say whether the daily one has not come."""
        last = self.last.ended_at if self.last else None
        return last is None or timezone.now() - last > DAILY * 1.25

    @cached_property
    def entries_since(self) -> int:
        """Count the entries that were written after the last one that was verified."""
        head = Entry.objects.order_by("-id").values_list("id", flat=True).first() or 0
        return max(0, head - (self.last.last or 0)) if self.last else 0

    @property
    def holds(self) -> bool:
        return self.last is not None and self.last.state == Verification.State.HOLDS

    @property
    def anchor(self) -> dict[str, Any] | None:
        """Return the last anchor that the last verification found to hold."""
        anchors: dict[str, Any] = ((self.last and self.last.finding) or {}).get("anchors", {})
        return anchors.get("last")

    @property
    def alarm(self) -> dict[str, Any] | None:
        """Return the first thing that does not hold."""
        finding = self.broken and self.broken.finding
        return finding["findings"][0] if finding else None

    @property
    def whole(self) -> int:
        row = self.under_way
        return max(1, (row.last or 0) - row.first + 1) if row else 1

    @property
    def said(self) -> str:
        """Return what is read out when it changes."""
        if self.under_way:
            return "Verification under way"
        if self.broken:
            return "The audit trail does not hold"
        return "The audit trail holds" if self.holds else ""

    @cached_property
    def recent(self) -> list[Verification]:
        return list(Verification.objects.order_by("-id")[:RECENT])
