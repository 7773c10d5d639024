"""A file to which anchors are appended, one line each. It is never read back, cut or replaced."""

import contextlib
import fcntl
import os
from collections.abc import Sequence

from killswitch.audit.anchors import anchor_line
from killswitch.audit.models import Anchor

LONGEST_LINE = 4096


class File:
    """Made anew where somebody took it away, and safe on the disk before an anchor counts as delivered."""

    at_once = 1000

    def __init__(self, path: str) -> None:
        self._path = path
        self.name = f"file {path}"

    def take(self, anchors: Sequence[Anchor]) -> None:
        lines = b"".join(anchor_line(anchor) + b"\n" for anchor in anchors)
        is_new = not os.path.lexists(self._path)
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _append(handle, lines)
            os.fsync(handle)
        finally:
            os.close(handle)
        if is_new:
            _sync_folder(os.path.dirname(self._path))  # noqa: PTH120


def _append(handle: int, lines: bytes) -> None:
    """Write all or nothing. A line that a crash broke off is gone on with: what broke off then is what comes now."""
    size = os.fstat(handle).st_size
    start = max(0, size - LONGEST_LINE)
    broken_off = os.pread(handle, size - start, start).rpartition(b"\n")[2]
    if broken_off:
        lines = lines[len(broken_off) :] if lines.startswith(broken_off) else b"\n" + lines
    try:
        written = 0
        while written < len(lines):
            written += os.write(handle, lines[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, size)
        raise


def _sync_folder(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
