from django.apps import AppConfig


class KillsConfig(AppConfig):
    name = "killswitch.kills"
    label = "kills"

    def ready(self) -> None:
        from . import readiness  # noqa: F401  (listens to starts)
