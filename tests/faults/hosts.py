"""Two hosts on one machine: network namespaces on a bridge, with host names of their own. Linux and root only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

SITUATION = "two hosts need Linux, root and ip(8)"


class Host:
    """A host with an address of its own, which may be cut off."""

    def __init__(self, name: str, bridge: str, address: str) -> None:
        self.name, self.address = name, address
        self._namespace, self._cable = f"{bridge}-{name}", f"{bridge}{name}"
        ip("netns", "add", self._namespace)
        ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self._namespace)
        ip("link", "set", self._cable, "master", bridge, "up")
        ip("-n", self._namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", self._namespace, "link", "set", "eth0", "up")
        ip("-n", self._namespace, "link", "set", "lo", "up")

    @property
    def enter(self) -> list[str]:
        """Return what begins a command that runs there."""
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["ip", "netns", "exec", self._namespace, *named]

    def cut_off(self) -> None:
        """Pull its cable: nothing comes and nothing goes, and no connection is told so."""
        ip("link", "set", self._cable, "down")

    def mend(self) -> None:
        ip("link", "set", self._cable, "up")

    def remove(self) -> None:
        ip("netns", "delete", self._namespace)


class Network:
    """A bridge, on which this machine has the address `here`, and hosts."""

    def __init__(self) -> None:
        # Of the range that is kept for tests of networks; several runs at a time get a net each.
        net = f"198.18.{os.getpid() % 254 + 1}"
        self._bridge = f"ks{os.getpid() % 1_000_000}"
        self.here = f"{net}.1"
        ip("link", "add", "name", self._bridge, "type", "bridge")
        ip("addr", "add", f"{self.here}/24", "dev", self._bridge)
        ip("link", "set", self._bridge, "up")
        self.hosts = [Host(name, self._bridge, f"{net}.{number}") for number, name in ((2, "one"), (3, "two"))]

    def remove(self) -> None:
        for host in self.hosts:
            with suppress(subprocess.CalledProcessError):
                host.remove()
        ip("link", "delete", self._bridge)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def own_network() -> Iterator[Network]:
    """Make a network; skip the test where that is not possible, but never in CI."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail(f"{SITUATION}: CI must have them")
        pytest.skip(SITUATION)
    made = Network()
    try:
        yield made
    finally:
        made.remove()
