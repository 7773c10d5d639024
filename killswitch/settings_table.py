"""Every setting in one table, from the code that reads it; `python -m killswitch.settings_table --write` for README.md.

What a setting is for stands here; its default, its limits and whether it is a secret are taken from where it is read.
A setting that is read and not told of here is an error, and so is one that is told of and read nowhere.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- settings: python -m killswitch.settings_table --write -->", "<!-- /settings -->"
# Of what only the demo, the simulator and the tests read, no installation has to know.
LEFT_OUT = ("demo/", "simulator/", "access/management/commands/make_demo_users.py")
READERS = {"text", "boolean", "number", "names", "url", "secret", "needed_secret", "secret_url", "file", "folders"}
READERS |= {"header", "lists", "mail_addresses", "choice"}
SECRETS = {"secret", "needed_secret", "secret_url"}
NEEDED = {"needed_secret", "secret_url"}

ABOUT = {
    "CLEAR_STREET_API_KEY": "the broker's key",
    "CLEAR_STREET_BASE_URL": "the broker's address",
    "DATABASE_URL": "`postgresql://user:password@host/name` or `sqlite:////absolute/path.sqlite3`",
    "REDIS_URL": "`redis://:password@host:6379/0`, `rediss://…` (TLS; `?ssl_ca_certs=/path` where the system does not "
    "know who vouches) or `unix:///path/to/socket`",
    "SECRET_KEY": "Django's secret: a long random text",
    "ALLOWED_HOSTS": "host names of the page, comma-separated",
    "CSRF_TRUSTED_ORIGINS": "`https://host` of the page behind a proxy, comma-separated",
    "HTTPS_ONLY": "`on`: secure cookies, plain HTTP is redirected, browsers are told to stay with TLS",
    "HSTS_SECONDS": "for so long they do, once `HTTPS_ONLY` is on; while they do, a certificate that ran out shuts the "
    "desk out",
    "PROXY_SAYS_HTTPS": "`on`: `X-Forwarded-Proto` is believed. Only behind a proxy that overwrites it",
    "PROXIES": "so many proxies of yours, one behind the other, write `X-Forwarded-For`: the record and the lock-out "
    "take the address that the outermost saw",
    "SESSION_HOURS": "a log-in ends after; whoever opens pages meanwhile stays for up to twice that",
    "FRESH_SECONDS": "a release and a change of users ask again who it is, unless that was shown within",
    "SECOND_FACTOR_FOR": "roles that need a second factor, comma-separated; a kill never waits for it "
    "([log-in](docs/log-in.md))",
    "SSO_ISSUER": "single sign-on by OpenID Connect: the provider's address",
    "SSO_CLIENT_ID": "who we are there",
    "SSO_CLIENT_SECRET": "and our secret there",
    "SSO_NAME": "what its button says",
    "SSO_SCOPES": "what it is asked for",
    "SSO_NAME_CLAIM": "where it says the user name",
    "SSO_GROUPS_CLAIM": "where it says the groups",
    "SSO_RISK_DESK_GROUPS": "groups there whose people are of the risk desk here, comma-separated",
    "SSO_COMPLIANCE_GROUPS": "groups there whose people are compliance here",
    "SSO_ADMINISTRATOR_GROUPS": "groups there whose people are administrators here",
    "SSO_TEAMS": "teams here and the groups there whose people are in them, as JSON; `*` is for who is limited by no "
    "team ([limits](docs/limits.md))",
    "METRICS_TOKEN": "whoever has it reads the figures for Prometheus at `/metrics` ([observing](docs/observing.md)); "
    "16 characters or more; without it there is no such page",
    "LOG_FORMAT": "`text`, or `json`: a line of JSON per line of the log ([observing](docs/observing.md))",
    "WEB_BIND": "where gunicorn listens",
    "WEB_WORKERS": "how many processes of the pages",
    "BROKER_IS_SIMULATOR": "`on`: every page behind the log-in says SIMULATOR",
    "DESK_NOTE": "a line on the desk's page",
    "DEBUG": "`on` or `off`; never on for real",
    "CLEAR_STREET_TIMEOUT_SECONDS": "a request without an answer is given up and called unknown after",
    "KILL_PATIENCE_SECONDS": "a sweep without any progress ends after",
    "KILL_LIMIT_SECONDS": "a sweep ends at the latest after",
    "KILL_STUCK_SECONDS": "a cancel that the broker accepted and has not carried out is called stuck after",
    "KILL_LATCH_SECONDS": "between two lists of a latched account while orders arrive; up to five times that when "
    "quiet",
    "KILL_WARM_CONNECTIONS": "connections to the broker that each worker and watchdog keeps open; each is used twice a "
    "minute",
    "KILL_REPEATS_PER_SECOND": "repeats that one process sends to the broker at most; first attempts are never counted",
    "RELEASE_BY_SAME_PERSON": "`on`: whoever engaged a latched kill may release it",
    "BOOK_REQUESTS_PER_SECOND": "budget that keeps the open book fresh; never a limit for a kill",
    "LIGHT_EVERY_SECONDS": "between two looks of the lookout; each is two requests to the broker and one task through "
    "the queue",
    "LIGHT_DISK_LOW_MB": "the light tells of a disk with less room than this; with a tenth of it, it is not armed",
    "LIGHT_DISK_FOLDERS": "folders whose disks are looked at besides those of SQLite and of the process, "
    "comma-separated",
    "ANCHOR_KEY": "private key that signs anchors, as PEM (`\\n` for its line ends). For the notary alone; without it "
    "there are no anchors",
    "ANCHOR_SECONDS": "an anchor after this long, if anything happened",
    "ANCHOR_LATE_MINUTES": "an anchor that is on its way for longer is said on `/audit/`, in the log and in the trail",
    "ANCHOR_FILE": "absolute path of a file that gets a line per anchor",
    "ANCHOR_MAIL": "addresses that get a mail per anchor, comma-separated",
    "ANCHOR_URL": "endpoint that gets a POST per anchor (any 2xx is taken for “kept”)",
    "ANCHOR_URL_TOKEN": "its bearer token",
    "ANCHOR_S3_BUCKET": "bucket that gets an object per anchor",
    "ANCHOR_S3_PREFIX": "what the name of such an object begins with",
    "ANCHOR_S3_RETENTION_DAYS": "nobody can delete the object for so long (compliance mode); needed with a bucket",
    "ANCHOR_S3_ENDPOINT": "of the bucket, where it is not AWS's",
    "ANCHOR_S3_REGION": "of the bucket",
    "ANCHOR_S3_ACCESS_KEY": "key of the bucket; without it boto3 looks where it always does: role, profile",
    "ANCHOR_S3_SECRET_KEY": "its other half",
    "TELL_MAIL_TO": "addresses that are told by mail, comma-separated; each gets a mail of its own",
    "TELL_FROM": "sender of those mails",
    "TELL_URLS": "apprise's addresses of chats and pagers, separated by blanks or line ends. For the teller alone",
    "TELL_LATE_MINUTES": "a place that has taken nothing for so long, and should have, is said on the desk and in the "
    "trail",
    "PUBLIC_URL": "address of the pages, for links in messages",
    "EMAIL_HOST": "mail server",
    "EMAIL_PORT": "its port",
    "EMAIL_USE_TLS": "`on`: STARTTLS",
    "EMAIL_HOST_USER": "log-in there",
    "EMAIL_HOST_PASSWORD": "and its password",
    "EMAIL_FOLDER": "instead of `EMAIL_HOST`: a folder in which mails become files, to try it out",
    "DEFAULT_FROM_EMAIL": "sender",
    "NEW_USER_PASSWORD": "for `manage.py make_user`, which otherwise asks",
}


class NotTold(Exception):
    """What is read and what is told of differ; the message says by what."""


@dataclass(frozen=True)
class Reading:
    """One place where a setting is read."""

    name: str
    reader: str
    default: str
    limits: str

    @property
    def is_secret(self) -> bool:
        return self.reader in SECRETS


def readings() -> dict[str, Reading]:
    """Return how every setting is read. The place that says most counts. Raises NotTold."""
    found: dict[str, Reading] = {}
    for path in sorted(HERE.rglob("*.py")):
        if not str(path.relative_to(HERE)).startswith(LEFT_OUT):
            for reading in _in(path):
                known = found.get(reading.name)
                if known is None or _weight(reading) > _weight(known):
                    found[reading.name] = reading
    files = {name for name in found if name.endswith("_FILE") and name.removesuffix("_FILE") in ABOUT}
    wrong = (found.keys() - files) ^ ABOUT.keys()
    if wrong:
        raise NotTold(f"read and not told of, or told of and not read: {', '.join(sorted(wrong))}")
    return {name: found[name] for name in ABOUT}


def _weight(reading: Reading) -> tuple[bool, bool, bool]:
    return reading.is_secret, bool(reading.limits), bool(reading.default)


def _in(path: Path) -> Iterator[Reading]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            reader = _reader(node.func)
            name = node.args[0].value
            if reader and isinstance(name, str) and re.fullmatch(r"[A-Z][A-Z0-9_]+", name):
                yield Reading(name, reader, _default(node, reader), _limits(node))


def _reader(function: ast.expr) -> str:
    """Return which reader a call calls; nothing where it is none."""
    text = ast.unparse(function)
    if text == "os.environ.get":
        return "environ"
    name = text.removeprefix("env.")
    return name if name in READERS and (text.startswith("env.") or name == "mail_addresses") else ""


def _default(node: ast.Call, reader: str) -> str:
    if reader in NEEDED:
        return "needed"
    if reader == "boolean":
        return "`on`" if node.args[1:] and ast.literal_eval(node.args[1]) else "`off`"
    # An address is read with its schemes before its default, a header with its value.
    given = node.args[2:] if reader == "url" else node.args[1:]
    if not given or reader in SECRETS or reader in ("header", "mail_addresses"):
        return ""
    if not isinstance(given[0], ast.Constant):
        return f"`{given[0].id}`" if isinstance(given[0], ast.Name) else ""
    value = given[0].value
    if reader == "number":
        return f"{value:,g}" if value else ""  # type: ignore[str-bytes-safe]
    return f"`{value!s}`" if value else ""


def _limits(node: ast.Call) -> str:
    numbers = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg in ("least", "most")}
    return f"{numbers['least']:,g} to {numbers['most']:,}" if len(numbers) == 2 else ""


def table() -> str:
    """Return the table as Markdown. Raises NotTold."""
    lines = ["| variable | what | default | limits |", "| --- | --- | --- | --- |"]
    for name, reading in readings().items():
        mark = " ¹" if reading.is_secret else ""
        lines.append(f"| `{name}`{mark} | {ABOUT[name]} | {reading.default or 'none'} | {reading.limits} |")
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """Return a page with the table as it is now between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}{END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        README.write_text(written(README.read_text()))
    else:
        print(table(), end="")
