from django.apps import AppConfig


class TellingConfig(AppConfig):
    name = "killswitch.telling"
    label = "telling"
    verbose_name = "Messages to people"
