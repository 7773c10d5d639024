import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from killswitch import starting
from killswitch.telling import places
from killswitch.telling.models import Delivery
from killswitch.telling.teller import Teller


class Command(BaseCommand):
    help = "Stand by and tell mail, chats and pagers of kills and of what needs a person. Run it always."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = places.configured()
        except (places.NotInstalled, places.Refused) as error:
            raise CommandError(str(error)) from None
        if not found:
            # Nobody is missed any more on the pages.
            Delivery.objects.all().delete()
            raise CommandError(f"there is nobody to tell: set {places.SETTINGS}")
        teller = Teller(found)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: teller.stop())
        self.stdout.write(f"teller: watching, tells {', '.join(place.name for place in found)}")
        self.stdout.flush()
        starting.starts("teller")
        teller.watch()
