from django.apps import AppConfig


class KillsConfig(AppConfig):
    name = "killswitch.kills"
    label = "kills"
