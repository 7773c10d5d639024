"""The product's own settings, fed by an environment in which nothing is reachable until a test starts it."""

import os
import tempfile
from pathlib import Path

from tests.nothing_secret import API_KEY, SECRET_KEY

FOLDER = Path(tempfile.mkdtemp(prefix="ks-"))

os.environ["SECRET_KEY"] = SECRET_KEY
os.environ["CLEAR_STREET_API_KEY"] = API_KEY
os.environ["CLEAR_STREET_BASE_URL"] = "http://127.0.0.1:9"
# A fault that a test sets at the broker is for the requests that the test is about.
os.environ["KILL_WARM_CONNECTIONS"] = "0"
os.environ["REDIS_URL"] = f"unix://{FOLDER}/redis.sock"
# TEST_DATABASE_URL, not DATABASE_URL: tests never go near a database that is in use.
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL") or f"sqlite:///{FOLDER}/unused.sqlite3"

from killswitch.settings import *  # noqa: E402, F403
from killswitch.settings import DATABASES  # noqa: E402

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, because several threads and processes write to it, as they do for real.
    DATABASES["default"]["TEST"] = {"NAME": f"{FOLDER}/test.sqlite3"}
DATABASES["default"]["CONN_MAX_AGE"] = 0
# What a test has just done it wants to see. Web processes of their own are as they are for users.
TOGETHER_SECONDS = 0.0
# Fast by default; the second is the one that other processes of the product read.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
if DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
    # A test may stand in one transaction from its beginning to its end, and think meanwhile.
    options = DATABASES["default"]["OPTIONS"]
    options["options"] = options["options"].replace("session_timeout=2000", "session_timeout=60000")
