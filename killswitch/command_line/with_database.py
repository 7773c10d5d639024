"""`manage.py kill` as the page does it: committed, carried out by whoever takes it up, followed to the end."""

import json
import sys

from django.db import Error as DatabaseError

from killswitch.kills.decision import Decision
from killswitch.kills.models import Kill
from killswitch.kills.queries import as_json

from . import words
from .exits import UNKNOWN
from .follow import Follower
from .interrupts import Interrupts
from .press import MaybeSent, NotSent, note_refusal, press
from .refusal import Refused
from .screen import Screen

__all__ = ["kill", "note_refusal"]


def kill(decision: Decision, *, break_glass: str, as_json_too: bool) -> int:
    """Press and follow. `break_glass` is the command line that needs no database. Raises Refused."""
    screen = Screen(sys.stderr if as_json_too else sys.stdout)
    screen.take_the_log()
    hint = f"With the broker alone:\n  {break_glass}"
    try:
        pressed = press(decision, lambda: screen.say(f"The database does not answer yet. Ctrl-C, and then:\n{hint}"))
    except NotSent as error:
        raise Refused(f"the database cannot be used: {error}", what_to_do=hint) from None
    except MaybeSent as error:
        screen.say(f"IT IS NOT KNOWN WHETHER THIS WAS SENT: {error}. Look at /kills/\n{hint}")
        return UNKNOWN
    screen.say(words.opening(pressed))
    with Interrupts().caught() as interrupts:
        status = Follower(pressed, screen, interrupts, hint).follow()
        return _print_json(pressed, screen, status) if as_json_too else status


def _print_json(pressed: Kill, screen: Screen, status: int) -> int:
    try:
        told = as_json(pressed)
    except DatabaseError:
        screen.say("The database does not answer: there is no JSON")
        return UNKNOWN
    Screen(sys.stdout).say(json.dumps(told, indent=2))
    return status
