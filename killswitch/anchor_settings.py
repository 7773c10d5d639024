"""How often the head of the audit trail is signed, and where the anchors go. The key is read by the notary alone."""

from . import env
from .mail_settings import has_mail_server, mail_addresses

# While something happens, and how long an anchor may be on its way before the trail's page says so.
ANCHOR_SECONDS = env.number("ANCHOR_SECONDS", 300.0, least=1, most=86_400)
ANCHOR_LATE_MINUTES = env.number("ANCHOR_LATE_MINUTES", 15.0, least=0.01, most=10_000)

ANCHOR_FILE = env.file("ANCHOR_FILE")

ANCHOR_MAIL = mail_addresses("ANCHOR_MAIL")
if ANCHOR_MAIL and not has_mail_server():
    env.stop("EMAIL_HOST", "is missing: ANCHOR_MAIL needs a mail server")

ANCHOR_URL = env.url("ANCHOR_URL", ("https", "http")) if env.text("ANCHOR_URL", "") else ""
ANCHOR_URL_TOKEN = env.header("ANCHOR_URL_TOKEN", env.secret("ANCHOR_URL_TOKEN"))

ANCHOR_S3_BUCKET = env.text("ANCHOR_S3_BUCKET", "")
ANCHOR_S3_PREFIX = env.text("ANCHOR_S3_PREFIX", "")
ANCHOR_S3_ENDPOINT = env.url("ANCHOR_S3_ENDPOINT", ("https", "http")) if env.text("ANCHOR_S3_ENDPOINT", "") else ""
ANCHOR_S3_REGION = env.text("ANCHOR_S3_REGION", "us-east-1")
ANCHOR_S3_ACCESS_KEY = env.text("ANCHOR_S3_ACCESS_KEY", "")
ANCHOR_S3_SECRET_KEY = env.secret("ANCHOR_S3_SECRET_KEY")
if bool(ANCHOR_S3_ACCESS_KEY) != bool(ANCHOR_S3_SECRET_KEY):
    env.stop("ANCHOR_S3_ACCESS_KEY", "and ANCHOR_S3_SECRET_KEY go together: set both, or none")
# No default: nobody can take it back.
ANCHOR_S3_RETENTION_DAYS = int(env.number("ANCHOR_S3_RETENTION_DAYS", 0, least=1, most=36_500))
if ANCHOR_S3_BUCKET and not ANCHOR_S3_RETENTION_DAYS:
    env.stop("ANCHOR_S3_RETENTION_DAYS", "is missing: say for how many days nobody may delete an anchor in the bucket")
