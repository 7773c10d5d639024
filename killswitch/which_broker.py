"""Which broker this installation reaches, in words."""

from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings

PRODUCTION_HOST = "api.clearstreet.com"


DEFAULT_PORTS = {"https": 443, "http": 80}


def broker_host() -> str:
    """Return host and port of the broker, with a mark of its path; two ways of writing the same address are one.

    A gateway may lead to one broker under one path, and to another under another. The path itself may be a secret.
    """
    parts = urlsplit(settings.CLEAR_STREET_BASE_URL)
    host = (parts.hostname or "").removesuffix(".")
    host = "127.0.0.1" if host == "localhost" else f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    path = parts.path.rstrip("/")
    return f"{host}{port}" + (f"/~{sha256(path.encode()).hexdigest()[:8]}" if path else "")


def broker_address() -> str:
    """Return where the broker is asked, with the scheme; without user, password or query."""
    return f"{urlsplit(settings.CLEAR_STREET_BASE_URL).scheme}://{broker_host()}"


def is_here(broker: str) -> bool:
    """Say whether what `in_words` returned somewhere means the broker of this process. What says nothing does."""
    return not broker or broker.rpartition(" (")[0] == broker_host()


@dataclass(frozen=True)
class Place:
    """The place that a kill would reach, told so that no two can be mistaken for each other."""

    kind: str
    name: str
    meaning: str

    @property
    def host(self) -> str:
        return broker_host()


PRODUCTION = Place("production", "PRODUCTION", "real orders")
SIMULATOR = Place("simulator", "SIMULATOR", "nothing here is real")
LOCAL = Place("local", "LOCAL", "what answers on this machine is not known: a tunnel would reach real orders")
OTHER = Place("other", "", "not known here as production or test: take it for real")


def place() -> Place:
    """Say which kind of place this is. Only the simulator's own setting makes it unreal."""
    host = urlsplit(settings.CLEAR_STREET_BASE_URL).hostname or ""
    if settings.BROKER_IS_SIMULATOR:
        return SIMULATOR
    if _is_loopback(host):
        return LOCAL
    return PRODUCTION if host == PRODUCTION_HOST else OTHER


def environment() -> str:
    """Return one word for the place that a kill would reach."""
    found = place()
    return found.host if found is OTHER else found.name


def in_words() -> str:
    """Return the broker's host and what kind of place it is, as the record keeps it."""
    return f"{broker_host()} ({environment()})"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
