"""Which mail server takes the mails, of anchors and of messages alike."""

from . import env

EMAIL_HOST = env.text("EMAIL_HOST", "")
EMAIL_PORT = int(env.number("EMAIL_PORT", 25, least=1, most=65_535))
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.secret("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "killswitch@localhost")

# To try it out: mails become files of this folder, and no server is asked.
EMAIL_FILE_PATH = env.file("EMAIL_FOLDER")
if EMAIL_FILE_PATH and EMAIL_HOST:
    env.stop("EMAIL_FOLDER", "and EMAIL_HOST are both set: set one of them")
EMAIL_BACKEND = f"django.core.mail.backends.{'filebased' if EMAIL_FILE_PATH else 'smtp'}.EmailBackend"


def has_mail_server() -> bool:
    return bool(EMAIL_HOST or EMAIL_FILE_PATH)


def mail_addresses(name: str) -> list[str]:
    """Read mail addresses, separated by commas."""
    addresses = env.names(name, "")
    if not all(is_mail_address(address) for address in addresses):
        env.stop(name, "must be mail addresses, comma-separated")
    return addresses


def is_mail_address(text: str) -> bool:
    return text.isascii() and "@" in text and " " not in text
