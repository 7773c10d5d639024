from django.apps import AppConfig


class BookConfig(AppConfig):
    name = "killswitch.book"
    label = "book"
