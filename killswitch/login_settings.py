"""Who is let in, how, and for how long."""

from . import env

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "desk"
LOGOUT_REDIRECT_URL = "login"
AUTHENTICATION_BACKENDS = ["killswitch.access.backend.NotLockedOut", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Proxies of our own that write X-Forwarded-For, one behind the other.
PROXIES = int(env.number("PROXIES", 0, least=0, most=9))
# In the database: Redis may be gone when somebody has to press.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = int(3600 * env.number("SESSION_HOURS", 12, least=0.25, most=72))
