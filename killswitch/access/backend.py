from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone

from .lockout import locked_until


class NotLockedOut:
    """Stands before the backend that knows the passwords, so that nobody goes on guessing. Knows no users itself."""

    def authenticate(self, request: HttpRequest | None, username: str | None = None, **_: Any) -> None:
        """Raise PermissionDenied for a name that is locked out at the address that asks."""
        if request is None or username is None:
            return
        if locked_until(name=username, address=request.META.get("REMOTE_ADDR", ""), now=timezone.now()):
            raise PermissionDenied
