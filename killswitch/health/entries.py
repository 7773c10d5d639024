"""What the record says of the product's own parts: with which settings a process started, and how its clock stands.

What goes in is named here, one by one or by being a plain number. Nothing else of the settings is read, so that a new
secret is left out without anybody's doing.
"""

import os
import platform
import socket
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft
from killswitch.broker import ClockBounds
from killswitch.starting import Start
from killswitch.version import VERSION, digest
from killswitch.which_broker import broker_address

# Settings that begin so go in where they are a number, on or off.
PREFIXES = ("ANCHOR_", "BOOK_", "CLEAR_STREET_", "KILL_", "LIGHT_", "TELL_")
BY_NAME = ("ALLOWED_HOSTS", "BROKER_IS_SIMULATOR", "CSRF_TRUSTED_ORIGINS", "DEBUG", "RELEASE_BY_SAME_PERSON")
OF_THE_DATABASE = {"name": "NAME", "host": "HOST", "port": "PORT", "user": "USER"}


def started(start: Start) -> Draft:
    """Say that a process started, with which code and settings."""
    told = settings_that_matter()
    broker = f"broker {told['broker']}" + (" (a simulator)" if settings.BROKER_IS_SIMULATOR else "")
    code = digest()
    return Draft(
        kind=Kind.PROCESS_STARTED,
        at=start.at,
        actor=Actor(source=start.source),
        sentence=f"{start.name} started: version {VERSION}, code {code[:12]}, {broker}",
        data={
            "process": start.name,
            "version": VERSION,
            "code_sha256": code,
            "python": platform.python_version(),
            "django": django.__version__,
            "settings": told,
        },
    )


DEFAULT_PORTS = {"https": 443, "http": 80}


def settings_that_matter() -> dict[str, Any]:
    """Return what decides how a kill goes and who may do what, without any secret."""
    names = [name for name in dir(settings) if name.startswith(PREFIXES) and _is_plain(getattr(settings, name))]
    database = settings.DATABASES["default"]
    return {
        **{name: _text(getattr(settings, name)) for name in (*names, *BY_NAME)},
        "HTTPS_ONLY": bool(settings.SECURE_SSL_REDIRECT),
        "WEB_BIND": os.environ.get("WEB_BIND", ""),
        "WEB_WORKERS": os.environ.get("WEB_WORKERS", ""),
        "broker": broker_address(),
        "redis": place(settings.REDIS_URL),
        "database": {
            "vendor": str(database["ENGINE"]).rpartition(".")[2],
            **{name: str(database.get(key) or "") for name, key in OF_THE_DATABASE.items()},
        },
    }


def place(address: str) -> str:
    """Return where an address leads: without user, password, path or query, but for the path of a socket."""
    parts = urlsplit(address)
    if parts.hostname is None:
        return f"{parts.scheme}://{parts.path}"
    port = None if parts.port == DEFAULT_PORTS.get(parts.scheme) else parts.port
    return f"{parts.scheme}://{parts.hostname}" + (f":{port}" if port else "")


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float)


def _text(value: object) -> object:
    return format(value, "g") if isinstance(value, float) else value


def clock_offset(start: Start, bounds: ClockBounds, *, why: str, before: ClockBounds | None = None) -> Draft:
    """Say how far the broker's clock is from this machine's, and how sure that is."""
    side = "ahead of" if bounds.offset >= 0 else "behind"
    change = f" (before: {before.offset:+.3f} s ± {before.uncertainty:.3f} s)" if before and why == "changed" else ""
    return Draft(
        kind=Kind.CLOCK_OFFSET,
        at=timezone.now(),
        actor=Actor(source=f"{start.name} {socket.gethostname()} {os.getpid()}"),
        sentence=f"The broker’s clock is {abs(bounds.offset):.3f} s {side} the clock of {socket.gethostname()}, "
        f"± {bounds.uncertainty:.3f} s{change}",
        data={
            "why": why,
            "process": start.name,
            "host": socket.gethostname(),
            "broker": broker_address(),
            "offset_seconds": bounds.offset,
            "uncertainty_seconds": bounds.uncertainty,
            "answers": bounds.answers,
            "over_seconds": bounds.last - bounds.since,
        },
    )
