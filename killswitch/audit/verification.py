"""Verify the chain in the database: asked for, carried out in the background, resumed where it stood."""

from collections.abc import Callable, Sequence

from .models import Verification
from .operations import Actor


def ask(*, actor: Actor, first: int = 1, last: int | None = None) -> Verification:
    """Ask for a verification; return the one that is under way already where there is one."""
    raise NotImplementedError


def ask_daily(*, actor: Actor) -> Verification | None:
    """Ask for a verification of the whole trail, unless one was asked for within the last day."""
    raise NotImplementedError


def carry_out_next(
    *, source: str, public_keys: Sequence[bytes] = (), is_ending: Callable[[], bool] = lambda: False
) -> Verification | None:
    """Carry out the oldest verification that is asked for and that nobody holds. Return None where there is none.

    `public_keys` are the raw 32 bytes of each key that may have signed an anchor. `is_ending` is asked about once a
    second; when it says so, how far it came is kept and whoever calls next goes on from there.
    """
    raise NotImplementedError
