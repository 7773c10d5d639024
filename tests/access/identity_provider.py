"""A stand-in for a firm's identity provider: OpenID Connect on loopback, code flow with PKCE, one person logged in."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "killswitch", "of-the-client"


class IdentityProvider(ThreadingHTTPServer):
    """Says of whoever asks that it is the person in `claims`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.claims: dict[str, Any] = {}
        self.in_token_alone: tuple[str, ...] = ()
        self.audience = CLIENT_ID
        self.asked: list[dict[str, str]] = []
        self.codes: dict[str, dict[str, str]] = {}

    def id_token(self) -> str:
        now = int(time.time())
        told = {**self.claims, "iss": self.issuer, "aud": self.audience, "iat": now, "exp": now + 60}
        return jwt.encode(told, self.key, algorithm="RS256", headers={"kid": "one"})


class _Answers(BaseHTTPRequestHandler):
    server: IdentityProvider

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/.well-known/openid-configuration":
            at = self.server.issuer
            self._say(
                {
                    "issuer": at,
                    "authorization_endpoint": f"{at}/authorize",
                    "token_endpoint": f"{at}/token",
                    "userinfo_endpoint": f"{at}/userinfo",
                    "jwks_uri": f"{at}/keys",
                }
            )
        elif parts.path == "/authorize":
            self.server.asked.append(asked)
            code = secrets.token_hex(8)
            self.server.codes[code] = asked
            self.send_response(302)
            query = urlencode({"code": code, "state": asked["state"]})
            self.send_header("Location", f"{asked['redirect_uri']}?{query}")
            self.end_headers()
        elif parts.path == "/userinfo" and self.headers["Authorization"] == "Bearer of-the-person":
            hidden = self.server.in_token_alone
            self._say({name: value for name, value in self.server.claims.items() if name not in hidden})
        else:
            self._say({"error": "not found"}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self.server.codes.pop(sent.get("code", ""), None)
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_client = (sent.get("client_id"), sent.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if asked is None or not is_client or asked.get("code_challenge") != challenge:
            self._say({"error": "invalid_grant"}, 400)
            return
        self._say({"access_token": "of-the-person", "token_type": "Bearer", "id_token": self.server.id_token()})

    def _say(self, told: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    thread = Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        provider.shutdown()
        provider.server_close()
        thread.join()
