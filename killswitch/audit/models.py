"""The audit table. The database itself refuses to change or delete a row (see `guard`)."""

import json
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from killswitch.fields import ExactDecimalField

from .chain import canonical


class Kind(models.TextChoices):
    """What an entry tells."""

    KILL_ENGAGED = "kill.engaged", "Kill engaged"
    KILL_WIDENED = "kill.widened", "Accounts found and added"
    KILL_REFUSED = "kill.refused", "Kill refused"
    KILL_LEFT = "kill.left", "Kill left alone: another broker"
    REASON_GIVEN = "kill.reason_given", "Reason given afterwards"
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
    ALARM_ACKNOWLEDGED = "alarm.acknowledged", "Alarm acknowledged"
    JOURNAL_IMPORTED = "journal.imported", "Break-glass journal imported"
    LOGGED_IN = "access.logged_in", "Logged in"
    LOGGED_OUT = "access.logged_out", "Logged out"
    LOGIN_FAILED = "access.login_failed", "Log-in failed"
    LOCKED_OUT = "access.locked_out", "Locked out"
    DENIED = "access.denied", "Permission denied"
    USER_CHANGED = "access.user_changed", "User changed"
    TRAIL_EXPORTED = "trail.exported", "Audit trail exported"
    TRAIL_VERIFIED = "trail.verified", "Audit trail verified"
    TRAIL_BROKEN = "trail.broken", "Audit trail does not hold"
    PACK_TAKEN = "pack.taken", "Incident pack taken"
    DRILL_SCHEDULED = "drill.scheduled", "Drills scheduled"
    PROCESS_STARTED = "process.started", "Process started"
    CLOCK_OFFSET = "clock.offset", "Clock compared with the broker’s"
    LIGHT_CHANGED = "light.changed", "Armed light changed"
    ANCHOR_UNDELIVERED = "anchor.undelivered", "Anchors do not arrive"
    ANCHOR_DELIVERED = "anchor.delivered", "Anchors arrive again"
    MESSAGE_TESTED = "message.tested", "Test message asked for"
    MESSAGE_UNDELIVERED = "message.undelivered", "Messages do not arrive"
    MESSAGE_DELIVERED = "message.delivered", "Messages arrive again"


class CanonicalDataField(models.TextField):  # type: ignore[type-arg]
    """A dictionary, kept as the very text that its entry's hash is taken over."""

    def from_db_value(self, value: str, *_: object) -> Any:
        try:
            return json.loads(value)
        except ValueError:
            # Somebody changed it: who looks for that has to be able to open the entry.
            return {"not readable": value}

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> str:
        return value if isinstance(value, str) else canonical(value).decode()


class Entry(models.Model):
    """One thing that happened. Names are copied, never referenced, so that nothing elsewhere can change them."""

    id = models.BigAutoField("sequence number", primary_key=True)
    previous_hash = models.CharField("hash of the entry before", max_length=64)
    hash = models.CharField(max_length=64)

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
    data = CanonicalDataField()

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit trail"
        default_permissions = ()
        permissions = [("read_trail", "Can read the audit trail")]
        # Each of them costs every append: what most entries leave empty is left out of them. None is on the time: what
        # was written when is said by `Span`.
        indexes = [
            models.Index(fields=["kind", "id"], name="audit_kind"),
            models.Index(fields=["actor_name", "id"], name="audit_actor"),
            models.Index(fields=["kill_id", "id"], name="audit_kill", condition=Q(kill_id__isnull=False)),
            models.Index(fields=["attempt_id", "kind"], name="audit_attempt", condition=Q(attempt_id__isnull=False)),
            models.Index(fields=["account_id", "id"], name="audit_account", condition=Q(account_id__isnull=False)),
            models.Index(fields=["order_id", "id"], name="audit_order", condition=Q(order_id__gt="")),
            models.Index(fields=["symbol", "id"], name="audit_symbol", condition=Q(symbol__gt="")),
            models.Index(
                fields=["client_order_id", "id"], name="audit_client_order", condition=Q(client_order_id__gt="")
            ),
            models.Index(fields=["request_id", "id"], name="audit_request", condition=Q(request_id__gt="")),
            models.Index(fields=["outcome", "id"], name="audit_outcome", condition=Q(outcome__gt="")),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.at:%Y-%m-%d %H:%M:%S.%f} {self.sentence}"

    @property
    def kind_words(self) -> str:
        return Kind(self.kind).label if self.kind in Kind.values else self.kind


class Anchor(models.Model):
    """The head of the chain at one moment, signed: what was there then cannot be cut off or written anew."""

    sequence = models.BigIntegerField(unique=True)
    hash = models.CharField(max_length=64)
    at = models.DateTimeField("time (UTC)")
    key = models.CharField("key that signed it", max_length=16)
    signature = models.TextField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.sequence} {self.hash} {self.at:%Y-%m-%d %H:%M:%S}"


class AnchorKey(models.Model):
    """The public half of a key that signed anchors: what was signed stays verifiable when the key is another."""

    key = models.CharField("first 16 hexadecimal digits of its SHA-256", max_length=16, unique=True)
    public = models.TextField("public key (PEM)")
    first_used_at = models.DateTimeField("first used (UTC)")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.key


class Verification(models.Model):
    """One check of the chain: who asked for it, how far it has come, and what it found.

    Only its end is an entry of the trail. This row says what is under way, and lets a check go on where it stood.
    """

    class State(models.TextChoices):
        ASKED = "asked", "asked for"
        RUNNING = "running", "running"
        STOPPED = "stopped", "stopped before its end"
        HOLDS = "holds", "holds"
        BROKEN = "broken", "does not hold"
        FAILED = "failed", "could not be carried out"

    state = models.CharField(max_length=10, choices=State, default=State.ASKED)
    asked_at = models.DateTimeField(db_default=Now())
    asked_by_id = models.BigIntegerField(null=True)
    asked_by_name = models.CharField(max_length=150, blank=True)
    source = models.CharField("from where", max_length=200, blank=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    first = models.BigIntegerField("from entry", default=1)
    last_asked = models.BigIntegerField("to which entry", null=True)  # None: to the last one there is
    last = models.BigIntegerField("to entry", null=True)  # known when it begins
    next = models.BigIntegerField("entry to go on with", default=1)
    kept = models.JSONField(null=True)  # how the walk stands, to go on with
    checked = models.BigIntegerField("entries checked", default=0)
    finding = models.JSONField(null=True)  # as `verify_export.Report` tells it

    in_background = models.BooleanField(default=True)
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["state", "id"], name="audit_verification_state")]

    def __str__(self) -> str:
        return f"verification {self.id}: {self.words or self.get_state_display()}"

    @property
    def words(self) -> str:
        """Say in a line what came of it."""
        told = self.finding or {}
        return str(told.get("headline") or told.get("error") or "")


class Span(models.Model):
    """The earliest and the latest time in one stretch of the trail: where a search by time has to look.

    Entries are written nearly in the order of their times, but for imported journals and clocks that are wrong.
    """

    SIZE = 2000

    id = models.BigAutoField("which stretch of so many entries", primary_key=True)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{(self.id - 1) * self.SIZE + 1} to {self.id * self.SIZE}"
