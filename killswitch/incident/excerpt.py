"""The entries of a kill, taken out of the chain so that they can be proven to stand in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from killswitch.audit.anchors import anchor_after, anchor_line
from killswitch.audit.models import Anchor, Entry
from killswitch.audit.rows import sealed
from killswitch.kills.models import Kill

from .figures import ROWS
from .timeline import entries_of, first_of, last_of, late_reason_of


@dataclass(frozen=True)
class Excerpt:
    """From the first entry of a kill to the anchor after its last one, or to that where there is no anchor yet."""

    kill: Kill
    first: int
    last: int
    anchor: Anchor | None

    @classmethod
    def of(cls, kill: Kill) -> "Excerpt":
        last = last_of(kill) or 0
        return cls(kill, first_of(kill) or 1, last, anchor_after(last) if last else None)

    @classmethod
    def of_late_reason(cls, kill: Kill, after: int) -> "Excerpt | None":
        """Return the entry of the reason with the anchor after it; None where it was not given after entry `after`."""
        found = late_reason_of(kill, after)
        return None if found is None else cls(kill, found, found, anchor_after(found))

    @property
    def up_to(self) -> int:
        return self.anchor.sequence if self.anchor else self.last

    @cached_property
    def is_contradicted(self) -> bool:
        """Say whether the anchor was signed for another entry than the one that stands there now."""
        if self.anchor is None:
            return False
        return not Entry.objects.filter(id=self.anchor.sequence, hash=self.anchor.hash).exists()

    def lines(self) -> Iterator[bytes]:
        """Yield the kill's entries whole, and of each entry between them no more than follows the chain past it."""
        mine = (
            entries_of(self.kill).filter(id__gte=self.first).order_by("id").values_list("id", flat=True).iterator(ROWS)
        )
        wanted = next(mine, None)
        for row in sealed(Entry.objects.all(), after=self.first - 1, up_to=self.up_to):
            if row.sequence == wanted:
                wanted = next(mine, None)
                yield row.line + b"\n"
            else:
                yield row.skeleton + b"\n"

    def anchors(self) -> Iterator[bytes]:
        if self.anchor is not None:
            yield anchor_line(self.anchor) + b"\n"
