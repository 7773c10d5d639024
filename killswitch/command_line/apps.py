from django.apps import AppConfig


class CommandLineConfig(AppConfig):
    name = "killswitch.command_line"
    label = "command_line"
