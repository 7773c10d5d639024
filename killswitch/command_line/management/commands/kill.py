import sys
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

from killswitch.command_line import arguments
from killswitch.command_line.refusal import Refused
from killswitch.command_line.screen import Screen, leave_quietly
from killswitch.kills.decision import InvalidDecision


class Command(BaseCommand):
    help = (
        "Cancel open orders, as the page does, and follow it to the end. "
        "Ends with 0: flat (or latched and quiet), 1: not flat, 2: unknown, 3: refused, nothing was sent."
    )
    requires_system_checks = ()
    suppressed_base_arguments = {
        *("--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color")
    }

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **{**options, "allow_abbrev": False})
        # argparse ends with 2 by itself, which means unknown here.
        parser.called_from_command_line = False
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_arguments(parser)

    def run_from_argv(self, argv: list[str]) -> None:
        self._argv = argv
        try:
            super().run_from_argv(argv)
        except CommandError as error:
            self._refuse(Refused(str(error).removeprefix("Error: ")))

    def handle(self, *args: Any, **options: Any) -> None:
        Screen(sys.stderr).take_the_log()
        way = with_broker_alone if options["break_glass"] else with_database
        try:
            status = way(options, self._argv)
        except Refused as error:
            self._refuse(error)
        leave_quietly(sys.stdout, sys.stderr)
        sys.exit(status)

    def _refuse(self, refused: Refused) -> NoReturn:
        screen = Screen(sys.stderr)
        for line in refused.why:
            screen.say(f"NOT SENT: {line}")
        if refused.what_to_do:
            screen.say(refused.what_to_do)
        leave_quietly(sys.stdout, sys.stderr)
        sys.exit(Refused.status)


def with_database(options: dict[str, Any], argv: list[str]) -> int:
    # Not imported before it is wanted: it brings tables and Celery.
    from killswitch.command_line.with_database import kill, note_refusal

    try:
        decision = arguments.read(options)
    except InvalidDecision as error:
        note_refusal(arguments.asked(options), str(error))
        raise Refused(*arguments.error_lines(error.errors)) from None
    return kill(decision, break_glass=arguments.break_glass_line(argv), as_json_too=options["json"])


def with_broker_alone(options: dict[str, Any], _argv: list[str]) -> int:
    from killswitch.command_line.with_broker_alone import kill

    try:
        decision = arguments.read(options)
    except InvalidDecision as error:
        raise Refused(*arguments.error_lines(error.errors)) from None
    return kill(decision, journal=options["journal"], as_json_too=options["json"])
