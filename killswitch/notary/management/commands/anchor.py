from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from killswitch.audit.anchors import anchor_line, last_anchor
from killswitch.notary import keys
from killswitch.notary.operations import make_anchor


class Command(BaseCommand):
    help = "Sign the head of the audit trail now, and print the anchor. A running notary brings it to its places."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = keys.configured()
        except keys.BadKey as error:
            raise CommandError(str(error)) from None
        if key is None:
            raise CommandError(f"there is no key: set ANCHOR_KEY_FILE, or {keys.MAKE_ONE}")
        made = make_anchor(key, now=timezone.now())
        anchor = made or last_anchor()
        if anchor is None:
            raise CommandError("the audit trail is empty: there is nothing to sign")
        if made is None:
            self.stderr.write("nothing has happened since the last anchor, which is:")
        self.stdout.write(anchor_line(anchor).decode())
