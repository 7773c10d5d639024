"""Whether what was claimed is still ours, known without asking the database: right before a request leaves."""

import time

from .record import LEASE, LostLease


class Hold:
    """One worker's hold on its claim. It ends by itself unless it is lengthened, as the lease in the database does."""

    def __init__(self, asked_at: float) -> None:
        self._good_until = asked_at + LEASE.total_seconds()

    def lengthen(self, asked_at: float) -> None:
        """Note that the database lengthened the lease; `asked_at` is the monotonic time before it was asked."""
        self._good_until = max(self._good_until, asked_at + LEASE.total_seconds())

    def check(self) -> None:
        """Raise LostLease where somebody else may have taken over."""
        if time.monotonic() > self._good_until:
            raise LostLease
