"""Which broker this installation reaches, in words."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings

PRODUCTION_HOST = "api.clearstreet.com"


def broker_host() -> str:
    return urlsplit(settings.CLEAR_STREET_BASE_URL).netloc.rpartition("@")[2]


def environment() -> str:
    """One word for the place that a kill would reach."""
    host = urlsplit(settings.CLEAR_STREET_BASE_URL).hostname or ""
    if settings.BROKER_IS_SIMULATOR:
        return "SIMULATOR"
    if _is_loopback(host):
        return "LOCAL"
    return "PRODUCTION" if host == PRODUCTION_HOST else host


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
