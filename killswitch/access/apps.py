from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "killswitch.access"
    label = "access"

    def ready(self) -> None:
        from killswitch import deploy_checks  # noqa: F401  (registers itself)

        from . import (
            changes,
            signals,  # noqa: F401  (connects the receivers)
        )

        changes.connect()
