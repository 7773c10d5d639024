"""What django-allauth asks of us: nobody signs up, no mail is sent, secrets of second factors are kept encrypted."""

import base64
import secrets
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, InvalidToken
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac

from .refusal import refused_log_in


class Accounts(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """Answer somebody who is shut out, whom single sign-on or a passkey brought here."""
        return refused_log_in(request, why=f"the user {user.get_username()} is shut out", name=user.get_username())

    def add_message(self, *_: Any, **__: Any) -> None:
        """Say nothing beside the page: each page says itself what has become of it."""

    def send_notification_mail(self, *_: Any, **__: Any) -> None:
        """Send no mail: the record has it."""


class SecondFactors(DefaultMFAAdapter):  # type: ignore[misc]
    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        """Name a passkey for whoever does not."""
        return f"Passkey {Authenticator.objects.filter(user=user, type=type).count() + 1}"

    def encrypt(self, text: str) -> str:
        return _fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Read a secret. What another SECRET_KEY wrote becomes one that nobody's code fits."""
        try:
            return _fernet().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            return base64.b32encode(secrets.token_bytes(20)).decode()


def _fernet() -> Fernet:
    key = salted_hmac("killswitch.second_factor", b"", algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(key))
