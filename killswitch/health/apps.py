from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "killswitch.health"
    label = "health"
