import signal
from typing import Any

from django.core.management.base import BaseCommand

from killswitch import starting
from killswitch.kills.watchdog import Watchdog


class Command(BaseCommand):
    help = "Stand by and carry out kills that no worker takes up. Run it always, beside the workers."

    def handle(self, *args: Any, **options: Any) -> None:
        watchdog = Watchdog()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: watchdog.stop())
        starting.starts("watchdog")
        self.stdout.write("watchdog: watching")
        self.stdout.flush()
        watchdog.watch()
