"""How `manage.py` starts: which settings, and what an environment that is not set up means for a kill."""

import os
import sys

from django.core.management import execute_from_command_line

from . import arguments, exits

SETTINGS = "killswitch.settings"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    try:
        execute_from_command_line(sys.argv)
    except SystemExit as stop:
        # The settings end the process with a line of text, which would be status 1: not flat.
        if isinstance(stop.code, str) and sys.argv[1:2] == ["kill"]:
            _refuse(stop.code)
        raise


def _refuse(why: str) -> None:
    print(f"NOT SENT: {why}", file=sys.stderr)
    print(f"With the broker alone:\n  {arguments.break_glass_line(sys.argv)}", file=sys.stderr)
    sys.exit(exits.REFUSED)
