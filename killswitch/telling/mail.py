"""Mail to one person. Each has a mail of their own: one address that is refused keeps nobody else waiting."""

import smtplib

from django.conf import settings
from django.core.mail import EmailMessage

from .places import Message, Refused, key_of


class Mail:
    """Takes a message once the mail server has taken it."""

    def __init__(self, address: str, number: int) -> None:
        self._address = address
        self.key = key_of(f"mail {address}")
        self.name = f"mail {number}"

    def take(self, message: Message) -> None:
        # Whoever is away must not answer a machine.
        headers = {"Auto-Submitted": "auto-generated"}
        mail = EmailMessage(message.subject, message.body, settings.TELL_FROM, [self._address], headers=headers)
        try:
            mail.send()
        except (smtplib.SMTPException, OSError) as error:
            raise Refused(_words(error)) from None


def _words(error: Exception) -> str:
    """Say what went wrong. What a mail server answers is not passed on: it names addresses."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({code for code, _ in error.recipients.values()})
        return f"the mail server refused the address ({', '.join(map(str, codes))})"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"the mail server refused the log-in ({error.smtp_code})"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {error.smtp_code}"
    if isinstance(error, TimeoutError | smtplib.SMTPServerDisconnected):
        return "the mail server did not answer, or hung up"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, smtplib.SMTPException):
        return f"the mail server could not be reached: {error.strerror}"
    return f"the mail server could not be talked to ({type(error).__name__})"
