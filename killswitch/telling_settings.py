"""Who is told of kills by mail, and when a message is called late. Chats and pagers are read by the teller alone."""

from . import env
from .mail_settings import DEFAULT_FROM_EMAIL, has_mail_server, is_mail_address, mail_addresses

TELL_MAIL_TO = mail_addresses("TELL_MAIL_TO")
if TELL_MAIL_TO and not has_mail_server():
    env.stop("EMAIL_HOST", "is missing: TELL_MAIL_TO needs a mail server")
TELL_FROM = env.text("TELL_FROM", DEFAULT_FROM_EMAIL)
if not is_mail_address(TELL_FROM):
    env.stop("TELL_FROM", "must be one mail address")
# A place that has not taken a message for so long is named in the record and on the desk.
TELL_LATE_MINUTES = env.number("TELL_LATE_MINUTES", 5.0, least=0.01, most=10_000)

# Where people open the pages, for the link in a message; without it there is none.
PUBLIC_URL = env.url("PUBLIC_URL", ("https", "http")).rstrip("/") if env.text("PUBLIC_URL", "") else ""
