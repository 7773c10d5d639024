from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "killswitch.health"
    label = "health"

    def ready(self) -> None:
        from . import record  # noqa: F401  (listens to starts)
