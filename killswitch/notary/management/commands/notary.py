import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from killswitch import starting
from killswitch.notary import keys, places
from killswitch.notary.notary import Notary


class Command(BaseCommand):
    help = "Stand by, sign the head of the audit trail and bring the anchors to their places. Run it always."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key, found = keys.configured(), places.configured()
        except (keys.BadKey, places.NotInstalled) as error:
            raise CommandError(str(error)) from None
        notary = Notary(key, found)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: notary.stop())
        if key is None:
            self.stderr.write(f"notary: NO ANCHORS ARE MADE: there is no key. Set ANCHOR_KEY_FILE, or {keys.MAKE_ONE}")
        if not found:
            self.stderr.write(
                self.style.ERROR("notary: NO PLACES: anchors stay in the database that they are to watch")
            )
        where = ", ".join(place.name for place in found) or "no place"
        pace = f"every {settings.ANCHOR_SECONDS:g} s and when a kill ends"
        self.stdout.write(f"notary: watching, key {key.id if key else 'none'}, {pace}, to {where}")
        self.stdout.flush()
        starting.starts("notary")
        notary.watch()
