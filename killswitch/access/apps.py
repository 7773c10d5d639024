from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "killswitch.access"
    label = "access"

    def ready(self) -> None:
        from . import (
            changes,
            signals,  # noqa: F401  (connects the receivers)
        )

        changes.connect()
