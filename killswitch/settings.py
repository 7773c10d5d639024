"""How the house is wired. Everything that differs between places comes from the environment, read by `env`."""

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from . import env
from .anchor_settings import *  # noqa: F403
from .kill_settings import *  # noqa: F403
from .light_settings import *  # noqa: F403
from .login_settings import *  # noqa: F403
from .login_settings import LOGIN_APPS
from .mail_settings import *  # noqa: F403
from .telling_settings import *  # noqa: F403
from .web_settings import *  # noqa: F403

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = env.boolean("DEBUG")
SECRET_KEY = env.needed_secret("SECRET_KEY")

# Letting go of a latched kill takes a second person, unless this is on.
RELEASE_BY_SAME_PERSON = env.boolean("RELEASE_BY_SAME_PERSON")
# A line on the desk's page, for whoever looks at an installation for the first time.
DESK_NOTE = env.text("DESK_NOTE", "")
# Requests per second that keep the open book fresh; never a limit for a kill.
BOOK_REQUESTS_PER_SECOND = env.number("BOOK_REQUESTS_PER_SECOND", 5.0, least=0.1, most=1000)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    *LOGIN_APPS,
    "killswitch.audit",
    "killswitch.notary",
    "killswitch.telling",
    "killswitch.access",
    "killswitch.kills",
    "killswitch.book",
    "killswitch.health",
    "killswitch.command_line",
    "orders_ui",
]

MIDDLEWARE = [
    "orders_ui.together.note_arrival",
    "killswitch.browser_rules.browser_rules",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "killswitch.access.address.address_behind_proxies",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "killswitch.access.sessions.renew_sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "orders_ui.middleware.LogInFirst",
    "orders_ui.middleware.SecondFactorFirst",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

CSRF_FAILURE_VIEW = "orders_ui.views.errors.csrf_failure"
ROOT_URLCONF = "killswitch.urls"
WSGI_APPLICATION = "killswitch.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "orders_ui.context.page",
            ],
        },
    },
]

try:
    DATABASES = {
        "default": dj_database_url.parse(
            env.secret_url("DATABASE_URL", ("sqlite", "postgres", "postgresql")),
            conn_max_age=600,
            conn_health_checks=True,
        )
    }
except (dj_database_url.ParseError, ValueError, ImproperlyConfigured):
    env.stop("DATABASE_URL", "cannot be read: postgresql://user:password@host:5432/name or sqlite:////path/to/file")
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = False
    DATABASES["default"]["OPTIONS"] = {
        # Without IMMEDIATE, two writers at once fail with "database is locked" instead of waiting for each other.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        # A process that is frozen in a transaction, or whose machine is cut off, must not hold its locks for long: a
        # press waits for the end of the audit trail, and waits longer than the server lets such a process be.
        # Whoever has waited must see what was committed meanwhile, whatever the server's default is.
        options="-c idle_in_transaction_session_timeout=2000 -c lock_timeout=6000"
        r" -c default_transaction_isolation=read\ committed",
        connect_timeout=3,
        tcp_user_timeout=5000,
    )
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# So old may be what a page gets that follows by itself: it is read once for all who do.
TOGETHER_SECONDS = 0.5

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Serve straight from the folders: one step less between a clone and a page that works.
WHITENOISE_USE_FINDERS = True
# A kill may name thousands of orders in one form.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

REDIS_URL = env.secret_url("REDIS_URL", ("redis", "rediss", "unix"))
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
if REDIS_URL.startswith("rediss://"):
    # Celery takes any certificate where it is not told otherwise; Redis's own client does not.
    CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": "required"}
    if {"none", "optional", "false"} & {value.lower() for _, value in parse_qsl(urlsplit(REDIS_URL).query)}:
        env.stop("REDIS_URL", "must not switch off the check of the certificate: ssl_ca_certs names whom to trust")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "kills"
CELERY_WORKER_POOL = "threads"  # one process, one event loop, one set of warm connections
CELERY_WORKER_CONCURRENCY = 16  # a task mostly waits for the event loop
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# The doorbell must not hang: with Redis down or frozen a publish gives up within about a second.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
    "socket_timeout": 1,
    "socket_connect_timeout": 1,
    "visibility_timeout": 3600,
}
CELERY_BEAT_SCHEDULE = {
    "refresh-the-book": {
        "task": "killswitch.book.tasks.refresh",
        "schedule": 1.0,
        "options": {"queue": "book", "expires": 2},
    },
}
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # keeps no file: the schedule stands above

DEFAULT_EXCEPTION_REPORTER = "killswitch.error_pages.RedactedReporter"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "class": "killswitch.logs.TextFormatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
        "json": {"class": "killswitch.logs.JsonFormatter"},
    },
    "handlers": {
        "stderr": {"class": "killswitch.logs.PatientHandler", "formatter": env.choice("LOG_FORMAT", "text", "json")}
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # Without Django's own handlers, which leave nothing out.
        "django": {"handlers": [], "level": "INFO"},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        # httpx writes every address at INFO.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        # Each step of drawing a page, and what of its style is not for paper.
        "weasyprint": {"level": "ERROR"},
        "fontTools": {"level": "WARNING"},
    },
}
