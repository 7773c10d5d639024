"""Who is let in, how, and for how long."""

from . import env
from .access.role_names import ADMINISTRATOR, COMPLIANCE, RISK_DESK, ROLES

LOGIN_APPS = [
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
]
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

# Nobody signs up, nothing goes by mail: administrators, or the firm's own log-in, say who comes in.
ACCOUNT_ADAPTER = "killswitch.access.adapters.Accounts"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
# Ours is the lock-out: it goes by name and address, and several processes share it.
ACCOUNT_RATE_LIMITS = False
MFA_RATE_LIMITS = False
# Remembers which codes were used: shared by all web processes, and there without Redis.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "access_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# For so long after somebody has shown who they are, nobody asks again before a release or a change of users.
FRESH_SECONDS = ACCOUNT_REAUTHENTICATION_TIMEOUT = int(env.number("FRESH_SECONDS", 300, least=30, most=3600))

MFA_ADAPTER = "killswitch.access.adapters.SecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Killswitch"
MFA_TOTP_TOLERANCE = 1  # a phone's clock may be half a minute off
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "authenticate": "killswitch.access.second_factor.CodeForm",
    "reauthenticate": "killswitch.access.second_factor.CodeAgainForm",
}
SECOND_FACTOR_FOR = env.names("SECOND_FACTOR_FOR", "")
if unknown := [role for role in SECOND_FACTOR_FOR if role not in ROLES]:
    env.stop("SECOND_FACTOR_FOR", f"names {unknown[0]!r}, which is no role: {', '.join(ROLES)}")

# Single sign-on (OpenID Connect): the firm's groups say who has which role here.
SSO_ISSUER = env.url("SSO_ISSUER", ("https", "http")) if env.text("SSO_ISSUER", "") else ""
SSO_NAME = env.text("SSO_NAME", "single sign-on")
SSO_NAME_CLAIM = env.text("SSO_NAME_CLAIM", "preferred_username")
SSO_GROUPS_CLAIM = env.text("SSO_GROUPS_CLAIM", "groups")
# A person in several of these groups gets the first role.
SSO_ROLES = {
    RISK_DESK: env.names("SSO_RISK_DESK_GROUPS", ""),
    COMPLIANCE: env.names("SSO_COMPLIANCE_GROUPS", ""),
    ADMINISTRATOR: env.names("SSO_ADMINISTRATOR_GROUPS", ""),
}
# Which teams a person of these groups is in; "*" is for who is limited by none. Where it is empty it says nothing.
SSO_TEAMS = env.lists("SSO_TEAMS")
if role := next((team for team in SSO_TEAMS if team in ROLES), ""):
    env.stop("SSO_TEAMS", f"names {role!r}, which is a role and no team")
SOCIALACCOUNT_ADAPTER = "killswitch.access.single_sign_on.SingleSignOn"
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
# A link, not a form: browsers let no form be sent on to another host. Who follows it unawares is still themselves.
SOCIALACCOUNT_LOGIN_ON_GET = True
SSO_ID = "sso"
if SSO_ISSUER and not any(SSO_ROLES.values()):
    env.stop("SSO_RISK_DESK_GROUPS", "is missing: SSO_ISSUER is set, and no group has a role")
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "SCOPE": env.text("SSO_SCOPES", "openid profile").split(),
        "APPS": [
            {
                "provider_id": SSO_ID,
                "name": SSO_NAME,
                "client_id": env.text("SSO_CLIENT_ID"),
                "secret": env.secret("SSO_CLIENT_SECRET"),
                "settings": {"server_url": SSO_ISSUER},
            }
        ]
        if SSO_ISSUER
        else [],
    }
}
