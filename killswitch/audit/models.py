"""The audit table. The database itself refuses to change or delete a row (see `guard`)."""

from django.db import models

from killswitch.fields import ExactDecimalField


class Kind(models.TextChoices):
    """What an entry tells."""

    KILL_ENGAGED = "kill.engaged", "Kill engaged"
    KILL_WIDENED = "kill.widened", "Accounts found and added"
    KILL_REFUSED = "kill.refused", "Kill refused"
    KILL_RELEASED = "kill.released", "Latched kill released"
    RELEASE_REFUSED = "kill.release_refused", "Release refused"
    KILL_ENDED = "kill.ended", "Kill ended"
    SWEEP_ENDED = "sweep.ended", "Account ended"
    SWEEP_HOLDS = "sweep.holds", "Account quiet, latched"
    SWEEP_TAKEN_OVER = "sweep.taken_over", "Account taken over"
    SWEEP_HANDED_OVER = "sweep.handed_over", "Account handed over"
    ATTEMPT_ANNOUNCED = "attempt.announced", "Cancel announced"
    ATTEMPT_REHEARSED = "attempt.rehearsed", "Cancel rehearsed (dry run)"
    ATTEMPT_ANSWERED = "attempt.answered", "Cancel answered"
    ATTEMPT_UNANSWERED = "attempt.unanswered", "Cancel without an answer"
    ORDER_ARRIVED = "order.arrived", "Order: arrived late"
    ORDER_SUCCESSOR = "order.successor", "Order: replaces another"
    ORDER_ACCEPTED = "order.accepted", "Order: cancel accepted"
    ORDER_ENDED = "order.ended", "Order: outcome"
    JOURNAL_IMPORTED = "journal.imported", "Break-glass journal imported"
    LOGGED_IN = "access.logged_in", "Logged in"
    LOGGED_OUT = "access.logged_out", "Logged out"
    LOGIN_FAILED = "access.login_failed", "Log-in failed"
    DENIED = "access.denied", "Permission denied"
    USER_CHANGED = "access.user_changed", "User changed"


class Entry(models.Model):
    """One thing that happened. Names are copied, never referenced, so that nothing elsewhere can change them."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField("time (UTC)")
    kind = models.CharField(max_length=40)

    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150, blank=True)
    source = models.CharField("from where", max_length=200, blank=True)

    kill_id = models.UUIDField(null=True)
    attempt_id = models.UUIDField(null=True)
    account_id = models.BigIntegerField(null=True)
    order_id = models.TextField(blank=True)
    client_order_id = models.TextField(blank=True)
    symbol = models.TextField(blank=True)
    side = models.TextField(blank=True)
    quantity = ExactDecimalField()
    leaves_quantity = ExactDecimalField()
    filled_quantity = ExactDecimalField()
    broker_status = models.TextField("status at the broker", blank=True)
    outcome = models.CharField(max_length=40, blank=True)

    http_status = models.IntegerField(null=True)
    latency_us = models.BigIntegerField("latency in microseconds", null=True)
    request_id = models.TextField("broker's request id", blank=True)

    sentence = models.TextField()
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit trail"
        default_permissions = ()
        permissions = [("read_trail", "Can read the audit trail")]
        indexes = [
            models.Index(fields=["kill_id", "id"], name="audit_kill"),
            models.Index(fields=["attempt_id", "kind"], name="audit_attempt"),
            models.Index(fields=["account_id", "id"], name="audit_account"),
            models.Index(fields=["order_id", "id"], name="audit_order"),
            models.Index(fields=["kind", "id"], name="audit_kind"),
            models.Index(fields=["actor_name", "id"], name="audit_actor"),
            models.Index(fields=["symbol", "id"], name="audit_symbol"),
            models.Index(fields=["client_order_id", "id"], name="audit_client_order"),
            models.Index(fields=["request_id", "id"], name="audit_request"),
            models.Index(fields=["outcome", "id"], name="audit_outcome"),
            models.Index(fields=["at", "id"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.at:%Y-%m-%d %H:%M:%S.%f} {self.sentence}"

    @property
    def kind_words(self) -> str:
        return Kind(self.kind).label if self.kind in Kind.values else self.kind
