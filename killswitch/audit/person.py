"""Who sits at this shell."""

import os
import pwd
import socket

from .operations import Actor


def actor(way: str) -> Actor:
    """Return the operating system's user, and `way`, this machine and this process as where it comes from."""
    return Actor(name=_user_name(), source=f"{way} {socket.gethostname()} {os.getpid()}")


def _user_name() -> str:
    """Not from the environment, where everybody may write what they like."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
