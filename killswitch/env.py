"""Typed readers of the environment. A missing or odd value stops the start with one line that says which."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from .redaction import hide

V = TypeVar("V")

# Each of them is read by `secret`: from the variable, or from the file that the same name with _FILE names.
SECRETS = (
    *("ANCHOR_KEY", "ANCHOR_S3_SECRET_KEY", "ANCHOR_URL_TOKEN", "CLEAR_STREET_API_KEY", "DATABASE_URL"),
    *("EMAIL_HOST_PASSWORD", "METRICS_TOKEN", "NEW_USER_PASSWORD", "REDIS_URL", "SECRET_KEY", "SSO_CLIENT_SECRET"),
    "TELL_URLS",
)


def stop(name: str, why: str) -> NoReturn:
    """End the process with one line instead of a traceback, which might show a secret."""
    raise SystemExit(f"killswitch: {name} {why}")


def text(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, "").strip() or default
    if value is None:
        stop(name, "is missing: set it in the environment (the README's table says what it is)")
    return value


def boolean(name: str, default: bool = False) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    return default if not value else stop(name, "must be on or off")


def choice(name: str, *choices: str) -> str:
    """Read one of `choices`; the first where it is not set."""
    value = text(name, choices[0]).lower()
    return value if value in choices else stop(name, "must be " + " or ".join(choices))


def number(name: str, default: float, *, least: float, most: float) -> float:
    wanted = f"must be a number from {least:g} to {most:g}"
    return _read(name, default, float, lambda value: least <= value <= most, wanted)


def names(name: str, default: str) -> list[str]:
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def lists(name: str) -> dict[str, list[str]]:
    """Read a JSON object of lists of names; empty where it is not set."""
    wanted = 'must be a JSON object of lists of names: {"europe": ["ks-europe"]}'
    try:
        read = json.loads(text(name, "{}"))
    except ValueError:
        stop(name, wanted)
    if not isinstance(read, dict) or not all(_are_names(key, each) for key, each in read.items()):
        stop(name, wanted)
    return read


def _are_names(key: str, each: object) -> bool:
    return bool(key.strip()) and isinstance(each, list) and all(isinstance(part, str) and part for part in each)


def url(name: str, schemes: tuple[str, ...], default: str | None = None) -> str:
    """Read an address. Its value is not repeated in the complaint: it may hold a password."""
    value = text(name, default)
    _address(name, value, schemes)
    return value


def secret_url(name: str, schemes: tuple[str, ...]) -> str:
    """Read an address that may hold a password, from the variable or from the file that `name`_FILE names."""
    value = needed_secret(name)
    parts = _address(name, value, schemes)
    password = parse_qs(parts.query).get("password", [])
    hide(*(unquote(each) for each in password), parts.password or "", unquote(parts.password or ""))
    return value


def _address(name: str, value: str, schemes: tuple[str, ...]) -> SplitResult:
    wanted = "must be an address that begins with " + " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        stop(name, f"{wanted} and has a valid port")
    if parts.scheme not in schemes or not (parts.netloc or parts.path):
        stop(name, wanted)
    if parts.scheme in ("http", "https") and (not parts.hostname or "@" in parts.netloc):
        stop(name, f"{wanted} and has a host name and no user name")
    return parts


def secret(name: str) -> str:
    """Read a secret from the variable, or from the file that `name`_FILE names. Empty where neither is set.

    From then on it shows up in no log.
    """
    value, path = text(name, ""), text(f"{name}_FILE", "")
    if value and path:
        stop(name, f"and {name}_FILE are both set: set one of them")
    if path:
        value = _content(f"{name}_FILE", path)
    hide(value)
    return value


def needed_secret(name: str) -> str:
    return secret(name) or stop(
        name, f"is missing: set it or {name}_FILE in the environment (the README's table says what it is)"
    )


@functools.cache
def _content(name: str, path: str) -> str:
    """Read a file once: what happens to it later does not matter to a process that runs."""
    try:
        value = Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        stop(name, f"cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}")
    return value or stop(name, "names a file that is empty")


def files_of_secrets() -> dict[str, Path]:
    """Return the variables that name a file with a secret, as far as the environment has them."""
    paths = {name: Path(value.strip()) for name, value in os.environ.items() if name.endswith("_FILE")}
    return {name: path for name, path in paths.items() if name.removesuffix("_FILE") in SECRETS}


def file(name: str) -> str:
    """Read the path of a file, which need not be there. Empty where it is not set."""
    value = text(name, "")
    if value and not Path(value).is_absolute():
        stop(name, "must be an absolute path: processes start in different folders")
    return value


def folders(name: str) -> list[str]:
    """Read paths of folders, comma-separated."""
    values = names(name, "")
    if not all(Path(value).is_absolute() for value in values):
        stop(name, "must be absolute paths, comma-separated: processes start in different folders")
    return values


def header(name: str, value: str | None = None) -> str:
    """Read a value that goes into an HTTP header: printable ASCII without blanks."""
    value = text(name) if value is None else value
    if not all(33 <= ord(character) <= 126 for character in value):
        stop(name, "has blanks or characters that cannot stand in an HTTP header: copy it again")
    return value


def _read(name: str, default: V, cast: Callable[[str], V], fits: Callable[[V], bool], wanted: str) -> V:
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    try:
        read = cast(value)
    except ValueError:
        stop(name, wanted)
    return read if fits(read) else stop(name, wanted)
