"""The entries of a kill, taken out of the chain so that they can be proven to stand in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from killswitch.audit import chain
from killswitch.audit.models import Anchor, Entry
from killswitch.audit.rows import sealed
from killswitch.kills.models import Kill

from .figures import ROWS
from .timeline import entries_of, first_of, last_of


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
        anchor = Anchor.objects.filter(sequence__gte=last).order_by("sequence").first() if last else None
        return cls(kill, first_of(kill) or 1, last, anchor)

    @property
    def up_to(self) -> int:
        return self.anchor.sequence if self.anchor else self.last

    def lines(self) -> Iterator[bytes]:
        """Yield the kill's entries whole, and of each entry between them no more than follows the chain past it."""
        mine = entries_of(self.kill).order_by("id").values_list("id", flat=True).iterator(ROWS)
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


def anchor_line(anchor: Anchor) -> bytes:
    """Write an anchor as the line that every place of anchors holds."""
    return chain.canonical(
        {
            "algorithm": "ed25519",
            "at": _time(anchor.at),
            "hash": anchor.hash,
            "key": anchor.key,
            "sequence": anchor.sequence,
            "signature": anchor.signature,
        }
    )


def _time(at: datetime) -> str:
    return chain.time_text(at)
