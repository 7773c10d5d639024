from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "killswitch.audit"
    label = "audit"
    verbose_name = "Audit trail"
