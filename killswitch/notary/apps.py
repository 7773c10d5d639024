from django.apps import AppConfig


class NotaryConfig(AppConfig):
    name = "killswitch.notary"
    label = "notary"
    verbose_name = "Anchors of the audit trail"
