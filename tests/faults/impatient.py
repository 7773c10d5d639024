"""The product's own settings with a short wait for SQLite's lock, so that a test need not wait for 20 s."""

from killswitch.settings import *  # noqa: F403
from killswitch.settings import DATABASES

if "timeout" in DATABASES["default"].get("OPTIONS", {}):
    DATABASES["default"]["OPTIONS"]["timeout"] = 1
