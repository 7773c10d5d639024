from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from killswitch.notary import keys


class Command(BaseCommand):
    help = (
        "Make a key that signs anchors of the audit trail, and print its public half; or print that of the one in use."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "file", nargs="?", type=Path, help="where the new private key goes: a file that is not there"
        )
        which.add_argument("--public", action="store_true", help="print the public half of the configured key")

    def handle(self, *args: Any, file: Path | None, **options: Any) -> None:
        key = _make(file) if file else _configured()
        self.stdout.write(key.public, ending="")
        if file and options["verbosity"]:
            self.stderr.write(f"{file} is the private key {key.id}: set ANCHOR_KEY_FILE to its path for the notary.")
            self.stderr.write(
                "Above is the public half: keep a copy of it where nobody who runs this database can change it."
            )


def _configured() -> keys.Key:
    try:
        key = keys.configured()
    except keys.BadKey as error:
        raise CommandError(str(error)) from None
    if key is None:
        raise CommandError("there is no key: neither ANCHOR_KEY_FILE nor ANCHOR_KEY is set")
    return key


def _make(file: Path) -> keys.Key:
    try:
        return keys.make(file)
    except FileExistsError:
        raise CommandError(f"{file} is there already: a key is never overwritten") from None
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from None
