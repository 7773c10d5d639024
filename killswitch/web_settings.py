"""Who may ask for a page, by which name, and what browsers are told to refuse."""

from . import env

ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
if "*" in ALLOWED_HOSTS:
    env.stop("ALLOWED_HOSTS", "must be names: with * whoever asks chooses what the page takes for its own address")
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS", "")
if not all(origin.startswith(("https://", "http://")) for origin in CSRF_TRUSTED_ORIGINS):
    env.stop("CSRF_TRUSTED_ORIGINS", "must be addresses that begin with https:// or http://, comma-separated")

HTTPS_ONLY = env.boolean("HTTPS_ONLY")
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz)$"]
# Not a year: while a browser remembers it, a certificate that ran out keeps the desk from its button.
SECURE_HSTS_SECONDS = int(env.number("HSTS_SECONDS", 3600, least=1, most=63_072_000)) if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS_ONLY
# Whether the whole domain goes into the browsers' own list is not for one host of it to say.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
if HTTPS_ONLY:
    # A browser takes a cookie of such a name only over TLS and only from this very host.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
if env.boolean("PROXY_SAYS_HTTPS"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# No script reads it: the token stands in the page.
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# What is not named is refused: frames, fonts, workers, plug-ins, everything inline, everything of others.
CONTENT_SECURITY_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
