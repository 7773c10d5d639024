"""What `manage.py check --deploy` looks at beside what Django does."""

import stat
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from . import env

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@register(Tags.security, deploy=True)
def files_of_secrets(**_: Any) -> list[CheckMessage]:
    """Warn of a file with a secret that everybody on the machine can read."""
    return [
        Warning(f"{name} names a file that everybody here can read.", hint=f"chmod o-r {path}", id="killswitch.W001")
        for name, path in env.files_of_secrets().items()
        if path.exists() and path.stat().st_mode & stat.S_IROTH
    ]


@register(Tags.security, deploy=True)
def address_of_the_broker(**_: Any) -> list[CheckMessage]:
    """Warn of a key that would go over a network in the clear."""
    parts = urlsplit(settings.CLEAR_STREET_BASE_URL)
    if parts.scheme == "https" or parts.hostname in LOOPBACK:
        return []
    return [Warning("CLEAR_STREET_BASE_URL is no https:// address: the key goes in the clear.", id="killswitch.W002")]


@register(Tags.security, deploy=True)
def address_behind_a_proxy(**_: Any) -> list[CheckMessage]:
    """Warn where a proxy is believed and everybody seems to come from its address, which one lock-out would shut."""
    if settings.SECURE_PROXY_SSL_HEADER is None or settings.PROXIES:
        return []
    return [
        Warning("PROXY_SAYS_HTTPS is on and PROXIES is 0: everybody has the proxy's address.", id="killswitch.W003")
    ]


@register(Tags.security, deploy=True)
def address_of_single_sign_on(**_: Any) -> list[CheckMessage]:
    """Warn of a provider whose word could be somebody else's: what it says is believed because TLS says who it is."""
    parts = urlsplit(settings.SSO_ISSUER)
    if parts.scheme in ("", "https") or parts.hostname in LOOPBACK:
        return []
    return [Warning("SSO_ISSUER is no https:// address: anybody on the way says who logs in.", id="killswitch.W004")]
