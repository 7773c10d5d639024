import json
import sys
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError

from killswitch.command_line import arguments
from killswitch.command_line.exits import REFUSED, UNKNOWN
from killswitch.command_line.follow import Follower
from killswitch.command_line.interrupts import Interrupts
from killswitch.command_line.press import MaybeSent, NotSent, note_refusal, press
from killswitch.command_line.screen import Screen, leave_quietly
from killswitch.kills.decision import Decision, InvalidDecision
from killswitch.kills.queries import as_json


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
            self._refuse([str(error).removeprefix("Error: ")])

    def handle(self, *args: Any, **options: Any) -> None:
        self._screen = Screen(sys.stderr if options["json"] else sys.stdout)
        decision = self._read(options)
        self._screen.take_the_log()
        status = self._kill(decision, as_json_too=options["json"])
        leave_quietly(sys.stdout, sys.stderr)
        sys.exit(status)

    def _read(self, options: dict[str, Any]) -> Decision:
        try:
            return arguments.read(options)
        except InvalidDecision as error:
            note_refusal(arguments.asked(options), str(error))
            self._refuse(arguments.error_lines(error.errors))

    def _kill(self, decision: Decision, *, as_json_too: bool) -> int:
        try:
            kill = press(decision, self._on_slow)
        except NotSent as error:
            self._refuse([f"the database cannot be used: {error}"], "With the broker alone:\n  " + self._break_glass)
        except MaybeSent as error:
            self._screen.say(
                f"IT IS NOT KNOWN WHETHER THIS WAS SENT: {error}. Look at /kills/, or with the broker alone:"
            )
            self._screen.say(f"  {self._break_glass}")
            return UNKNOWN
        self._screen.say(f"Kill {kill.id}: cancel {kill.scope}")
        with Interrupts().caught() as interrupts:
            status = Follower(kill, self._screen, interrupts, self._break_glass).follow()
            if as_json_too:
                status = self._print_json(kill, status)
        return status

    def _print_json(self, kill: Any, status: int) -> int:
        try:
            self.stdout.write(json.dumps(as_json(kill), indent=2))
        except DatabaseError:
            self._screen.say("The database does not answer: there is no JSON")
            return UNKNOWN
        return status

    def _on_slow(self) -> None:
        self._screen.say(f"The database does not answer yet. Ctrl-C, and with the broker alone:\n  {self._break_glass}")

    @property
    def _break_glass(self) -> str:
        return arguments.break_glass_line(self._argv)

    def _refuse(self, why: list[str], what_to_do: str = "") -> NoReturn:
        screen = Screen(sys.stderr)
        for line in why:
            screen.say(f"NOT SENT: {line}")
        if what_to_do:
            screen.say(what_to_do)
        leave_quietly(sys.stdout, sys.stderr)
        sys.exit(REFUSED)
