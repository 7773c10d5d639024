"""Settings as they are in production, for `make lint` and the tests: `python -m tests.production COMMAND …`."""

import os
import sys

PRODUCTION = {
    "SECRET_KEY": "only-to-look-at-settings-0123456789-abcdefghijklmnop",
    "CLEAR_STREET_API_KEY": "only-to-look-at-settings",
    "CLEAR_STREET_BASE_URL": "https://api.clearstreet.com",
    "DATABASE_URL": "postgresql://killswitch:only-to-look@127.0.0.1:9/killswitch",
    "REDIS_URL": "rediss://:only-to-look@127.0.0.1:9/0",
    "ALLOWED_HOSTS": "killswitch.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://killswitch.example.com",
    "HTTPS_ONLY": "on",
}

if __name__ == "__main__":
    os.execvpe(sys.argv[1], sys.argv[1:], {"PATH": os.environ["PATH"], **PRODUCTION})
