"""How `manage.py` starts: which settings, and what an environment that is not set up means for a kill."""

import os
import sys

from django.core.management import execute_from_command_line

from killswitch.redaction import print_traceback

from . import arguments, exits


def main() -> None:
    is_kill = sys.argv[1:2] == ["kill"]
    if _asks_how_to_kill():
        # It is read before anything is set up. No request leaves, and what is set is not touched.
        os.environ["DJANGO_SETTINGS_MODULE"] = "killswitch.break_glass_settings"
        if not os.environ.get("CLEAR_STREET_API_KEY_FILE"):
            os.environ.setdefault("CLEAR_STREET_API_KEY", "for-help-alone")
    elif is_kill and arguments.BREAK_GLASS in sys.argv:
        # Whatever the environment names: it may be what is broken.
        os.environ["DJANGO_SETTINGS_MODULE"] = "killswitch.break_glass_settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "killswitch.settings")
    try:
        execute_from_command_line(sys.argv)
    except SystemExit as stop:
        # The settings end the process with a line of text, which would be status 1: not flat, or does not hold.
        if is_kill and isinstance(stop.code, str):
            _refuse(stop.code)
        if sys.argv[1:2] == ["verify_audit"] and isinstance(stop.code, str):
            print(f"COULD NOT BE CHECKED: {stop.code}", file=sys.stderr)
            sys.exit(exits.UNKNOWN)
        raise
    except (Exception, KeyboardInterrupt) as error:
        # A traceback would end with 1, which says that a list was read.
        if not is_kill:
            raise
        print_traceback(error)
        sys.exit(exits.UNKNOWN)


def _asks_how_to_kill() -> bool:
    return sys.argv[1:] in (["kill", "--help"], ["kill", "-h"], ["help", "kill"])


def _refuse(why: str) -> None:
    print(f"NOT SENT: {why}", file=sys.stderr)
    if arguments.BREAK_GLASS not in sys.argv:
        print(f"With the broker alone:\n  {arguments.break_glass_line(sys.argv)}", file=sys.stderr)
    sys.exit(exits.REFUSED)
