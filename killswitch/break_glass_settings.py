"""Settings for `manage.py kill --break-glass`: the broker's address and key, and nothing else.

Every touch of a database raises: there is none.
"""

from .kill_settings import *  # noqa: F403

INSTALLED_APPS = ["killswitch.audit", "killswitch.kills", "killswitch.command_line"]
DATABASES = {"default": {"ENGINE": "django.db.backends.dummy"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
LOGGING_CONFIG = None
