import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from killswitch import starting
from killswitch.health.lookout import Lookout


class Command(BaseCommand):
    help = "Stand by and look whether a kill would go through: the armed light of every page. Run it always."

    def handle(self, *args: Any, **options: Any) -> None:
        lookout = Lookout()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: lookout.stop())
        self.stdout.write(f"lookout: watching, every {settings.LIGHT_EVERY_SECONDS:g} s")
        self.stdout.flush()
        starting.starts("lookout")
        lookout.watch()
