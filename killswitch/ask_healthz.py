"""Ask the web process of this machine whether it and its database answer: for a container's health check."""

import http.client
import os
import sys
from urllib.parse import urlsplit

SECONDS = 4


def main() -> None:
    """End with 0 where it is well; otherwise say why."""
    address = urlsplit(f"//{os.environ.get('WEB_BIND') or '127.0.0.1:8000'}")
    host = "127.0.0.1" if address.hostname in (None, "0.0.0.0", "::") else address.hostname  # noqa: S104
    # The page answers to its own names only.
    name = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip() or "localhost"
    connection = http.client.HTTPConnection(host, address.port or 8000, timeout=SECONDS)
    try:
        connection.request("GET", "/healthz", headers={"Host": name.removeprefix(".")})
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"the web process does not answer ({type(error).__name__})")
    if answer.status != 200:
        sys.exit(f"the web process answers {answer.status}")


if __name__ == "__main__":
    main()
