from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "killswitch.health"
    label = "health"

    def ready(self) -> None:
        from . import heartbeats, record  # noqa: F401  (listen to starts)
